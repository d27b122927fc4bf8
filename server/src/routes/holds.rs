//! `GET /v1/holds/{id}`

use axum::{extract::Request, http::StatusCode, response::Response};
use yue_engine::model::HoldId;

use super::{json, path_parameter};
use crate::{app::App, openapi::ReadProblems, problem::Problem, query::Query, wire::hold::HoldOut};

/// Get a hold
#[utoipa::path(
    get, path = "/v1/holds/{id}", tag = "holds", operation_id = "get_hold",
    params(("id" = String, Path, format = "uuid", example = "0197a0b0-0000-7000-8000-0000000000a1")),
    responses((status = 200, description = "The hold.", body = HoldOut), ReadProblems),
)]
pub(crate) async fn get(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    Query::parse(request.uri().query(), &[])?;
    let id: HoldId = path_parameter(&mut request, "id").await?;
    let view = engine.hold(id).await?.ok_or_else(|| Problem::not_found("hold"))?;
    Ok(json(StatusCode::OK, &HoldOut::new(&view)))
}
