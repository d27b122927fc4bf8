//! `GET /v1/trial-balance`

use axum::{extract::Request, http::StatusCode, response::Response};

use super::json;
use crate::{
    app::App, openapi::LedgerProblems, problem::Problem, query::Query, wire::totals::TrialBalanceOut,
};

/// Get the trial balance
///
/// The turnover of all accounts, at one position.
#[utoipa::path(
    get, path = "/v1/trial-balance", tag = "audit", operation_id = "get_trial_balance",
    responses((status = 200, description = "The trial balance.", body = TrialBalanceOut), LedgerProblems),
)]
pub(crate) async fn get(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    Query::parse(request.uri().query(), &[])?;
    Ok(json(StatusCode::OK, &TrialBalanceOut::new(&engine.trial_balance().await?)))
}
