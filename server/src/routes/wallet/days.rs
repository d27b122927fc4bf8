//! `POST /v1/days/{date}/close`

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::post};
use yue_engine::wallet::Date;

use crate::{
    admission::Arrival,
    app::{App, route},
    openapi::LedgerProblems,
    problem::{Problem, ProblemBody},
    query::Query,
    routes::{done, path_parameter},
    telemetry::Route,
    wire::wallet::day::DayOut,
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/days/{date}/close", post(route(Route::DayClose, close)))
}

/// Close a day
///
/// The trial balance at the cut: the last record before the day's end in Asia/Shanghai, whenever it is closed. Nothing
/// stops for it, and the same day again gets the same answer.
#[utoipa::path(
    post, path = "/v1/days/{date}/close", tag = "audit", operation_id = "close_day",
    params(("date" = String, Path, description = "The day of Asia/Shanghai.", example = "2026-06-18")),
    responses(
        (status = 200, description = "Closed, now or before.", body = DayOut,
            headers(("Idempotent-Replayed" = String, description = "`true` if it was closed before."))),
        (status = 422, description = "`day_not_over`: the day has not ended yet in Asia/Shanghai.",
            body = ProblemBody, content_type = "application/problem+json"),
        LedgerProblems,
    ),
)]
pub(crate) async fn close(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    Query::parse(request.uri().query(), &[])?;
    let date: Date = path_parameter(&mut request, "date").await?;
    wallet.engine().admission()?;
    let day = wallet.close_day(date).await?;
    Ok(done(StatusCode::OK, day.replayed, &DayOut::new(&day)))
}
