//! `POST /v1/channels/{channel}/statements`
//!
//! A statement is read twice: while it comes in, line by line, into a file without a name; and, once all of it is known
//! to be good, from there.

use std::{
    io::{self, SeekFrom},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::post,
};
use http_body_util::BodyExt as _;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
    time::timeout,
};
use yue_engine::wallet::{Channel, Date, Reconciliation, StatementLine, Wallet};

use crate::{
    admission::Arrival,
    app::{App, route},
    body,
    config::HttpLimits,
    json::FromText as _,
    openapi::BodyProblems,
    problem::{Code, Problem, ProblemBody},
    routes::{json, path_parameter},
    telemetry::Route,
    wire::wallet::{
        recharge::ChannelName,
        statement::{StatementOut, StatementReader},
    },
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/channels/{channel}/statements", post(route(Route::ChannelStatement, reconcile)))
}

/// Compare a statement
///
/// A channel's list of a day's money against the books, by order and reference. Nothing is booked unless all lines are
/// good; then each difference goes to `suspense:{channel}` with its reason. The same statement again books nothing more.
/// Money that another day's statement has need not be in this one; a shortage that was booked before is undone by the
/// statement that has the money. A line whose order is a refund's id is money out: the refund's part of the channel. A
/// statement that has refunds must have all of the day; one that has none says nothing of them.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/statements", tag = "channels", operation_id = "compare_statement",
    params(
        ("channel" = inline(ChannelName), Path, description = "Whose."),
        ("Yue-Statement-Date" = String, Header, description = "The day of Asia/Shanghai, such as 2026-06-18."),
    ),
    request_body(content = String, content_type = "text/csv", description = "The first line is \
        `order,reference,amount,at`. At most 10,000,000 lines of 512 bytes; it is read as it comes.",
        example = "order,reference,amount,at\n0197a0b0-0000-7000-8000-0000000000b1,4200001,100.00,2026-06-18T00:00:00+08:00\n"),
    responses(
        (status = 200, description = "Compared; differences are booked.", body = StatementOut),
        (status = 409, description = "`account_exists`: the channel's account belongs to the ledger's own callers, with \
            other rules.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`day_not_over`: the day is still to come, or the code for which the channel's account \
            refuses a booking.", body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn reconcile(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet().await?;
    let channel: Channel = path_parameter(&mut request, "channel").await?;
    let head = statement_date(request.headers()).and_then(|date| {
        check_type(request.headers())?;
        Ok(date)
    });
    let arrival = Arrival::of(&request);
    let body = request.into_body();
    let turn = match head {
        Ok(date) => wallet.statement_turn().await.map(|turn| (date, turn)).map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    let spooled = match turn {
        Ok((date, turn)) => spool(&app, &wallet, body).await.map(|file| (date, turn, file)),
        Err(problem) => Err((problem, body)),
    };
    let (date, _turn, file) = spooled.map_err(|(problem, body)| {
        body::discard(body);
        problem.closes()
    })?;
    app.check_standing()?;
    wallet.engine().admission()?;
    arrival.check(wallet.engine())?;
    let reconciliation = wallet.reconcile(channel, date).await?;
    // It may have waited for another one.
    app.check_standing()?;
    let view = compare(reconciliation, file).await?;
    Ok(json(StatusCode::OK, &StatementOut::new(channel, date, &view)))
}

fn statement_date(headers: &HeaderMap) -> Result<Date, Problem> {
    let mut dates = headers.get_all("yue-statement-date").iter();
    let date = dates.next().and_then(|date| date.to_str().ok()).and_then(Date::parse);
    date.filter(|_| dates.next().is_none()).ok_or_else(|| {
        let detail = format!("the header Yue-Statement-Date must be {}", Date::EXPECTED);
        Problem::new(Code::Malformed, detail).field("/Yue-Statement-Date")
    })
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Code::UnsupportedMediaType, what));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refused("the body must not be compressed");
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/csv") {
        return Ok(());
    }
    refused("the body's type must be text/csv")
}

/// Most times of a body's that a statement has, however long it is: an hour, if a body has ten seconds.
const BODY_TIMES_MAX: u64 = 360;

/// The time for a statement of which so many bytes have come: a body's for each begun `body_bytes_max`. So it comes no
/// slower than any other body may, and has an end: it holds one of few turns.
fn time_for(bytes: u64, limits: &HttpLimits) -> Duration {
    let portion = u64::try_from(limits.body_bytes_max).unwrap_or(u64::MAX).max(1);
    let times = (bytes / portion).saturating_add(1).min(BODY_TIMES_MAX);
    limits.body_read_timeout.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

/// Takes a statement in, as long as its lines are good. What is left of a bad one comes back with the problem.
async fn spool(app: &App, wallet: &Wallet, mut body: Body) -> Result<File, (Problem, Body)> {
    match spool_lines(app, wallet, &mut body).await {
        Ok(file) => Ok(file),
        Err(problem) => Err((problem, body)),
    }
}

async fn spool_lines(app: &App, wallet: &Wallet, body: &mut Body) -> Result<File, Problem> {
    let lines_max = wallet.settings().statement_lines_max;
    let line_bytes_max = u64::try_from(StatementReader::LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes_max = lines_max.saturating_mul(line_bytes_max);
    let too_large = || Problem::new(Code::TooLarge, format!("the statement has more than {lines_max} lines"));
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    let file =
        spawn_blocking(tempfile::tempfile).await.map_err(io::Error::other).flatten().map_err(spool_failed)?;
    let mut file = File::from_std(file);
    let (limits, started) = (app.limits(), Instant::now());
    let (mut reader, mut lines, mut bytes) = (StatementReader::new(), 0_u64, 0_u64);
    loop {
        let left = time_for(bytes, limits).saturating_sub(started.elapsed());
        let frame = timeout(left.min(limits.body_read_timeout), body.frame()).await.map_err(|_| {
            let after = started.elapsed().as_secs();
            Problem::new(Code::RequestTimeout, format!("the body was not complete after {after} s"))
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Problem::new(Code::Malformed, "the body ended too early"))?;
        let Ok(piece) = frame.into_data() else { continue };
        reader.read(&piece, &mut |_| lines += 1)?;
        bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if lines > lines_max || bytes > bytes_max {
            return Err(too_large());
        }
        file.write_all(&piece).await.map_err(spool_failed)?;
    }
    reader.finish(&mut |_| lines += 1)?;
    file.flush().await.map_err(spool_failed)?;
    file.seek(SeekFrom::Start(0)).await.map_err(spool_failed)?;
    Ok(file)
}

/// Compares what was taken in.
async fn compare(
    mut reconciliation: Reconciliation,
    mut file: File,
) -> Result<yue_engine::wallet::StatementView, Problem> {
    const PIECE_BYTES: usize = 64 << 10;
    let mut reader = StatementReader::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut lines: Vec<StatementLine> = Vec::new();
    loop {
        let bytes = file.read(&mut piece).await.map_err(spool_failed)?;
        let mut take = |line| lines.push(line);
        match piece.get(..bytes) {
            None | Some([]) => reader.finish(&mut take)?,
            Some(piece) => reader.read(piece, &mut take)?,
        }
        while !lines.is_empty() {
            let rest = lines.split_off(lines.len().min(Reconciliation::PORTION_LINES_MAX));
            reconciliation.lines(std::mem::replace(&mut lines, rest)).await?;
        }
        if bytes == 0 {
            return Ok(reconciliation.finish().await?);
        }
    }
}

/// The disk is no part of the contract.
fn spool_failed(error: io::Error) -> Problem {
    tracing::warn!(%error, "a statement could not be taken in");
    Problem::new(Code::Overloaded, "there is no room to take the statement in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_bodys_time_for_each_bodys_bytes() {
        let limits = HttpLimits::default();
        let (body, time) = (u64::try_from(limits.body_bytes_max).unwrap(), limits.body_read_timeout);
        for (bytes, times) in [(0, 1), (body - 1, 1), (body, 2), (10 * body, 11), (u64::MAX, 360)] {
            assert_eq!(time_for(bytes, &limits), time * times, "{bytes}");
        }
    }
}
