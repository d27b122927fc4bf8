//! `POST /v1/transactions`, `GET /v1/transactions/{id}`

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode},
    response::Response,
};
use yue_engine::{
    model::{Lane, Rejection, TransactionId},
    view::Outcome,
};

use super::{json, path_parameter};
use crate::{
    app::App,
    json::{Object, parse},
    openapi::{ReadProblems, SubmitProblems},
    problem::{Code, Problem, ProblemBody, REPLAYED_HEADER},
    query::Query,
    wire::transaction::{PostedOut, TransactionIn, TransactionOut},
};

/// Submit a transaction
///
/// Its operations happen together or not at all, once for its id, for ever. The same request again gets the first
/// outcome again, refusals included, with `Idempotent-Replayed: true`. Each 422 is final: a new try needs a new id.
/// Everything else leaves the id free.
#[utoipa::path(
    post, path = "/v1/transactions", tag = "transactions", operation_id = "submit_transaction",
    request_body(content = TransactionIn, examples(
        ("transfer" = (summary = "A payment", value = json!({
            "id": "0197a0b0-0000-7000-8000-000000000002", "code": "payment", "reference": "order 1",
            "operations": [{"type": "transfer", "debit": "customers:42", "credit": "merchants:7", "amount": "5.00"}]
        }))),
        ("hold" = (summary = "Set money aside", value = json!({
            "id": "0197a0b0-0000-7000-8000-000000000003",
            "operations": [{
                "type": "hold", "id": "0197a0b0-0000-7000-8000-0000000000a1", "debit": "customers:42",
                "credit": "merchants:7", "amount": "25.00", "expires_in": 900
            }]
        }))),
        ("capture" = (summary = "Move what was set aside", value = json!({
            "id": "0197a0b0-0000-7000-8000-000000000004",
            "operations": [
                {"type": "capture", "hold": "0197a0b0-0000-7000-8000-0000000000a1", "amount": "20.00"}
            ]
        }))),
        ("reverse" = (summary = "Refund a part", value = json!({
            "id": "0197a0b0-0000-7000-8000-000000000005", "code": "refund",
            "operations": [{
                "type": "reverse", "transaction": "0197a0b0-0000-7000-8000-000000000002", "operation": 0,
                "amount": "1.00"
            }]
        }))),
    )),
    responses(
        (status = 201, description = "Posted now.", body = PostedOut),
        (status = 200, description = "Posted before, by the same request.", body = PostedOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 409, description = "`id_reused`: the id was used with another body; `field` differs.",
            body = ProblemBody, content_type = "application/problem+json"),
        SubmitProblems,
    ),
)]
pub(crate) async fn submit(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let bytes = app.read_body(request).await?;
    engine.admission()?;
    let Object(transaction) = parse::<Object<TransactionIn>>(&bytes)?;
    let outcome = engine.submit_by(Lane::Checkout, bytes.deadline(), transaction.into()).await?;
    answer(&outcome)
}

/// The answer to a transaction that has an outcome.
fn answer(outcome: &Outcome) -> Result<Response, Problem> {
    match outcome.verdict {
        Ok(()) => {
            let status = if outcome.replayed { StatusCode::OK } else { StatusCode::CREATED };
            let mut response = json(status, &PostedOut::new(outcome));
            if outcome.replayed {
                response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Err(Rejection { code, operation }) => {
            let code = Code::Refused(code);
            Err(Problem::new(code, format!("{} (operation {operation})", code.title()))
                .operation(operation)
                .position(outcome.position.0)
                .replayed(outcome.replayed))
        }
    }
}

/// Get a transaction
///
/// Waits for one in flight. Shows refusals too: there `code` says why, and `operation` which operation was refused.
#[utoipa::path(
    get, path = "/v1/transactions/{id}", tag = "transactions", operation_id = "get_transaction",
    params(("id" = String, Path, format = "uuid", example = "0197a0b0-0000-7000-8000-000000000002")),
    responses((status = 200, description = "The transaction.", body = TransactionOut), ReadProblems),
)]
pub(crate) async fn get(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    Query::parse(request.uri().query(), &[])?;
    let id: TransactionId = path_parameter(&mut request, "id").await?;
    // An alias of the wallet's is no transaction of its own.
    let view = engine.transaction(id).await?.filter(|view| view.request.id == id);
    let view = view.ok_or_else(|| Problem::not_found("transaction"))?;
    Ok(json(StatusCode::OK, &TransactionOut::new(&view)))
}
