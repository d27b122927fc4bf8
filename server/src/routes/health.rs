//! `GET /healthz`, `GET /readyz`

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::{
    app::{App, Phase},
    openapi::QueryProblems,
    problem::Problem,
    query::Query,
};

/// That the process runs.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthOut {
    /// Always `ok`.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Whether requests are served.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessOut {
    /// Whether requests are served.
    ready: bool,
    /// `starting`, `ready` or `stopping`.
    #[schema(value_type = String, example = "ready")]
    phase: &'static str,
}

/// Whether the process runs
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "get_health",
    responses((status = 200, description = "It runs.", body = HealthOut), QueryProblems),
)]
pub(crate) async fn alive(_: App, request: Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    Ok(json(StatusCode::OK, &HealthOut { status: "ok" }))
}

/// Whether requests are served
///
/// Not while the journal is recovered and while the process ends.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "get_readiness",
    responses(
        (status = 200, description = "Send requests.", body = ReadinessOut),
        (status = 503, description = "Do not send requests (yet, or any more).", body = ReadinessOut,
            headers(("Retry-After" = u32, description = "Seconds."))),
        QueryProblems,
    ),
)]
pub(crate) async fn ready(app: App, request: Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let phase = *app.phase().borrow();
    let (status, ready, phase) = match phase {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, false, "starting"),
        Phase::Ready => (StatusCode::OK, true, "ready"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, false, "stopping"),
    };
    let mut response = json(status, &ReadinessOut { ready, phase });
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}
