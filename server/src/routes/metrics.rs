//! `GET /metrics`

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};

use crate::{
    app::App,
    openapi::QueryProblems,
    problem::Problem,
    query::Query,
    telemetry::{CONTENT_TYPE, render},
};

/// The counters
///
/// In Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "get_metrics",
    responses(
        (status = 200, description = "The counters.", body = String, content_type = "text/plain"),
        QueryProblems,
    ),
)]
pub(crate) async fn page(app: App, request: Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let snapshot = app.recovered().map(yue_engine::engine::Engine::metrics);
    let mut response =
        Response::new(Body::from(render(app.telemetry(), app.admission().figures(), snapshot.as_ref())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
