//! `POST /v1/recharges`, `GET /v1/recharges/{id}`

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
    routes::{created, json, path_parameter},
    telemetry::Route,
    wire::wallet::recharge::{RechargeIn, RechargeOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/recharges", post(route(Route::RechargeCreate, create)))
        .route("/v1/recharges/{id}", get(route(Route::RechargeGet, get_one)))
}

/// Order a recharge
///
/// The wallet is credited once the channel has notified of the money, once. The same request again gets the first
/// answer again; how it stands shows on `GET`.
#[utoipa::path(
    post, path = "/v1/recharges", tag = "channels", operation_id = "order_recharge",
    request_body(content = RechargeIn, example = json!({
        "id": "0197a0b0-0000-7000-8000-0000000000b1", "user": "alice", "channel": "wechat", "amount": "100.00"
    })),
    responses(
        (status = 201, description = "Ordered now.", body = RechargeOut),
        (status = 200, description = "Ordered before, by the same request: as it was then.", body = RechargeOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 404, description = "`not_found`: there is no such wallet.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`id_reused`: the id was used with another body; `field` differs. \
            `account_exists`: the channel's account belongs to the ledger's own callers, with other rules.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`amount_invalid`, `promotion_not_applicable`",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn create(app: App, request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(recharge) = parse::<Object<RechargeIn>>(&bytes)?;
    let ordered = wallet.recharge(recharge.into_request()).await?;
    Ok(created(ordered.replayed, &RechargeOut::new(&ordered.view)))
}

/// Get a recharge
#[utoipa::path(
    get, path = "/v1/recharges/{id}", tag = "channels", operation_id = "get_recharge",
    params(("id" = String, Path, example = "0197a0b0-0000-7000-8000-0000000000b1")),
    responses((status = 200, description = "The recharge as it is.", body = RechargeOut), ReadProblems),
)]
pub(crate) async fn get_one(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet().await?;
    Query::parse(request.uri().query(), &[])?;
    let id: TransactionId = path_parameter(&mut request, "id").await?;
    let view = wallet.recharge_view(id).await?.ok_or_else(|| Problem::not_found("recharge"))?;
    Ok(json(StatusCode::OK, &RechargeOut::new(&view)))
}
