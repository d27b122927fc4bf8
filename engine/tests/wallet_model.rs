//! Random verbs on a wallet, with faults, deaths and restarts, compared after every step with a naive model.
//!
//! `cargo test -p yue-engine --test wallet_model -- --nocapture` prints its seed; where wallet and model differ, the last
//! verbs and the command that replays them. `YUE_WALLET_MODEL_SEED=n` begins with another world,
//! `YUE_WALLET_MODEL_STEPS=n` takes more or fewer steps, `YUE_WALLET_MODEL_VERBOSE=1` tells each.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::inconsistent_digit_grouping,
    clippy::wildcard_enum_match_arm
)]

#[path = "wallet_model/books.rs"]
mod books;
#[path = "wallet_model/chance.rs"]
mod chance;
#[path = "wallet_model/channels.rs"]
mod channels;
#[path = "wallet_model/compare.rs"]
mod compare;
#[path = "wallet_model/naive.rs"]
mod naive;
#[path = "wallet_model/payments.rs"]
mod payments;
#[path = "wallet_model/people.rs"]
mod people;
#[path = "wallet_model/refunds.rs"]
mod refunds;
#[path = "wallet_model/spending.rs"]
mod spending;
#[path = "wallet_model/verbs.rs"]
mod verbs;
#[path = "wallet_model/waits.rs"]
mod waits;
#[path = "wallet_model/wealth.rs"]
mod wealth;
#[path = "wallet_model/world.rs"]
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use world::{Coverage, World};

/// The first world's seed; the others follow.
const SEED: u64 = 618;
/// Steps of all worlds together, and of one.
const STEPS: u64 = 100_000;
const STEPS_OF_A_WORLD: u64 = 4_000;

/// What a run of all steps must have seen, so that a tame generator fails.
const IMPORTANT: &[&str] = &[
    "asked without authorisation after a death",
    "cancel: cancelled",
    "cancel: cancelled again",
    "cancel: payment_not_cancellable",
    "change: account_closed",
    "change: account_not_empty",
    "change: changed",
    "copies at once",
    "death in cancel",
    "death in change",
    "death in notify",
    "death in password",
    "death in pay",
    "death in recharge",
    "death in refund",
    "death in token",
    "death in transfer",
    "death in wealth day",
    "device: account_exists",
    "device: device again",
    "device: limit_exceeded",
    "notify and notify at once",
    "notify and pay at once",
    "notify: credited",
    "notify: failed",
    "notify: settled",
    "notify: suspended account_closed",
    "notify: suspended account_frozen",
    "notify: suspended amount_differs",
    "notify: suspended other_channel",
    "notify: suspended paid_after_failed",
    "notify: suspended paid_again",
    "notify: suspended paid_late",
    "notify: suspended unknown_order",
    "notify: unchanged -",
    "notify: unchanged amount_differs",
    "open: account_exists",
    "password: password_locked",
    "password: password_wrong",
    "pay and notify at once",
    "pay and pay at once",
    "pay and refund at once",
    "pay: AwaitingChannel",
    "pay: AwaitingChannel again",
    "pay: Paid",
    "pay: Paid again",
    "pay: account_closed",
    "pay: account_frozen",
    "pay: amount_invalid",
    "pay: auth_invalid",
    "pay: auth_required",
    "pay: category_not_payable",
    "pay: id_reused",
    "pay: insufficient_funds",
    "pay: insufficient_funds again",
    "pay: limit_exceeded",
    "pay: limit_exceeded again",
    "pay: merchant_not_enabled",
    "pay: promotion_exhausted",
    "pay: promotion_exhausted again",
    "pay: promotion_not_applicable",
    "promotion: id_reused",
    "promotion: made again",
    "recharge: id_reused",
    "recharge: pending again",
    "recharge: promotion_not_applicable",
    "redeem: amount_invalid",
    "redeem: insufficient_funds",
    "redeem: limit_exceeded",
    "redeem: redeemed",
    "refund and refund at once",
    "refund: account_frozen",
    "refund: id_reused",
    "refund: refund_count_exceeded",
    "refund: refund_exceeds_paid",
    "refund: refund_window_closed",
    "refund: refunded",
    "refund: refunded again",
    "restart",
    "revoke: revoked",
    "small: limit_exceeded",
    "small: password_wrong",
    "token: password_locked",
    "token: password_wrong",
    "token: token",
    "transfer: insufficient_funds",
    "transfer: limit_exceeded",
    "transfer: transferred",
    "transfer: transferred again",
    "wealth day: credited again",
    "wealth day: id_reused",
    "wealth: class_not_allowed",
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

#[test]
fn the_wallet_does_what_the_naive_model_does() {
    let (seed, steps) = (setting("YUE_WALLET_MODEL_SEED", SEED), setting("YUE_WALLET_MODEL_STEPS", STEPS));
    let worlds = steps.div_ceil(STEPS_OF_A_WORLD);
    println!("seed {seed}, {worlds} worlds of {STEPS_OF_A_WORLD} steps");
    let next = AtomicU64::new(0);
    let run = || {
        let mut coverage = Coverage::new();
        loop {
            let world = next.fetch_add(1, Ordering::Relaxed);
            if world >= worlds {
                return coverage;
            }
            let mut world = World::new(seed + world);
            world.run(STEPS_OF_A_WORLD);
            add(&mut coverage, &world.coverage);
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut coverage = Coverage::new();
    thread::scope(|scope| {
        let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        for one in runs {
            add(&mut coverage, &one.join().expect("the wallet does what the model does"));
        }
    });
    println!("{coverage:#?}");
    if steps >= STEPS {
        let unseen = |what: &&&str| !coverage.contains_key(**what);
        let missing: Vec<_> = IMPORTANT.iter().filter(unseen).collect();
        assert!(missing.is_empty(), "the worlds reach too little: {missing:?}");
    }
}

fn add(all: &mut Coverage, more: &Coverage) {
    for (what, count) in more {
        *all.entry(what.clone()).or_default() += count;
    }
}
