//! `POST /v1/transactions/batch`

use axum::{extract::Request, http::StatusCode, response::Response};
use tokio::task::spawn_blocking;
use yue_engine::{
    config::Config,
    model::{Lane, Transaction},
    view::{Outcome, SubmitError, Unavailable},
};

use super::json;
use crate::{
    app::App,
    json::{Object, parse},
    openapi::BatchProblems,
    problem::{Code, Problem},
    wire::transaction::{BatchIn, ResultOut, ResultsOut, TransactionsIn},
};

/// Bytes of a body that are parsed where they were read: a larger one would keep a connection thread from its other
/// connections for more than about a millisecond.
const PARSE_INLINE_BYTES_MAX: usize = 256 << 10;

/// Results that are written where the batch was submitted: about as many bytes.
const WRITE_INLINE_RESULTS_MAX: usize = 2_000;

/// Submit many transactions
///
/// Each one is a transaction of its own, as if sent alone; there is no order between them. One malformed element
/// refuses the whole batch, and nothing is applied.
#[utoipa::path(
    post, path = "/v1/transactions/batch", tag = "transactions", operation_id = "submit_transactions",
    request_body(content = BatchIn, example = json!({
        "transactions": [{
            "id": "0197a0b0-0000-7000-8000-000000000006",
            "operations": [{"type": "transfer", "debit": "customers:42", "credit": "merchants:7", "amount": "1.00"}]
        }]
    })),
    responses(
        (status = 200, description = "One result each, in the order given.", body = ResultsOut),
        BatchProblems,
    ),
)]
pub(crate) async fn submit(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let bytes = app.read_batch(request).await?;
    engine.admission()?;
    let deadline = bytes.deadline();
    let small = bytes.len() <= PARSE_INLINE_BYTES_MAX;
    let transactions = beside(small, move || read(&bytes)).await??;
    let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id).collect();
    let results = engine.submit_batch_in(Lane::Checkout, deadline, transactions).await;
    // Refused whole: it is told as if before.
    let is_low = |result: &Result<Outcome, SubmitError>| {
        matches!(result, Err(SubmitError::Unavailable(Unavailable::StorageLow)))
    };
    if !results.is_empty() && results.iter().all(is_low) {
        return Err(Unavailable::StorageLow.into());
    }
    let few = results.len() <= WRITE_INLINE_RESULTS_MAX;
    let write = move || {
        let results = ids.into_iter().zip(results).map(|(id, result)| ResultOut::new(id, result)).collect();
        json(StatusCode::OK, &ResultsOut { results })
    };
    beside(few, write).await.map_err(Problem::unknown)
}

/// Runs here what is small, and beside the connection threads what is not. Fails only if the process is ending.
async fn beside<T: Send + 'static>(
    small: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if small {
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|_| Problem::new(Code::Overloaded, "the server is stopping"))
}

fn read(bytes: &[u8]) -> Result<Vec<Transaction>, Problem> {
    let Object(BatchIn { transactions: TransactionsIn { taken, too_many } }) = parse(bytes)?;
    if too_many {
        let detail = format!("a batch has at most {} transactions", Config::BATCH_TRANSACTIONS_MAX);
        return Err(Problem::new(Code::TooLarge, detail).field("/transactions"));
    }
    Ok(taken)
}
