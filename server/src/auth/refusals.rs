//! What those hear whose key or signature is not good.
//!
//! Owns the words. Never says more of a key than its owner knows: whether an id is one of a key is not told.

use yue_engine::wallet::WalletCode;

use super::WINDOW_S;
use crate::problem::{Code, Problem};

pub(super) fn unauthenticated(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

pub(super) fn no_such_key() -> Problem {
    unauthenticated("no such key")
}

pub(super) fn invalid(detail: &str) -> Problem {
    Problem::new(Code::Wallet(WalletCode::SignatureInvalid), detail)
}

/// One answer for a key that there is not and for one that has signed something else: who has no key does not learn ids.
pub(super) fn unfit() -> Problem {
    invalid("the signature is of no key, or does not fit the request")
}

pub(super) fn skewed(now_s: i64) -> Problem {
    Problem::new(Code::TimestampSkew, format!("more than {WINDOW_S} s off; it is {now_s} here"))
}

pub(super) fn replayed() -> Problem {
    Problem::new(Code::NonceReplayed, "sign each request anew")
}
