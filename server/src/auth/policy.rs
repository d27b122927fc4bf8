//! What each route asks of a key.
//!
//! Owns the table from routes to scopes. Never looks at names: those are the engine's. Invariant: a route that is not
//! open to all names at least one scope.

use yue_engine::model::Scope;

use crate::telemetry::Route;

/// Which body a route reads, so that a signature over it can be checked before the route sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// None.
    None,
    /// JSON.
    Json,
    /// JSON, of a batch's size.
    Batch,
    /// A channel's statement.
    Statement,
}

/// What a route asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// One of these.
    pub(crate) scopes: &'static [Scope],
    /// Whether it is for keys without a prefix only.
    pub(crate) whole: bool,
    pub(crate) body: BodyKind,
    /// Whether its answer goes on for as long as the key is in force.
    pub(crate) outlives: bool,
}

impl Policy {
    /// `None` for a route that is open to all: it shows nothing of the ledger, or has a signature of its own.
    pub(crate) const fn of(route: Route) -> Option<Self> {
        use Scope::{
            AccountsRead, AccountsWrite, AuditRead, HoldsWrite, Operator, TransactionsWrite, WalletRead,
            WalletWrite,
        };
        let (scopes, whole, body): (&'static [Scope], bool, BodyKind) = match route {
            Route::Healthz | Route::Readyz | Route::OpenApi | Route::Unknown | Route::ChannelNotify => {
                return None;
            }
            Route::AccountOpen | Route::AccountChange => (&[AccountsWrite], false, BodyKind::Json),
            Route::AccountGet
            | Route::AccountList
            | Route::History
            | Route::Balance
            | Route::TransactionGet
            | Route::HoldGet => (&[AccountsRead], false, BodyKind::None),
            // Which of the two, the engine knows by the operations.
            Route::TransactionSubmit => (&[TransactionsWrite, HoldsWrite], false, BodyKind::Json),
            Route::TransactionBatch => (&[TransactionsWrite, HoldsWrite], false, BodyKind::Batch),
            Route::TrialBalance | Route::Head | Route::Metrics => (&[AuditRead], true, BodyKind::None),
            Route::Events => (&[AuditRead], false, BodyKind::None),
            Route::WalletGet | Route::RechargeGet | Route::PaymentGet | Route::PromotionGet => {
                (&[WalletRead], false, BodyKind::None)
            }
            Route::WalletOpen
            | Route::PasswordSet
            | Route::TokenCreate
            | Route::DeviceAdd
            | Route::SmallPaymentSet
            | Route::WealthSet
            | Route::WealthRedeem
            | Route::WalletTransfer
            | Route::RechargeCreate
            | Route::PaymentCreate
            | Route::PaymentRefund => (&[WalletWrite], false, BodyKind::Json),
            Route::DeviceRevoke | Route::PaymentCancel => (&[WalletWrite], false, BodyKind::None),
            Route::WalletChange | Route::MerchantSet => (&[Operator], false, BodyKind::Json),
            Route::PromotionCreate | Route::WealthDay => (&[Operator], true, BodyKind::Json),
            Route::ChannelStatement => (&[Operator], true, BodyKind::Statement),
            Route::DayClose => (&[Operator], true, BodyKind::None),
        };
        let outlives = matches!(route, Route::Events);
        Some(Self { scopes, whole, body, outlives })
    }
}
