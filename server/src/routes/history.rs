//! `GET /v1/accounts/{address}/history`, `GET /v1/accounts/{address}/balance`

use axum::{extract::Request, http::StatusCode, response::Response};
use yue_engine::{
    model::Address,
    view::{HistoryQuery, Point},
};

use super::{json, path_parameter};
use crate::{
    app::App,
    openapi::ReadProblems,
    problem::{Code, Problem},
    query::Query,
    wire::{
        account::{BalanceOut, HistoryOut},
        list::List,
    },
};

/// List an account's posted changes
///
/// Newest first, each with the balance after it.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/history", tag = "accounts", operation_id = "get_history",
    params(
        ("address" = String, Path, example = "customers:42"),
        ("from" = Option<String>, Query, format = DateTime, description = "The earliest time."),
        ("to" = Option<String>, Query, format = DateTime, description = "The time before which it ends."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "50 if absent."),
    ),
    responses((status = 200, description = "A page.", body = List<HistoryOut>), ReadProblems),
)]
pub(crate) async fn history(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let address: Address = path_parameter(&mut request, "address").await?;
    let query = Query::parse(request.uri().query(), &["from", "to", "cursor", "limit"])?;
    let query = HistoryQuery {
        from: query.timestamp("from")?,
        to: query.timestamp("to")?,
        cursor: query.cursor()?,
        limit: query.limit()?,
    };
    let not_found = || Problem::not_found("account");
    let scale = engine.account(&address).ok_or_else(not_found)?.asset.scale;
    let page = engine.history(&address, query).await?.ok_or_else(not_found)?;
    Ok(json(StatusCode::OK, &List::new(&page, |entry| HistoryOut::new(entry, scale))))
}

/// Get an account's balance in the past
///
/// As of the last change at or before a time or a position; one of the two must be given.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/balance", tag = "accounts", operation_id = "get_balance",
    params(
        ("address" = String, Path, example = "customers:42"),
        ("at" = Option<String>, Query, format = DateTime, description = "A time, inclusive."),
        ("position" = Option<u64>, Query, description = "A position, inclusive."),
    ),
    responses((status = 200, description = "The balance.", body = BalanceOut), ReadProblems),
)]
pub(crate) async fn balance(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let address: Address = path_parameter(&mut request, "address").await?;
    let query = Query::parse(request.uri().query(), &["at", "position"])?;
    let point = match (query.timestamp("at")?, query.position("position")?) {
        (Some(at), None) => Point::Time(at),
        (None, Some(position)) => Point::Position(position),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::new(Code::Malformed, "give either at or position").field("/at"));
        }
    };
    let no_balance = || Problem::new(Code::NotFound, "no such account, or it was not open yet");
    let view = engine.balance_at(&address, point).await?.ok_or_else(no_balance)?;
    Ok(json(StatusCode::OK, &BalanceOut::new(address, &view)))
}
