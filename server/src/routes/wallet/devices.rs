//! `POST /v1/wallets/{user}/devices`, `DELETE /v1/wallets/{user}/devices/{device}`

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{delete, post},
};
use yue_engine::{
    model::TransactionId,
    wallet::{DeviceKey, Part},
};

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, Text, parse},
    openapi::{BodyProblems, PasswordProblems, ReadProblems},
    problem::{Code, Problem, ProblemBody},
    query::Query,
    routes::{json, no_content, path_parameter, path_parameters},
    telemetry::Route,
    wire::{
        texts::Label,
        wallet::{
            auth::Base64,
            device::{AddedOut, DeviceIn},
        },
    },
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/wallets/{user}/devices", post(route(Route::DeviceAdd, add)))
        .route("/v1/wallets/{user}/devices/{device}", delete(route(Route::DeviceRevoke, revoke)))
}

/// Register a device
///
/// Its signatures spend from the wallet until it is revoked. A key that is registered already keeps its device.
#[utoipa::path(
    post, path = "/v1/wallets/{user}/devices", tag = "wallets", operation_id = "register_device",
    params(("user" = String, Path, example = "alice")),
    request_body(content = DeviceIn, example = json!({
        "password": "283904", "name": "phone", "algorithm": "ed25519",
        "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    })),
    responses(
        (status = 201, description = "Registered now.", body = AddedOut),
        (status = 200, description = "Registered before, under the same name.", body = AddedOut),
        (status = 409, description = "`account_exists`: the key is a device of another name.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`password_invalid`: not six digits, or none is set; `limit_exceeded`: too many \
            devices.", body = ProblemBody, content_type = "application/problem+json"),
        PasswordProblems,
        BodyProblems,
    ),
)]
pub(crate) async fn add(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let user: Part = path_parameter(&mut request, "user").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(DeviceIn { password: Text(password), name, algorithm: Text(algorithm), public_key }) =
        parse::<Object<DeviceIn>>(&bytes)?;
    let Text(Base64(public_key)) = public_key;
    let key = DeviceKey::parse(algorithm, &public_key).ok_or_else(|| {
        let detail = format!("the bytes are no public key of {}", algorithm.as_str());
        Problem::new(Code::Malformed, detail).field("/public_key")
    })?;
    let Text(Label(name)) = name;
    let added = wallet.add_device(&user, password.read("/password")?, &name, &key).await?;
    let status = if added.added { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &AddedOut::new(added)))
}

/// Revoke a device
///
/// At once: what it has signed and not used yet is void. Again is no error.
#[utoipa::path(
    delete, path = "/v1/wallets/{user}/devices/{device}", tag = "wallets", operation_id = "revoke_device",
    params(("user" = String, Path, example = "alice"), ("device" = String, Path, format = "uuid")),
    responses((status = 204, description = "It is revoked."), ReadProblems),
)]
pub(crate) async fn revoke(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    Query::parse(request.uri().query(), &[])?;
    let (user, device): (Part, TransactionId) = path_parameters(&mut request, ["user", "device"]).await?;
    wallet.engine().admission()?;
    wallet.revoke_device(&user, device).await?;
    Ok(no_content())
}
