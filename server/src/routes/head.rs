//! `GET /v1/head`

use axum::{extract::Request, http::StatusCode, response::Response};

use super::json;
use crate::{
    app::App,
    heads::HeadOut,
    openapi::ReadProblems,
    problem::{Code, Problem},
    query::Query,
};

/// Get the newest signed head
///
/// The journal's end as it was at most an interval ago. Keep it elsewhere: `yue verify` then tells whether a data
/// directory still has it.
#[utoipa::path(
    get, path = "/v1/head", tag = "audit", operation_id = "get_head",
    responses((status = 200, description = "The head.", body = HeadOut), ReadProblems),
)]
pub(crate) async fn get(app: App, request: Request) -> Result<Response, Problem> {
    app.engine().await?;
    Query::parse(request.uri().query(), &[])?;
    let head = app
        .newest_head()
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no signed head: see --heads-log".to_owned()))?;
    Ok(json(StatusCode::OK, &HeadOut::from(&head)))
}
