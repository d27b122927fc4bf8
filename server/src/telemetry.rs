//! Counters of the HTTP side.
//!
//! Owns the counters and their buckets. Never blocks and never allocates while counting. Invariant: one request is
//! counted once, under its route's pattern and never under its path, so that the number of series is bounded.

mod exposition;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use axum::http::StatusCode;
pub use exposition::{CONTENT_TYPE, render};

use crate::problem::Code;

/// A route of the API, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Route {
    AccountOpen,
    AccountGet,
    AccountList,
    AccountChange,
    History,
    Balance,
    TransactionSubmit,
    TransactionBatch,
    TransactionGet,
    HoldGet,
    TrialBalance,
    Head,
    Events,
    WalletOpen,
    WalletGet,
    WalletChange,
    PasswordSet,
    TokenCreate,
    DeviceAdd,
    DeviceRevoke,
    SmallPaymentSet,
    WealthSet,
    WealthRedeem,
    WalletTransfer,
    RechargeCreate,
    RechargeGet,
    ChannelNotify,
    ChannelStatement,
    PaymentCreate,
    PaymentGet,
    PaymentCancel,
    PaymentRefund,
    MerchantSet,
    PromotionCreate,
    PromotionGet,
    WealthDay,
    DayClose,
    Healthz,
    Readyz,
    Metrics,
    OpenApi,
    Unknown,
}

impl Route {
    /// All routes.
    pub const ALL: [Self; 42] = [
        Self::AccountOpen,
        Self::AccountGet,
        Self::AccountList,
        Self::AccountChange,
        Self::History,
        Self::Balance,
        Self::TransactionSubmit,
        Self::TransactionBatch,
        Self::TransactionGet,
        Self::HoldGet,
        Self::TrialBalance,
        Self::Head,
        Self::Events,
        Self::WalletOpen,
        Self::WalletGet,
        Self::WalletChange,
        Self::PasswordSet,
        Self::TokenCreate,
        Self::DeviceAdd,
        Self::DeviceRevoke,
        Self::SmallPaymentSet,
        Self::WealthSet,
        Self::WealthRedeem,
        Self::WalletTransfer,
        Self::RechargeCreate,
        Self::RechargeGet,
        Self::ChannelNotify,
        Self::ChannelStatement,
        Self::PaymentCreate,
        Self::PaymentGet,
        Self::PaymentCancel,
        Self::PaymentRefund,
        Self::MerchantSet,
        Self::PromotionCreate,
        Self::PromotionGet,
        Self::WealthDay,
        Self::DayClose,
        Self::Healthz,
        Self::Readyz,
        Self::Metrics,
        Self::OpenApi,
        Self::Unknown,
    ];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AccountOpen => "POST /v1/accounts",
            Self::AccountGet => "GET /v1/accounts/{address}",
            Self::AccountList => "GET /v1/accounts",
            Self::AccountChange => "PATCH /v1/accounts/{address}",
            Self::History => "GET /v1/accounts/{address}/history",
            Self::Balance => "GET /v1/accounts/{address}/balance",
            Self::TransactionSubmit => "POST /v1/transactions",
            Self::TransactionBatch => "POST /v1/transactions/batch",
            Self::TransactionGet => "GET /v1/transactions/{id}",
            Self::HoldGet => "GET /v1/holds/{id}",
            Self::TrialBalance => "GET /v1/trial-balance",
            Self::Head => "GET /v1/head",
            Self::Events => "GET /v1/events",
            Self::WalletOpen => "POST /v1/wallets",
            Self::WalletGet => "GET /v1/wallets/{user}",
            Self::WalletChange => "PATCH /v1/wallets/{user}",
            Self::PasswordSet => "PUT /v1/wallets/{user}/password",
            Self::TokenCreate => "POST /v1/wallets/{user}/payment-tokens",
            Self::DeviceAdd => "POST /v1/wallets/{user}/devices",
            Self::DeviceRevoke => "DELETE /v1/wallets/{user}/devices/{device}",
            Self::SmallPaymentSet => "PUT /v1/wallets/{user}/small-payment",
            Self::WealthSet => "PUT /v1/wallets/{user}/wealth",
            Self::WealthRedeem => "POST /v1/wallets/{user}/wealth/redemptions",
            Self::WalletTransfer => "POST /v1/wallets/{user}/transfers",
            Self::RechargeCreate => "POST /v1/recharges",
            Self::RechargeGet => "GET /v1/recharges/{id}",
            Self::ChannelNotify => "POST /v1/channels/{channel}/notifications",
            Self::ChannelStatement => "POST /v1/channels/{channel}/statements",
            Self::PaymentCreate => "POST /v1/payments",
            Self::PaymentGet => "GET /v1/payments/{id}",
            Self::PaymentCancel => "POST /v1/payments/{id}/cancel",
            Self::PaymentRefund => "POST /v1/payments/{id}/refunds",
            Self::MerchantSet => "PUT /v1/merchants/{merchant}",
            Self::PromotionCreate => "POST /v1/promotions",
            Self::PromotionGet => "GET /v1/promotions/{promotion}",
            Self::WealthDay => "POST /v1/wealth/days",
            Self::DayClose => "POST /v1/days/{date}/close",
            Self::Healthz => "GET /healthz",
            Self::Readyz => "GET /readyz",
            Self::Metrics => "GET /metrics",
            Self::OpenApi => "GET /openapi.json",
            Self::Unknown => "unknown",
        }
    }
}

/// Times in buckets that double: bucket `i` counts what took at most 2^i × 16 µs, the last one all that took longer.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; Self::BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Up to 16 µs × 2^20 = 16.8 s, and beyond.
    const BUCKETS: usize = 22;
    const FIRST_US: u64 = 16;

    fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // ceil(log2(us / 16)), and 0 below.
        let exponent = us.div_ceil(Self::FIRST_US).max(1).next_power_of_two().trailing_zeros();
        let index = usize::try_from(exponent).unwrap_or(usize::MAX).min(Self::BUCKETS - 1);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(us, Relaxed);
    }
}

/// What one route has answered.
#[derive(Debug, Default)]
struct RouteCounters {
    time: Histogram,
    /// By hundreds of the status: 1xx to 5xx.
    statuses: [AtomicU64; 5],
}

/// Counters by route, in the order of [`Route::ALL`].
#[derive(Debug)]
struct PerRoute([RouteCounters; Route::ALL.len()]);

impl Default for PerRoute {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RouteCounters::default()))
    }
}

/// Counters by code, in the order of [`Code::ALL`].
#[derive(Debug)]
struct PerCode([AtomicU64; Code::ALL.len()]);

impl Default for PerCode {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Telemetry {
    routes: PerRoute,
    problems: PerCode,
    connections_opened: AtomicU64,
    connections_closed: AtomicU64,
    connections_refused: AtomicU64,
    heads_signed: AtomicU64,
    heads_failed: AtomicU64,
}

impl Telemetry {
    /// Counts an answer.
    pub fn answered(&self, route: Route, status: StatusCode, time: Duration) {
        let Some(counters) = self.routes.0.get(route as usize) else { return };
        counters.time.record(time);
        let hundreds = usize::from(status.as_u16() / 100);
        if let Some(count) = hundreds.checked_sub(1).and_then(|index| counters.statuses.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts a problem.
    pub fn refused(&self, code: Code) {
        let index = Code::ALL.iter().position(|&other| other == code);
        if let Some(count) = index.and_then(|index| self.problems.0.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts a connection that was taken.
    pub fn connection_opened(&self) {
        self.connections_opened.fetch_add(1, Relaxed);
    }

    /// Counts a connection that ended.
    pub fn connection_closed(&self) {
        self.connections_closed.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed because there are too many.
    pub fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    /// Counts a signed head that is in its log.
    pub fn head_signed(&self) {
        self.heads_signed.fetch_add(1, Relaxed);
    }

    /// Counts a signed head that could not be written.
    pub fn head_failed(&self) {
        self.heads_failed.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_least_bucket_that_covers_them() {
        let check = |us: u64, index: usize| {
            let histogram = Histogram::default();
            histogram.record(Duration::from_micros(us));
            let filled = histogram.buckets.iter().position(|bucket| bucket.load(Relaxed) == 1);
            assert_eq!(filled, Some(index), "{us} µs");
        };
        check(0, 0);
        check(16, 0);
        check(17, 1);
        check(32, 1);
        check(33, 2);
        check(16 << 20, 20);
        check((16 << 20) + 1, 21);
        check(u64::from(u32::MAX), 21);
    }

    #[test]
    fn routes_are_where_their_number_says() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, index);
        }
    }
}
