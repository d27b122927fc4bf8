//! `POST` and `GET /v1/accounts`, `GET` and `PATCH /v1/accounts/{address}`

use axum::{extract::Request, http::StatusCode, response::Response};
use yue_engine::{
    model::{AccountChange, AccountStatus, Address, Patch},
    wallet::Wallet,
};

use super::{json, path_parameter};
use crate::{
    app::App,
    json::{Object, Text, parse},
    openapi::{BodyProblems, LedgerProblems, ReadProblems},
    problem::{Code, Problem, ProblemBody},
    query::Query,
    wire::{
        account::{AccountOut, ChangeIn, OpeningIn},
        list::List,
        texts::AssetCode,
    },
};

/// Open an account
///
/// The same request again is answered with the account as it is now; it is compared with the request that opened the
/// account.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts", operation_id = "open_account",
    request_body(content = OpeningIn, examples(
        ("channel" = (summary = "Where money comes from: a receivable", value = json!({
            "address": "channels:wechat", "asset": "CNY", "normal": "debit", "floor": null
        }))),
        ("customer" = (summary = "A customer with a daily limit", value = json!({
            "address": "customers:42", "asset": "CNY", "limits": [{"window": "day", "amount": "5000.00"}]
        }))),
        ("merchant" = (summary = "A merchant", value = json!({"address": "merchants:7", "asset": "CNY"}))),
    )),
    responses(
        (status = 201, description = "Opened now.", body = AccountOut),
        (status = 200, description = "Opened before, by the same request.", body = AccountOut),
        (status = 403, description = "`wallet_account`: an account of this name is the wallet's to open             (such as `suspense:{channel}` or `platform:fees`).", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`account_exists`: opened before by another request; `field` differs.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`asset_unknown`, `amount_invalid` for a floor, ceiling or limit, `insufficient_funds` \
            or `ceiling_exceeded` for a floor or ceiling that an empty account breaks, or `overflow` if the first part of \
            the address is a new one and there are as many as there may be.",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn open(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let bytes = app.read_body(request).await?;
    engine.admission()?;
    let Object(opening) = parse::<Object<OpeningIn>>(&bytes)?;
    let Text(address) = &opening.address;
    let address = address.clone();
    if Wallet::keeps(&address) && engine.account(&address).is_none() {
        let problem = Problem::new(Code::WalletAccount, "an account of this name is the wallet's to open");
        return Err(problem.field("/address"));
    }
    let Text(AssetCode(code)) = &opening.asset;
    let opening = match engine.assets().find(code) {
        Some(asset) => opening.into_opening(engine.assets().get(asset)),
        None => Err(Problem::new(Code::AssetUnknown, "no such asset").field("/asset")),
    };
    // A body that could not have opened an account is another one than that which did.
    let opening = opening.map_err(|problem| match engine.account(&address) {
        Some(_) => {
            let field = problem.field_pointer().unwrap_or_default().to_owned();
            Problem::new(Code::AccountExists, "the account was opened with another body").field(field)
        }
        None => problem,
    })?;
    let (view, opened) = engine.open_account(opening).await?;
    Ok(json(if opened { StatusCode::CREATED } else { StatusCode::OK }, &AccountOut::new(&view)))
}

/// Get an account
///
/// Balance, holds and used limits at one moment.
#[utoipa::path(
    get, path = "/v1/accounts/{address}", tag = "accounts", operation_id = "get_account",
    params(("address" = String, Path, example = "customers:42")),
    responses((status = 200, description = "The account.", body = AccountOut), ReadProblems),
)]
pub(crate) async fn get(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    Query::parse(request.uri().query(), &[])?;
    let address: Address = path_parameter(&mut request, "address").await?;
    let view = engine.account(&address).ok_or_else(|| Problem::not_found("account"))?;
    Ok(json(StatusCode::OK, &AccountOut::new(&view)))
}

/// List accounts
///
/// By address.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts", operation_id = "list_accounts",
    params(
        ("prefix" = Option<String>, Query, description = "What the address starts with, as plain text.",
            example = "customers:"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "50 if absent."),
    ),
    responses((status = 200, description = "A page.", body = List<AccountOut>), LedgerProblems),
)]
pub(crate) async fn list(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let query = Query::parse(request.uri().query(), &["prefix", "cursor", "limit"])?;
    let (after, limit) = (query.cursor::<Address>()?, query.limit()?);
    let page =
        engine.accounts(query.text("prefix").unwrap_or_default(), after.as_ref().map(Address::as_str), limit);
    Ok(json(StatusCode::OK, &List::new(&page, AccountOut::new)))
}

/// Change an account
///
/// What is not mentioned stays as it is. An account that the wallet has opened can be frozen and made active again here;
/// nothing else of it can be changed, and it can't be closed.
#[utoipa::path(
    patch, path = "/v1/accounts/{address}", tag = "accounts", operation_id = "change_account",
    params(("address" = String, Path, example = "customers:42")),
    request_body(content = ChangeIn, example = json!({"status": "active", "ceiling": "10000.00"})),
    responses(
        (status = 200, description = "The account after the change.", body = AccountOut),
        (status = 403, description = "`wallet_account`: the rules of this account are the wallet's.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`amount_invalid`, `account_closed`, `account_not_empty`, `insufficient_funds` \
            (the balance is below the new floor) or `ceiling_exceeded` (it is above the new ceiling).",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn change(app: App, mut request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let address: Address = path_parameter(&mut request, "address").await?;
    let bytes = app.read_body(request).await?;
    engine.admission()?;
    let Object(change) = parse::<Object<ChangeIn>>(&bytes)?;
    let account = engine.account(&address).ok_or_else(|| Problem::not_found("account"))?;
    let change = change.into_change(account.asset.scale)?;
    if account.managed && !is_freeze(&change) {
        return Err(Problem::new(Code::WalletAccount, "the rules of this account are the wallet's"));
    }
    // A change that mentions nothing is none, and leaves no record.
    let view = if change == AccountChange::default() {
        account
    } else {
        engine.change_account(&address, change).await?
    };
    Ok(json(StatusCode::OK, &AccountOut::new(&view)))
}

/// Whether a change does no more than to freeze an account, or to end that.
fn is_freeze(change: &AccountChange) -> bool {
    let status = match change.status {
        Patch::Keep => true,
        Patch::Set(status) => status != AccountStatus::Closed,
    };
    status && *change == AccountChange { status: change.status.clone(), ..AccountChange::default() }
}
