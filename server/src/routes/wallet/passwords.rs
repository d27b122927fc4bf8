//! `PUT /v1/wallets/{user}/password`, `POST /v1/wallets/{user}/payment-tokens`

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{post, put},
};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, Ranged, Text, parse},
    openapi::{BodyProblems, PasswordProblems},
    problem::{Code, Problem, ProblemBody},
    routes::{json, no_content, path_parameter},
    telemetry::Route,
    wire::wallet::{
        password::{PasswordIn, TokenIn, TokenOut},
        yuan,
    },
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/wallets/{user}/password", put(route(Route::PasswordSet, set)))
        .route("/v1/wallets/{user}/payment-tokens", post(route(Route::TokenCreate, create_token)))
}

/// Set the payment password
///
/// Once one is set, the old one is needed; without it only the password that is set already is taken again. All payment
/// tokens of the old one are void. Each wrong password counts, and the fifth in a row locks for two hours.
#[utoipa::path(
    put, path = "/v1/wallets/{user}/password", tag = "wallets", operation_id = "set_password",
    params(("user" = String, Path, example = "alice")),
    request_body(content = PasswordIn, example = json!({"password": "283904"})),
    responses(
        (status = 204, description = "It is set."),
        (status = 422, description = "`password_invalid`: not six digits, or a trivial row of them.",
            body = ProblemBody, content_type = "application/problem+json"),
        PasswordProblems,
        BodyProblems,
    ),
)]
pub(crate) async fn set(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(PasswordIn { password: Text(password), old_password }) = parse::<Object<PasswordIn>>(&bytes)?;
    let old = old_password.map(|Text(old)| old.read("/old_password")).transpose()?;
    wallet.set_password(&user, password.read("/password")?, old).await?;
    Ok(no_content())
}

/// Get a payment token
///
/// It pays one payment or transfer up to `max_amount`, until it ends or the password changes. Wrong passwords count, as
/// with the password's change.
#[utoipa::path(
    post, path = "/v1/wallets/{user}/payment-tokens", tag = "wallets", operation_id = "create_payment_token",
    params(("user" = String, Path, example = "alice")),
    request_body(content = TokenIn, example = json!({
        "password": "283904", "max_amount": "100.00", "expires_in": 300
    })),
    responses(
        (status = 201, description = "A token.", body = TokenOut),
        (status = 422, description = "`password_invalid`: not six digits, or none is set; `amount_invalid`.",
            body = ProblemBody, content_type = "application/problem+json"),
        PasswordProblems,
        BodyProblems,
    ),
)]
pub(crate) async fn create_token(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(TokenIn { password: Text(password), max_amount: Text(max_amount), expires_in }) =
        parse::<Object<TokenIn>>(&bytes)?;
    let Ranged(expires_in) = expires_in;
    let most = wallet.settings().token_s_max;
    if expires_in > most {
        return Err(
            Problem::new(Code::Malformed, format!("a token ends within {most} s")).field("/expires_in")
        );
    }
    let max_amount = yuan(&max_amount, "/max_amount")?;
    let token = wallet.create_token(&user, password.read("/password")?, max_amount, expires_in).await?;
    Ok(json(StatusCode::CREATED, &TokenOut::new(token)))
}
