//! Every limit of the wallet, named, and its secrets.
//!
//! Owns the numbers; where a figure has a source it is named. Never reads files or the environment.

use compact_str::CompactString;

use super::{Channel, Class};
use crate::model::{Limit, LimitWindow};

/// How a wallet is set up; [`Settings::default`] is what the pages of the product say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Spending limits by class, in fen. People's Bank of China 2015 No. 43: payments out of balances of 1,000 yuan in
    /// a class I account's life, 100,000 a year for II, 200,000 a year for III.
    pub class_limits: [Vec<Limit>; 3],
    /// Wrong passwords in a row that lock.
    pub password_attempts_max: u32,
    /// Seconds of a lock.
    pub password_lock_s: u64,
    /// KiB of memory of one password hash (OWASP: Argon2id with 19 MiB, 2 passes, 1 lane).
    pub argon2_memory_kib: u32,
    /// Passes of one password hash.
    pub argon2_passes: u32,
    /// Password hashes at the same time, so that they leave cores to payments; each has a thread, at most
    /// [`Settings::PASSWORD_HASHES_LIMIT`].
    pub password_hashes_max: usize,
    /// Passwords that may wait for a hash; more are refused (`overloaded`).
    pub passwords_waiting_max: usize,
    /// Most seconds of a payment token.
    pub token_s_max: u32,
    /// Most devices of a wallet.
    pub devices_max: usize,
    /// Most fen of a payment without password, whatever its owner set.
    pub small_payment_units_max: u64,
    /// Most payments a day without password, whatever its owner set.
    pub small_payment_count_max: u32,
    /// Seconds that a combination payment waits for its channel.
    pub channel_wait_s: u32,
    /// Most items of a payment.
    pub items_max: usize,
    /// Attempts to compose a payment that another one was quicker than; the last one draws on the channel alone, if it
    /// may.
    pub payment_attempts_max: u32,
    /// Days in which a payment can be refunded.
    pub refund_days: u32,
    /// Most refunds of a payment.
    pub refunds_max: u32,
    /// Fen for which a payment credits one carbon point.
    pub carbon_units_per_point: u64,
    /// Most fen of fast redemption a day.
    pub redemption_units_per_day: u64,
    /// Wallets that one transaction credits with their income of a day; at most the operations of a transaction.
    pub wealth_credits_per_transaction: usize,
    /// Transactions of a wealth day's income in flight: more would be faster, and noticed at the till.
    pub wealth_credits_in_flight: usize,
    /// Sweeps of a wealth day in flight. Each is a transaction of its own, so that a group of the journal has a few; with
    /// many, they take the cores from those who pay.
    pub wealth_sweeps_in_flight: usize,
    /// Milliseconds for which a step of a wealth day tries again while the engine is overloaded; then the day stops,
    /// and goes on when it is asked for again.
    pub wealth_patience_ms: u64,
    /// Seconds by which a channel's signature may be off.
    pub signature_skew_s: u64,
    /// Most lines of a channel's statement.
    pub statement_lines_max: u64,
    /// Differences of a statement that are answered; all are counted and booked.
    pub differences_shown_max: usize,
}

#[expect(clippy::inconsistent_digit_grouping, reason = "amounts are fen: the last two digits stand apart")]
impl Default for Settings {
    fn default() -> Self {
        let limit = |window, amount| {
            vec![Limit { window, code: Some(Self::SPEND.into()), amount: Some(amount), count: None }]
        };
        Self {
            class_limits: [
                limit(LimitWindow::Lifetime, 1_000_00),
                limit(LimitWindow::Year, 100_000_00),
                limit(LimitWindow::Year, 200_000_00),
            ],
            password_attempts_max: 5,
            password_lock_s: 2 * 3_600,
            argon2_memory_kib: 19 << 10,
            argon2_passes: 2,
            password_hashes_max: 1,
            passwords_waiting_max: 256,
            token_s_max: 300,
            devices_max: 16,
            small_payment_units_max: 1_000_00,
            small_payment_count_max: 100,
            channel_wait_s: 900,
            items_max: 24,
            payment_attempts_max: 4,
            refund_days: 365,
            refunds_max: 50,
            carbon_units_per_point: 1_00,
            redemption_units_per_day: 10_000_00,
            wealth_credits_per_transaction: 60,
            wealth_credits_in_flight: 4,
            wealth_sweeps_in_flight: 8,
            wealth_patience_ms: 60_000,
            signature_skew_s: 300,
            statement_lines_max: 10_000_000,
            differences_shown_max: 1_000,
        }
    }
}

impl Settings {
    /// Most threads for password hashes.
    pub const PASSWORD_HASHES_LIMIT: usize = 256;
    /// What the codes of payments and transfers start with: class limits count these.
    pub const SPEND: &str = "spend";
    /// The code of money that becomes shares.
    pub const WEALTH_BUY: &str = "wealth.buy";
    /// The code of shares that become money.
    pub const WEALTH_REDEEM: &str = "wealth.redeem";

    /// The limits of a wallet's balance by class, and the meters of what the other classes limit and of what it has
    /// bought of the wealth product: a change of class finds what is used so far.
    #[must_use]
    pub fn limits_of(&self, class: Class) -> Vec<Limit> {
        let [one, two, three] = &self.class_limits;
        let mut limits = match class {
            Class::I => one,
            Class::II => two,
            Class::III => three,
        }
        .clone();
        for other in self.class_limits.iter().flatten() {
            let counted = |limit: &Limit| limit.window == other.window && limit.code == other.code;
            if !limits.iter().any(counted) {
                limits.push(Limit { amount: Some(u64::MAX), count: None, ..other.clone() });
            }
        }
        limits.push(meter(Some(Self::WEALTH_BUY)));
        limits
    }

    /// The limits of a wallet's shares: fast redemption, also within payments, and the meter of all that left.
    #[must_use]
    pub fn wealth_limits(&self) -> Vec<Limit> {
        let fast = Limit {
            window: LimitWindow::Day,
            code: Some(Self::WEALTH_REDEEM.into()),
            amount: Some(self.redemption_units_per_day),
            count: None,
        };
        vec![fast, meter(None)]
    }
}

/// A limit that nothing exceeds: the ledger keeps the sum of the debits that it counts, for ever and in the same atomic
/// step, where there is otherwise no total by code.
fn meter(code: Option<&'static str>) -> Limit {
    let code = code.map(CompactString::const_new);
    Limit { window: LimitWindow::Lifetime, code, amount: Some(u64::MAX), count: None }
}

/// What nobody else may know. Never logged, never journalled.
#[derive(Clone)]
pub struct Secrets {
    /// Goes into each password hash, so that the journal alone does not let passwords be guessed.
    pub pepper: [u8; 32],
    /// Signs payment tokens.
    pub token_key: [u8; 32],
    /// The key of each channel's notifications; without one they are refused.
    pub channel_keys: Vec<(Channel, Vec<u8>)>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
