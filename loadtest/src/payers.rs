//! Users who can pay: those that have a password and what it allows.
//!
//! Owns: who is free, whose turn which counter is, the devices' keys and the stocked tokens. Never sends. Invariant: a
//! payer has at most one payment or transfer in flight, so that a device's counters reach the server in their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::money::Fen;
use crate::skew::Eager;

/// The payment password of each payer.
pub(crate) const PASSWORD: &str = "283904";
/// Of payers, one in so many has little balance and pays with a channel.
const SHORT_EVERY: u32 = 4;
/// What a payer spends at most in all, in fen: below the 200,000 yuan a year of class III.
pub(crate) const SPENT_MAX: u64 = 19_000_000;
/// Small payments a day of a payer, the most that the platform allows.
pub(crate) const SMALL_A_DAY: u32 = 100;
/// Draws of a payer by skew before any free one is taken.
const DRAWS_MAX: usize = 8;
/// Tokens are asked for this long, and used only so long before they end.
pub(crate) const TOKEN_SECONDS: u64 = 300;
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What a payer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Leave for small amounts: nothing is shown, and each payer has 100 payments a day.
    Small,
    /// A payment token, fetched ahead with the password: a call and a hash besides each payment.
    Token,
    /// A payment token, fetched within the payment: its time is the payment's.
    Password,
    /// The signature of a registered device: one call, no hash.
    Device,
}

impl Mode {
    /// The name on the command line and in reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Token => "token",
            Self::Password => "password",
            Self::Device => "device",
        }
    }
}

/// A payer, by rank among users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Payer(pub(crate) u32);

/// Which payers a verb is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// Those who have what they spend.
    Full,
    /// Those who have little.
    Short,
}

impl Payer {
    /// Which purse a payer has.
    pub(crate) fn purse(self) -> Purse {
        if self.0 % SHORT_EVERY == SHORT_EVERY - 1 { Purse::Short } else { Purse::Full }
    }

    /// The key of this payer's device; always the same, so that a later run finds it registered.
    pub(crate) fn device_key(self) -> SigningKey {
        let mut seed = *b"yue-load: a key of nobody's.    ";
        for (byte, value) in seed.iter_mut().rev().zip(self.0.to_le_bytes()) {
            *byte ^= value;
        }
        SigningKey::from_bytes(&seed)
    }
}

/// What the server knows of a payer when the load starts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enrolled {
    /// The device's id, and the highest counter that it has used.
    pub(crate) device: Option<(String, u64)>,
    pub(crate) token: Option<(String, Instant)>,
    pub(crate) spent: u64,
}

struct State {
    enrolled: Enrolled,
    key: SigningKey,
    free: bool,
    small_left: u32,
}

/// The payers of one worker.
pub(crate) struct Payers {
    mode: Mode,
    states: HashMap<Payer, State>,
    full: Group,
    short: Group,
}

/// Payers of one purse, eager ones first.
#[derive(Default)]
struct Group {
    payers: Vec<Payer>,
    draw: Option<Eager>,
}

impl Payers {
    /// The share of worker `number` of `workers`.
    pub(crate) fn new(mode: Mode, enrolled: &Arc<[Enrolled]>, number: usize, workers: usize) -> Self {
        let mut payers =
            Self { mode, states: HashMap::new(), full: Group::default(), short: Group::default() };
        for (payer, enrolled) in (0..).map(Payer).zip(enrolled.iter()) {
            // By fours, so that each worker has payers of both purses.
            if (payer.0 / SHORT_EVERY) as usize % workers != number {
                continue;
            }
            match payer.purse() {
                Purse::Full => payers.full.payers.push(payer),
                Purse::Short => payers.short.payers.push(payer),
            }
            let state = State {
                enrolled: enrolled.clone(),
                key: payer.device_key(),
                free: true,
                small_left: SMALL_A_DAY,
            };
            payers.states.insert(payer, state);
        }
        for group in [&mut payers.full, &mut payers.short] {
            group.draw = Eager::new(group.payers.len());
        }
        payers
    }

    /// What payers show.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A free payer who can spend this much, eager ones more often; it is then busy. `None` if there is none.
    pub(crate) fn take(&mut self, purse: Purse, amount: Fen, rng: &mut SmallRng) -> Option<Payer> {
        let Group { payers, draw } = match purse {
            Purse::Full => &self.full,
            Purse::Short => &self.short,
        };
        let draw = draw.as_ref()?;
        let can = |payer: &&Payer| {
            self.states.get(*payer).is_some_and(|state| {
                let small = self.mode != Mode::Small || state.small_left > 0;
                state.free && small && state.enrolled.spent + amount.0 <= SPENT_MAX
            })
        };
        let drawn = (0..DRAWS_MAX).find_map(|_| payers.get(draw.rank(rng)).filter(can));
        let start = rng.random_range(0..payers.len());
        let any = || payers.iter().cycle().skip(start).take(payers.len()).find(can);
        let payer = *drawn.or_else(any)?;
        if let Some(state) = self.states.get_mut(&payer) {
            state.free = false;
            state.small_left -= u32::from(self.mode == Mode::Small);
            state.enrolled.spent += amount.0;
        }
        Some(payer)
    }

    /// Ends a payer's turn.
    pub(crate) fn free(&mut self, payer: Payer) {
        if let Some(state) = self.states.get_mut(&payer) {
            state.free = true;
        }
    }

    /// Keeps a token for the payer's next payment.
    pub(crate) fn stock(&mut self, payer: Payer, token: String, now: Instant) {
        if let Some(state) = self.states.get_mut(&payer) {
            state.enrolled.token = Some((token, now));
        }
    }

    /// The token that was fetched ahead, if it is still good.
    pub(crate) fn stocked(&mut self, payer: Payer, now: Instant) -> Option<String> {
        let (token, since) = self.states.get_mut(&payer)?.enrolled.token.take()?;
        let good = Duration::from_secs(TOKEN_SECONDS).saturating_sub(TOKEN_MARGIN);
        (now.saturating_duration_since(since) < good).then_some(token)
    }

    /// The JSON of a device's signature over the details; each call takes the next counter.
    pub(crate) fn sign(&mut self, payer: Payer, details: &str) -> String {
        let Some(state) = self.states.get_mut(&payer) else {
            return "null".to_owned();
        };
        let Some((device, counter)) = &mut state.enrolled.device else {
            return "null".to_owned();
        };
        *counter += 1;
        let signature = state.key.sign(format!("{details}{counter}\n").as_bytes());
        let signature = STANDARD.encode(signature.to_bytes());
        format!(r#"{{"type":"device","device":"{device}","counter":{counter},"signature":"{signature}"}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn payers(mode: Mode, count: u32, number: usize, workers: usize) -> Payers {
        let enrolled = Enrolled { device: Some(("d".to_owned(), 7)), ..Enrolled::default() };
        let enrolled: Arc<[Enrolled]> = (0..count).map(|_| enrolled.clone()).collect();
        Payers::new(mode, &enrolled, number, workers)
    }

    #[test]
    fn a_payer_has_one_turn_at_a_time() {
        let (mut payers, mut rng) = (payers(Mode::Device, 16, 0, 1), SmallRng::seed_from_u64(618));
        let mut taken: Vec<Payer> =
            (0..12).map(|_| payers.take(Purse::Full, Fen(1), &mut rng).unwrap()).collect();
        assert_eq!(payers.take(Purse::Full, Fen(1), &mut rng), None);
        payers.free(Payer(5));
        assert_eq!(payers.take(Purse::Full, Fen(1), &mut rng), Some(Payer(5)));
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 12);
        assert!(payers.take(Purse::Short, Fen(1), &mut rng).is_some());
    }

    #[test]
    fn a_payer_stops_at_the_limit_of_the_class_and_of_small_payments() {
        let mut rng = SmallRng::seed_from_u64(618);
        let mut check = |mode, amount, times: u32| {
            let mut payers = payers(mode, 4, 0, 1);
            let mut taken = 0;
            while let Some(payer) = payers.take(Purse::Short, Fen(amount), &mut rng) {
                taken += 1;
                payers.free(payer);
            }
            assert_eq!(taken, times, "{mode:?}");
        };
        check(Mode::Device, SPENT_MAX / 3, 3);
        check(Mode::Small, 1, SMALL_A_DAY);
    }

    #[test]
    fn workers_share_the_payers() {
        let mut all: Vec<Payer> =
            (0..3).flat_map(|number| payers(Mode::Device, 50, number, 3).full.payers).collect();
        all.sort();
        let expected: Vec<Payer> = (0..50).map(Payer).filter(|payer| payer.purse() == Purse::Full).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn counters_grow_and_signatures_are_the_devices() {
        let mut payers = payers(Mode::Device, 4, 0, 1);
        for counter in [8_u64, 9] {
            let text = payers.sign(Payer(2), "payment\nid\n3\njd-self\n12.05\n");
            let auth: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(auth["counter"], counter);
            let bytes = STANDARD.decode(auth["signature"].as_str().unwrap()).unwrap();
            let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
            let signed = format!("payment\nid\n3\njd-self\n12.05\n{counter}\n");
            let key = Payer(2).device_key().verifying_key();
            assert!(key.verify_strict(signed.as_bytes(), &signature).is_ok());
        }
    }

    #[test]
    fn a_token_is_used_once_and_not_when_it_is_old() {
        let (mut payers, now) = (payers(Mode::Token, 4, 0, 1), Instant::now());
        payers.stock(Payer(0), "t".to_owned(), now);
        assert_eq!(payers.stocked(Payer(0), now), Some("t".to_owned()));
        assert_eq!(payers.stocked(Payer(0), now), None);
        payers.stock(Payer(0), "t".to_owned(), now);
        assert_eq!(payers.stocked(Payer(0), now + Duration::from_secs(TOKEN_SECONDS)), None);
    }
}
