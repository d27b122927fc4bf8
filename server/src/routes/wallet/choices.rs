//! `PUT /v1/wallets/{user}/small-payment`, `PUT /v1/wallets/{user}/wealth`

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::put};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::{BodyProblems, PasswordProblems},
    problem::{Problem, ProblemBody},
    routes::{json, path_parameter},
    telemetry::Route,
    wire::wallet::choices::{SmallIn, SmallOut, WealthIn, WealthSettingOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/wallets/{user}/small-payment", put(route(Route::SmallPaymentSet, set_small_payments)))
        .route("/v1/wallets/{user}/wealth", put(route(Route::WealthSet, set_wealth)))
}

/// Allow small payments
///
/// Payments and transfers up to `limit`, and `daily_count` of them a day, then need no password.
#[utoipa::path(
    put, path = "/v1/wallets/{user}/small-payment", tag = "wallets", operation_id = "set_small_payments",
    params(("user" = String, Path, example = "alice")),
    request_body(content = SmallIn, example = json!({
        "password": "283904", "enabled": true, "limit": "200.00", "daily_count": 10
    })),
    responses(
        (status = 200, description = "What is allowed now.", body = SmallOut),
        (status = 422, description = "`password_invalid`: not six digits, or none is set; `amount_invalid`; \
            `limit_exceeded`: above what the platform allows.",
            body = ProblemBody, content_type = "application/problem+json"),
        PasswordProblems,
        BodyProblems,
    ),
)]
pub(crate) async fn set_small_payments(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(wanted) = parse::<Object<SmallIn>>(&bytes)?;
    let (password, allowed) = wanted.read()?;
    wallet.set_small_payments(&user, password, allowed).await?;
    Ok(json(StatusCode::OK, &SmallOut::new(&allowed)))
}

/// Set the wealth product
///
/// Whether idle balance above `keep` moves to the wealth product, for class III only; anybody may switch it off.
#[utoipa::path(
    put, path = "/v1/wallets/{user}/wealth", tag = "wallets", operation_id = "set_wealth",
    params(("user" = String, Path, example = "alice")),
    request_body(content = WealthIn, example = json!({"enabled": true, "keep": "500.00"})),
    responses(
        (status = 200, description = "What is chosen now.", body = WealthSettingOut),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`class_not_allowed` below class III; `amount_invalid`.",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn set_wealth(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(wanted) = parse::<Object<WealthIn>>(&bytes)?;
    let wanted = wanted.read()?;
    wallet.set_wealth(&user, wanted).await?;
    Ok(json(StatusCode::OK, &WealthSettingOut::new(&wanted)))
}
