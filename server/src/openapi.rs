//! The OpenAPI document, generated from the handlers and shapes.
//!
//! Owns what all calls share: the document's head and the problems that each kind of call can answer. Invariant: the
//! document is a snapshot under test, and the contract tests check each answer against it.

mod security;

use utoipa::{
    IntoResponses, OpenApi,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema, Type,
        path::{ParameterBuilder, ParameterIn},
        schema::AdditionalProperties,
    },
};

use crate::{admission::Arrival, problem::ProblemBody, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Yue",
        description = "A ledger engine for stored-value wallets.\n\nAmounts are decimal strings. Times are RFC 3339 in \
            UTC with nine decimals. Unknown fields and duplicate keys are refused. Errors are problem details \
            (RFC 9457) with a stable `code`; `outcome` says whether the request took effect.\n\nA server with keys asks each \
            call for one, but for `/healthz`, `/readyz`, `/openapi.json` and channels' notifications. A server without \
            keys serves loopback only and asks for none.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        routes::accounts::open,
        routes::accounts::list,
        routes::accounts::get,
        routes::accounts::change,
        routes::history::history,
        routes::history::balance,
        routes::transactions::submit,
        routes::transactions::get,
        routes::batch::submit,
        routes::holds::get,
        routes::trial_balance::get,
        routes::head::get,
        routes::events::stream,
        routes::wallet::customers::open,
        routes::wallet::customers::get_one,
        routes::wallet::recharges::create,
        routes::wallet::recharges::get_one,
        routes::wallet::channels::notify,
        routes::wallet::merchants::set,
        routes::wallet::promotions::create,
        routes::wallet::promotions::get_one,
        routes::wallet::payments::create,
        routes::wallet::payments::get_one,
        routes::wallet::payments::cancel,
        routes::wallet::payments::refund,
        routes::wallet::customers::change,
        routes::wallet::passwords::set,
        routes::wallet::passwords::create_token,
        routes::wallet::devices::add,
        routes::wallet::devices::revoke,
        routes::wallet::choices::set_small_payments,
        routes::wallet::choices::set_wealth,
        routes::wallet::transfers::transfer,
        routes::wallet::wealth::redeem,
        routes::wallet::wealth::pay_day,
        routes::wallet::statements::reconcile,
        routes::wallet::days::close,
        routes::health::alive,
        routes::health::ready,
        routes::metrics::page,
    ),
    tags(
        (name = "accounts", description = "Names, balances, limits, history"),
        (name = "transactions", description = "What moves money"),
        (name = "holds", description = "Money set aside"),
        (name = "wallets", description = "Users' wallets: limits, passwords, devices, wealth"),
        (name = "channels", description = "Outside parties that take users' money in"),
        (name = "payments", description = "Payments, their merchants and promotions, refunds"),
        (name = "audit", description = "The ledger as a whole"),
        (name = "operations", description = "For those who run it"),
    ),
)]
struct Document;

/// The document as JSON.
#[must_use]
pub fn document_json() -> String {
    let mut document = Document::openapi();
    security::describe(&mut document);
    refuse_unknown_fields_of_operations(&mut document);
    offer_deadlines(&mut document);
    // The registry's names of unsigned formats are without the hyphen that utoipa 6 writes.
    document.to_pretty_json().unwrap_or_default().replace("\"format\": \"u-int", "\"format\": \"uint")
}

/// Every call that is no mere question takes a deadline.
fn offer_deadlines(document: &mut utoipa::openapi::OpenApi) {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(Arrival::DEADLINE_MS_MAX));
    let deadline = ParameterBuilder::new()
        .name("Yue-Deadline-Ms")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Milliseconds that the client waits, from the moment at which the request's head arrived. If they have passed \
             before anything was given to the journal, the request is refused with 503 `deadline_exceeded`, and does \
             nothing; what an earlier request with the same id did stays as it is. What the journal has is never taken \
             back. Statements, wealth days, openings and changes of accounts look at it before they begin, all others again \
             when they are decided.",
        ))
        .schema(Some(schema))
        .build();
    for item in document.paths.paths.values_mut() {
        let commands = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for command in commands.into_iter().flatten() {
            command.parameters.get_or_insert_default().push(RefOr::T(deadline.clone()));
        }
    }
}

/// The derive says so of structs only, and an operation is an enum, as is an authorisation.
fn refuse_unknown_fields_of_operations(document: &mut utoipa::openapi::OpenApi) {
    let components = document.components.iter_mut();
    let schemas = components.flat_map(|components| &mut components.schemas);
    for (_, operation) in schemas.filter(|(name, _)| matches!(name.as_str(), "Operation" | "Auth")) {
        let RefOr::T(Schema::OneOf(types)) = operation else { continue };
        for one in &mut types.items {
            if let RefOr::T(Schema::Object(object)) = one {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

/// What a call with a body can answer beside its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum BodyProblems {
    /// `malformed`
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// `request_timeout`: the body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemBody),
    /// `too_large`: the body has more bytes than the call takes.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// `unsupported_media_type`: the body must be `application/json`.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// `overloaded`, `storage_low` or `deadline_exceeded`: nothing was applied, try again.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, spread at random.")))]
    Unavailable(ProblemBody),
}

/// What a batch can answer beside its results.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum BatchProblems {
    /// `malformed`: one element is, and nothing was applied.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// `request_timeout`: the body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemBody),
    /// `too_large`: more than 10,000 transactions, or more than 16 MiB.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// `unsupported_media_type`: the body must be `application/json`.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// `overloaded`, `storage_low` or `deadline_exceeded`: nothing was applied, try again.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, spread at random.")))]
    Unavailable(ProblemBody),
}

/// What a transaction can answer beside its outcome.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum SubmitProblems {
    /// `malformed`
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// `wallet_account`: an operation would move an account that wallet verbs alone move.
    #[response(status = 403, content_type = "application/problem+json")]
    WalletAccount(ProblemBody),
    /// `request_timeout`: the body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemBody),
    /// `too_large`: the body has more bytes than the call takes.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// `unsupported_media_type`: the body must be `application/json`.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// Refused, finally. In the order in which they are checked, first over all operations: `amount_invalid`,
    /// `transaction_not_found`, `hold_not_found`, `hold_exists`, `account_not_found`, `asset_mismatch`,
    /// `same_account`, `account_closed`, `account_frozen`; then over all operations: `hold_captured`,
    /// `hold_released`, `hold_expired`, `capture_exceeds_hold`, `reversal_exceeds_original`, `limit_exceeded`,
    /// `insufficient_funds`, `ceiling_exceeded`, `overflow`. `operation` is the lowest one that is refused.
    #[response(status = 422, content_type = "application/problem+json",
        headers(("Idempotent-Replayed" = String, description = "`true` if it was refused before.")))]
    Refused(ProblemBody),
    /// `overloaded`, `storage_low` or `deadline_exceeded`: nothing was applied, the id stays free, try again.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, spread at random.")))]
    Unavailable(ProblemBody),
}

/// What a call that shows the payment password can answer beside its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum PasswordProblems {
    /// `password_wrong`, with `attempts_left`.
    #[response(status = 403, content_type = "application/problem+json")]
    Wrong(ProblemBody),
    /// `not_found`: no such wallet.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// `password_locked`: after too many wrong passwords.
    #[response(status = 423, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds until the lock ends.")))]
    Locked(ProblemBody),
}

/// What a call that spends from a wallet can answer beside its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum SpendProblems {
    /// `auth_required`, `auth_invalid`: the id stays free.
    #[response(status = 403, content_type = "application/problem+json")]
    Auth(ProblemBody),
    /// `not_found`: no such wallet.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// `id_reused`: the id was used with another body; `field` differs.
    #[response(status = 409, content_type = "application/problem+json")]
    IdReused(ProblemBody),
}

/// What a read of one thing can answer beside it.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum ReadProblems {
    /// `malformed`: the path or the query.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// `not_found`
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// `overloaded`: the journal is being recovered.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, spread at random.")))]
    Unavailable(ProblemBody),
}

/// What a call answers that has no parameters.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum QueryProblems {
    /// `malformed`: there are no parameters.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
}

/// What a read of the ledger as a whole, or of a list, can answer beside it.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum LedgerProblems {
    /// `malformed`: the query.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// `overloaded`: the journal is being recovered, or there are too many event streams.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, spread at random.")))]
    Unavailable(ProblemBody),
}
