//! `POST /v1/payments`, `GET /v1/payments/{id}`, `POST /v1/payments/{id}/cancel`, `POST /v1/payments/{id}/refunds`

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use yue_engine::model::TransactionId;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::{BodyProblems, ReadProblems},
    problem::{Problem, ProblemBody},
    query::Query,
    routes::{created, done, json, path_parameter},
    telemetry::Route,
    wire::wallet::{
        payment::{PaymentIn, PaymentOut, PaymentViewOut},
        refund::{RefundIn, RefundOut},
    },
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/payments", post(route(Route::PaymentCreate, create)))
        .route("/v1/payments/{id}", get(route(Route::PaymentGet, get_one)))
        .route("/v1/payments/{id}/cancel", post(route(Route::PaymentCancel, cancel)))
        .route("/v1/payments/{id}/refunds", post(route(Route::PaymentRefund, refund)))
}

/// Pay
///
/// From balance; where that is short from wealth shares too, if they make it up; else, with `combine_with`, the channel
/// pays the rest: the payment's own part is set aside until the channel's notification. The promotion is spread over the
/// items that it is for; own money pays the items in their order. The same request again gets the first answer again;
/// how it stands shows on `GET`. `auth` is not part of what is compared.
#[utoipa::path(
    post, path = "/v1/payments", tag = "payments", operation_id = "pay",
    request_body(content = PaymentIn, example = json!({
        "id": "0197a0b0-0000-7000-8000-0000000000d1", "user": "alice", "merchant": "jd-self",
        "items": [
            {"name": "Kettle", "kind": "goods", "category": "home", "amount": "80.00"},
            {"name": "Express", "kind": "shipping", "category": "shipping", "amount": "6.00"}
        ],
        "auth": {"type": "small"}, "promotion": "618-five-off"
    })),
    responses(
        (status = 201, description = "Paid, or waiting for its channel, now.", body = PaymentOut),
        (status = 200, description = "Answered before, to the same request: as it was then.", body = PaymentOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 403, description = "`auth_required`: there is no `auth`. `auth_invalid`: it does not fit, or is used \
            up. Not final.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such wallet.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`id_reused`: the id was used with another body; `field` differs. \
            `account_exists`: an account that it needs belongs to the ledger's own callers, with other rules.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not final: `amount_invalid`, `merchant_not_enabled`, `category_not_payable`, \
            `promotion_not_applicable`. Final: `promotion_exhausted`, `limit_exceeded`, `insufficient_funds`, \
            `account_frozen`, `account_closed` and other codes of the ledger, with `position`.",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before."))),
        BodyProblems,
    ),
)]
pub(crate) async fn create(app: App, request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(payment) = parse::<Object<PaymentIn>>(&bytes)?;
    let order = payment.into_order();
    let payment = wallet.pay(order.id, &order.request, order.auth.as_ref()).await?;
    Ok(created(payment.replayed, &PaymentOut::new(&payment)))
}

/// Get a payment
///
/// As it is now, with its refunds and what can be refunded still. A payment that was refused is none.
#[utoipa::path(
    get, path = "/v1/payments/{id}", tag = "payments", operation_id = "get_payment",
    params(("id" = String, Path, example = "0197a0b0-0000-7000-8000-0000000000d1")),
    responses((status = 200, description = "The payment.", body = PaymentViewOut), ReadProblems),
)]
pub(crate) async fn get_one(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    Query::parse(request.uri().query(), &[])?;
    let id: TransactionId = path_parameter(&mut request, "id").await?;
    Ok(json(StatusCode::OK, &PaymentViewOut::new(&wallet.payment(id).await?)))
}

/// Cancel a payment
///
/// While it waits for its channel: all that it has set aside is given back. Money that the channel takes afterwards goes
/// back through suspense. Takes no body.
#[utoipa::path(
    post, path = "/v1/payments/{id}/cancel", tag = "payments", operation_id = "cancel_payment",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "Cancelled, now or before.", body = PaymentViewOut,
            headers(("Idempotent-Replayed" = String, description = "`true` if it was cancelled before."))),
        (status = 422, description = "`payment_not_cancellable`: it does not wait for its channel.",
            body = ProblemBody, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(crate) async fn cancel(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    wallet.engine().admission()?;
    let id: TransactionId = path_parameter(&mut request, "id").await?;
    let view = wallet.cancel_payment(id).await?;
    Ok(done(StatusCode::OK, view.replayed, &PaymentViewOut::new(&view)))
}

/// Refund a part of a payment
///
/// An item's own money goes back first, then the channel's part by its route, then the promotion's; without `item` the
/// items follow each other in their order. The merchant's fee and the carbon points go back in proportion.
#[utoipa::path(
    post, path = "/v1/payments/{id}/refunds", tag = "payments", operation_id = "refund_payment",
    params(("id" = String, Path, example = "0197a0b0-0000-7000-8000-0000000000d1")),
    request_body(content = RefundIn, example = json!({
        "id": "0197a0b0-0000-7000-8000-0000000000d2", "amount": "10.00", "item": 0, "reason": "scratched"
    })),
    responses(
        (status = 201, description = "Refunded now.", body = RefundOut),
        (status = 200, description = "Refunded before, by the same request.", body = RefundOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 404, description = "`not_found`: there is no such payment.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`id_reused`: the id was used with another body; `field` differs.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not final: `amount_invalid`, `refund_window_closed`, `refund_count_exceeded`, \
            `refund_exceeds_paid`. Final: `insufficient_funds` (the merchant has a floor, and is short), \
            `account_frozen`, `account_closed` and other codes of the ledger, with `position`.",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before."))),
        BodyProblems,
    ),
)]
pub(crate) async fn refund(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let payment: TransactionId = path_parameter(&mut request, "id").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(refund) = parse::<Object<RefundIn>>(&bytes)?;
    let (id, request) = refund.into_request(payment);
    let refund = wallet.refund(id, &request).await?;
    Ok(created(refund.replayed, &RefundOut::new(&refund)))
}
