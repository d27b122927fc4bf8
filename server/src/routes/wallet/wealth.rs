//! `POST /v1/wallets/{user}/wealth/redemptions`, `POST /v1/wealth/days`

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::post};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, Text, parse},
    openapi::BodyProblems,
    problem::{Code, Problem, ProblemBody},
    routes::{created, done, path_parameter},
    telemetry::Route,
    wire::{
        texts::NewTransactionId,
        wallet::wealth::{RedemptionIn, RedemptionOut, WealthDayIn, WealthDayOut},
    },
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/wallets/{user}/wealth/redemptions", post(route(Route::WealthRedeem, redeem)))
        .route("/v1/wealth/days", post(route(Route::WealthDay, pay_day)))
}

/// Redeem shares of the wealth product
///
/// At once, up to 10,000.00 a day, of which payments that redeem use too.
#[utoipa::path(
    post, path = "/v1/wallets/{user}/wealth/redemptions", tag = "wallets", operation_id = "redeem_wealth",
    params(("user" = String, Path, example = "alice")),
    request_body(content = RedemptionIn, example = json!({
        "id": "0197a0b0-0000-7000-8000-000000000060", "amount": "50.00"
    })),
    responses(
        (status = 201, description = "Redeemed.", body = RedemptionOut),
        (status = 200, description = "Redeemed before, under the same id.", body = RedemptionOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 404, description = "`not_found`: no such wallet.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`id_reused`: the id was used with another body; `field` differs.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`amount_invalid`; finally: `account_frozen`, `account_closed`, `limit_exceeded` \
            above the fast limit of a day, `insufficient_funds`: the shares are fewer.",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before."))),
        BodyProblems,
    ),
)]
pub(crate) async fn redeem(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(RedemptionIn { id: Text(NewTransactionId(id)), amount: Text(amount) }) =
        parse::<Object<RedemptionIn>>(&bytes)?;
    let redemption = wallet.redeem(id, &user, &amount).await?;
    let replayed = redemption.replayed;
    Ok(created(replayed, &RedemptionOut::new(redemption)))
}

/// Pay a day of the wealth product
///
/// Every wallet's shares (at the moment when the day is first asked for) × `income_per_10k` ÷ 10,000, cut to the fen;
/// then idle balance above what its owner keeps becomes shares. Behind payments in priority. It goes on when the caller
/// goes away, and answers all who ask for the day meanwhile; after an interruption the same call goes on where it was.
#[utoipa::path(
    post, path = "/v1/wealth/days", tag = "wallets", operation_id = "pay_wealth_day",
    request_body(content = WealthDayIn, example = json!({"date": "2025-06-18", "income_per_10k": "0.5432"})),
    responses(
        (status = 200, description = "Paid and swept.", body = WealthDayOut,
            headers(("Idempotent-Replayed" = String, description = "`true` if another call did it."))),
        (status = 409, description = "`id_reused`: the day has another `income_per_10k`; `account_exists`: one of \
            the product's own accounts is of another kind.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`account_frozen`, `account_closed`: one of the product's own accounts takes no \
            part; `overflow`: the income is beyond what an amount can be.",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before."))),
        BodyProblems,
    ),
)]
pub(crate) async fn pay_day(app: App, request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet().await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(WealthDayIn { date: Text(date), income_per_10k: Text(rate) }) =
        parse::<Object<WealthDayIn>>(&bytes)?;
    if date > wallet.today() {
        return Err(Problem::new(Code::Malformed, "the day has not begun in Asia/Shanghai").field("/date"));
    }
    let day = wallet.pay_wealth_day(date, rate).await?;
    Ok(done(StatusCode::OK, day.replayed, &WealthDayOut::new(&day)))
}
