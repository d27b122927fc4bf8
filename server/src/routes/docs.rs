//! `GET /openapi.json`, `GET /docs`

use std::sync::LazyLock;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{app::App, openapi, problem::Problem, query::Query};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document_json().into());

/// The OpenAPI document.
pub(crate) async fn document(_: App, request: Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let mut response = Response::new(Body::from(DOCUMENT.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The pages that show the document; all of them are in the binary.
pub(crate) fn pages() -> Router<App> {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into()
}
