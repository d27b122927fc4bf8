//! `POST /v1/wallets`, `GET` and `PATCH /v1/wallets/{user}`

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use yue_engine::wallet::{OpenedCustomer, Part};

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, Text, parse},
    openapi::{BodyProblems, ReadProblems},
    problem::{Problem, ProblemBody},
    query::Query,
    routes::{json, path_parameter},
    telemetry::Route,
    wire::wallet::customer::{CustomerChangeIn, CustomerIn, CustomerOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/wallets", post(route(Route::WalletOpen, open))).route(
        "/v1/wallets/{user}",
        get(route(Route::WalletGet, get_one)).patch(route(Route::WalletChange, change)),
    )
}

/// Open a wallet
///
/// With its accounts: balance, wealth, carbon points. The same again is answered with the wallet as it is now.
#[utoipa::path(
    post, path = "/v1/wallets", tag = "wallets", operation_id = "open_wallet",
    request_body(content = CustomerIn, example = json!({"user": "alice", "class": "III"})),
    responses(
        (status = 201, description = "Opened now.", body = CustomerOut),
        (status = 200, description = "Opened before, with the same class.", body = CustomerOut),
        (status = 409, description = "`account_exists`: opened before with another class, or the user's accounts belong \
            to the ledger's own callers; `field` differs.",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn open(app: App, request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(CustomerIn { user: Text(user), class: Text(class) }) = parse::<Object<CustomerIn>>(&bytes)?;
    let OpenedCustomer { view, opened } = wallet.open_customer(&user, class).await?;
    Ok(json(if opened { StatusCode::CREATED } else { StatusCode::OK }, &CustomerOut::new(&view)))
}

/// Get a wallet
///
/// Everything at one moment.
#[utoipa::path(
    get, path = "/v1/wallets/{user}", tag = "wallets", operation_id = "get_wallet",
    params(("user" = String, Path, example = "alice")),
    responses((status = 200, description = "The wallet.", body = CustomerOut), ReadProblems),
)]
pub(crate) async fn get_one(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet().await?;
    Query::parse(request.uri().query(), &[])?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let view = wallet.customer(&user).await?;
    Ok(json(StatusCode::OK, &CustomerOut::new(&view)))
}

/// Change a wallet
///
/// A class brings its limits; what is used of them stays used. A status is that of all the user's accounts. A wallet
/// with money or wealth can't be closed; a closed one stays as it is. If the answer is lost, the same again finishes it.
#[utoipa::path(
    patch, path = "/v1/wallets/{user}", tag = "wallets", operation_id = "change_wallet",
    params(("user" = String, Path, example = "alice")),
    request_body(content = CustomerChangeIn, example = json!({"status": "active", "class": "III"})),
    responses(
        (status = 200, description = "The wallet after the change.", body = CustomerOut),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`account_closed` or `account_not_empty`.",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn change(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(change) = parse::<Object<CustomerChangeIn>>(&bytes)?;
    let view = wallet.change_customer(&user, change.into()).await?;
    Ok(json(StatusCode::OK, &CustomerOut::new(&view)))
}
