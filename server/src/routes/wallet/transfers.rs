//! `POST /v1/wallets/{user}/transfers`

use axum::{Router, extract::Request, response::Response, routing::post};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::{BodyProblems, SpendProblems},
    problem::{Problem, ProblemBody},
    routes::{created, path_parameter},
    telemetry::Route,
    wire::wallet::transfer::{TransferIn, TransferOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/wallets/{user}/transfers", post(route(Route::WalletTransfer, transfer)))
}

/// Transfer to another user
///
/// Once for its id, for ever. `auth` is not part of the body that a repetition is compared with: a known id is answered
/// before it is looked at. What the ledger refuses is final; everything else leaves the id free.
#[utoipa::path(
    post, path = "/v1/wallets/{user}/transfers", tag = "wallets", operation_id = "transfer",
    params(("user" = String, Path, example = "alice")),
    request_body(content = TransferIn, example = json!({
        "id": "0197a0b0-0000-7000-8000-000000000101", "to": "bob", "amount": "8.88", "auth": {"type": "small"}
    })),
    responses(
        (status = 201, description = "Transferred now.", body = TransferOut),
        (status = 200, description = "Transferred before, by the same request.", body = TransferOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 422, description = "`amount_invalid`; `account_not_found`: the receiver has no wallet; \
            `same_account`; finally: `account_closed`, `account_frozen`, `limit_exceeded`, `insufficient_funds`.",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before."))),
        SpendProblems,
        BodyProblems,
    ),
)]
pub(crate) async fn transfer(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(transfer) = parse::<Object<TransferIn>>(&bytes)?;
    let (order, auth) = transfer.read(user);
    let view = wallet.transfer(order, auth.as_ref()).await?;
    Ok(created(view.replayed, &TransferOut::new(&view)))
}
