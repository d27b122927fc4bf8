//! One world: a wallet on an engine that is stepped, and the naive model beside it, step by step.
//!
//! Owns the clock, the deaths and the comparison. Invariant: all follows from the seed.

use std::collections::{BTreeMap, VecDeque};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use yue_engine::{
    journal::faulty::Fault,
    model::{Limit, LimitWindow, Timestamp},
    simulation::{Death, Machine, Random},
    wallet::{Secrets, Settings, Wallet},
};

use super::{
    chance::Chance,
    naive::{ATTEMPTS, Expected, LOCK_S, Naive, Rules, WAIT_S, limit},
    verbs::{Answer, Shown, USERS, Verb, call, part},
};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// 2025-12-31T23:50:00 in Shanghai: ten minutes before a day, a month and a year end.
const START: i64 = 1_767_196_200 * SECOND_NS;
/// Each record moves the stamps that follow it in the same instant by a nanosecond, also across a restart.
const JUST_BEFORE_NS: i64 = 2_000;
/// Steps between two comparisons of everything.
const WHOLE_EVERY: u64 = 250;

/// How often each verb had each outcome.
pub(crate) type Coverage = BTreeMap<String, u64>;

pub(crate) struct World {
    // First, so that the engine is gone before its directory.
    pub(crate) life: Option<Life>,
    pub(crate) machine: Machine,
    _data: TempDir,
    pub(crate) model: Naive,
    random: Random,
    tokens: Vec<String>,
    next_id: u128,
    step: u64,
    settings: Settings,
    last: VecDeque<String>,
    replay: String,
    pub(crate) coverage: Coverage,
}

/// What ends with a process.
pub(crate) struct Life {
    pub(crate) wallet: Wallet,
    pub(crate) runtime: Runtime,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last verbs:");
            self.last.iter().for_each(|verb| eprintln!("  {verb}"));
            eprintln!(
                "the wallet and the model differ at step {}; replay it with:\n{}",
                self.step, self.replay
            );
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = settings(&mut random);
        let data = folder();
        let shards = u16::try_from(1 + random.below(3)).unwrap();
        let segment = *random.pick(&[256, 1_024, 4_096]);
        let machine = Machine::new(data.path(), random.next(), shards, segment, Timestamp(START));
        let rules = Rules {
            class_limits: settings.class_limits.clone(),
            devices_max: settings.devices_max,
            refunds_max: usize::try_from(settings.refunds_max).unwrap(),
            refund_days: settings.refund_days,
            redemption_a_day: settings.redemption_units_per_day,
            small_most: settings.small_payment_units_max,
            small_count_most: settings.small_payment_count_max,
        };
        let mut world = Self {
            life: None,
            machine,
            _data: data,
            model: Naive::new(rules, START),
            random,
            tokens: vec![],
            next_id: 0,
            step: 0,
            settings,
            last: VecDeque::new(),
            replay: format!(
                "YUE_WALLET_MODEL_SEED={seed} YUE_WALLET_MODEL_STEPS=1 cargo test -p yue-engine --test wallet_model -- \
                 --nocapture"
            ),
            coverage: Coverage::new(),
        };
        world.live();
        world
    }

    fn live(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: vec![] };
        let wallet = Wallet::new(self.machine.engine(), self.settings.clone(), secrets);
        self.life = Some(Life { wallet, runtime: runtime.unwrap() });
    }

    fn restart(&mut self) {
        self.hit("restart");
        self.life = None;
        let shards = u16::try_from(1 + self.random.below(3)).unwrap();
        self.machine.restart(shards);
        self.live();
    }

    fn hit(&mut self, what: &str) {
        *self.coverage.entry(what.to_owned()).or_default() += 1;
    }

    fn tell(&mut self, what: String) {
        if std::env::var_os("YUE_WALLET_MODEL_VERBOSE").is_some() {
            eprintln!("{what}");
        }
        if self.last.len() >= 30 {
            self.last.pop_front();
        }
        self.last.push_back(what);
    }

    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step += 1;
            self.pass_time();
            if self.random.once_in(400) {
                self.tell("restart".into());
                self.restart();
                self.compare_all();
            } else {
                self.ask();
            }
            if self.step.is_multiple_of(WHOLE_EVERY) {
                self.compare_all();
            }
        }
        self.restart();
        self.compare_all();
    }

    fn ask(&mut self) {
        let verb = Chance { random: &mut self.random, model: &self.model, next_id: &mut self.next_id }.verb();
        self.tell(format!("{} {} {verb:?}", self.step, Timestamp(self.model.now)));
        if self.random.once_in(16) {
            self.with_death(&verb);
        } else if !verb.tries_password() && self.random.once_in(10) {
            self.copies(&verb);
        } else if verb.is_one_step() && self.random.once_in(10) {
            self.pair(&verb);
        } else {
            let [answer] = self.drive(&[&verb], None).unwrap().try_into().unwrap();
            self.judge(&verb, &answer, false);
        }
        self.compare_touched(&verb);
    }

    /// Two different ones at once: as if one had come after the other.
    fn pair(&mut self, one: &Verb) {
        let next = |world: &mut Self| {
            Chance { random: &mut world.random, model: &world.model, next_id: &mut world.next_id }.verb()
        };
        let other = loop {
            let other = next(self);
            // Which of two terms came last shows only when somebody pays.
            let both_terms = matches!((one, &other), (Verb::Merchant { .. }, Verb::Merchant { .. }));
            if other.is_one_step() && !both_terms {
                break other;
            }
        };
        self.tell(format!("{} and at once {other:?}", self.step));
        let answers = self.drive(&[one, &other], None).unwrap();
        let mut wrong = vec![];
        for order in [[0, 1], [1, 0]] {
            let before = self.model.clone();
            let verbs = [one, &other];
            let expected: Vec<_> =
                order.iter().map(|&at| (at, self.model.apply(verbs[at], &answers[at]))).collect();
            let same = |(at, it): &(usize, Expected)| {
                let answer = &answers[*at];
                (&answer.said, answer.replayed) == (&it.said, it.replayed)
            };
            let mut difference = (!expected.iter().all(same)).then(|| format!("{expected:?}"));
            for verb in verbs {
                let (users, payments, recharges) = self.touched(verb);
                difference = difference.or_else(|| self.difference(&users, &payments, &recharges));
            }
            let Some(difference) = difference else {
                self.hit(&format!("{} and {} at once", one.name(), other.name()));
                return;
            };
            wrong.push(difference);
            self.model = before;
        }
        panic!("{answers:?} are the answers in neither order: {wrong:#?}");
    }

    /// Asks at once; `None` if the process died of it.
    fn drive(&mut self, verbs: &[&Verb], death: Option<Death>) -> Option<Vec<Answer>> {
        let Self { life, machine, tokens, .. } = self;
        let Life { wallet, runtime } = life.as_ref().unwrap();
        let calls = verbs.iter().map(|verb| call(wallet, verb, tokens)).collect();
        runtime.block_on(machine.drive(calls, death))
    }

    fn judge(&mut self, verb: &Verb, answer: &Answer, any_replay: bool) {
        let expected = self.model.apply(verb, answer);
        self.check(verb, answer, &expected, any_replay);
        if let Verb::Token { .. } = verb
            && let Some(token) = &answer.learned
        {
            self.tokens.push(token.clone());
        }
        let kind = answer.said.split([' ', '/']).next().unwrap_or_default();
        let again = if answer.replayed == Some(true) { " again" } else { "" };
        self.hit(&format!("{}: {kind}{again}", verb.name()));
        if verb.name() == "notify" {
            self.hit(&format!("notify: {}", answer.said));
        }
    }

    fn check(&self, verb: &Verb, answer: &Answer, expected: &Expected, any_replay: bool) {
        assert_eq!(answer.said, expected.said, "the answer to {verb:?}");
        let replayed = if any_replay { expected.replayed.and(answer.replayed) } else { expected.replayed };
        assert_eq!(answer.replayed, replayed, "whether the answer to {verb:?} is an earlier one");
    }

    /// The same several times at once: one effect, one answer.
    fn copies(&mut self, verb: &Verb) {
        let copies = 2 + self.random.below(3);
        let answers = self.drive(&vec![verb; copies], None).unwrap();
        let first = answers.iter().position(|answer| answer.replayed == Some(false)).unwrap_or(0);
        self.judge(verb, &answers[first], false);
        self.hit("copies at once");
        for (index, answer) in answers.iter().enumerate().filter(|(index, _)| *index != first) {
            assert_eq!(answer.said, answers[first].said, "copy {index} of {verb:?}");
            let again = answers[first].replayed.map(|_| true);
            assert_eq!(answer.replayed, again, "copy {index} of {verb:?}");
        }
    }

    /// The process dies in the midst of it, perhaps more than once; the same again settles it.
    fn with_death(&mut self, verb: &Verb) {
        let mut died = 0;
        for _ in 0..3 {
            let death = self.death();
            let Some([answer]) =
                self.drive(&[verb], Some(death)).map(|it| <[Answer; 1]>::try_from(it).unwrap())
            else {
                died += 1;
                self.hit(&format!("death in {}", verb.name()));
                self.died_in(verb);
                if self.random.once_in(3) && self.without_auth(verb) {
                    return;
                }
                continue;
            };
            return self.settle(verb, &answer, died);
        }
        let [answer] = self.drive(&[verb], None).unwrap().try_into().unwrap();
        self.settle(verb, &answer, died);
    }

    fn death(&mut self) -> Death {
        if self.random.once_in(2) {
            return Death::Killed(1 + self.random.below(40));
        }
        let torn = Fault::Torn { bytes: self.random.below(400) };
        let faults =
            [Fault::Lost, torn, Fault::Unreported, Fault::WitnessTorn, Fault::UnreportedAfterWitness];
        let fault = *self.random.pick(&faults);
        Death::Journal(self.random.below(4), fault)
    }

    fn settle(&mut self, verb: &Verb, answer: &Answer, died: u32) {
        if let Verb::SetPassword { user, new, old: Some(_), .. } = verb
            && died > 0
            && answer.said.starts_with("password_wrong")
            && self.model.may_have_set(*user, verb)
        {
            // The first one had set it: its own old password is a wrong one now.
            self.model.write_password(*user, *new);
            self.model.users.get_mut(user).unwrap().tried = (0..died).collect();
        }
        self.judge(verb, answer, died > 0);
    }

    /// What a process that died in a verb may have done of it, where the same again does not tell.
    fn died_in(&mut self, verb: &Verb) {
        self.restart();
        let Self { life, machine, model, .. } = self;
        let Life { wallet, runtime } = life.as_ref().unwrap();
        let (user, password) = match verb {
            Verb::SetPassword { user, new, old } => (user, old.as_ref().unwrap_or(new)),
            Verb::Token { user, password, .. }
            | Verb::AddDevice { user, password, .. }
            | Verb::Small { user, password, .. } => (user, password),
            _ => return,
        };
        if model.users.contains_key(user) {
            let (wallet, name) = (wallet.clone(), part(USERS[*user]));
            let read = Box::pin(async move { wallet.customer(&name).await.unwrap().locked_until });
            let [locked] = runtime.block_on(machine.drive(vec![read], None)).unwrap().try_into().unwrap();
            model.may_have_tried(*user, *password, locked.map(|at: Timestamp| at.0));
        }
    }

    /// Somebody who knows the id and the body, and may not spend, asks for what a process died in: it is answered if it
    /// is done, and never done.
    fn without_auth(&mut self, verb: &Verb) -> bool {
        let mut without = verb.clone();
        let (Verb::Pay { auth, .. } | Verb::Transfer { auth, .. }) = &mut without else { return false };
        *auth = Shown::Nothing;
        let before = self.model.clone();
        let expected = self.model.apply(&without, &Answer::default());
        let [answer] = self.drive(&[&without], None).unwrap().try_into().unwrap();
        self.hit("asked without authorisation after a death");
        if answer.said == expected.said {
            return false;
        }
        // Then the first one is on record, with its cost.
        self.model = before;
        assert_eq!(answer.replayed, Some(true), "{without:?} does something without authorisation");
        self.settle(verb, &answer, 1);
        true
    }

    fn pass_time(&mut self) {
        let now = self.model.now;
        let in_day = (now + 8 * 3_600 * SECOND_NS).rem_euclid(DAY_NS);
        let by = match self.random.weighted(&[700, 200, 20, 12, 16, 4, 2]) {
            0 => self.random.between(2_000, SECOND_NS),
            1 => self.random.between(SECOND_NS, 60 * SECOND_NS),
            2 => self.random.between(60 * SECOND_NS, 2 * 3_600 * SECOND_NS),
            3 => DAY_NS - in_day - *self.random.pick(&[JUST_BEFORE_NS, 0]),
            4 => self.until_an_end(now),
            5 => self.random.between(1, 20) * DAY_NS,
            _ => self.random.between(30, 200) * DAY_NS,
        };
        let now = now + by.max(2_000);
        self.model.set_now(now);
        self.machine.set_now(Timestamp(now));
    }

    /// To the end of a wait, a lock, a token or a promotion, or just before it.
    fn until_an_end(&mut self, now: i64) -> i64 {
        let model = &self.model;
        let payments = model.payments.values().rev().take(40).filter_map(|it| it.until);
        let locks = model.users.values().filter_map(|it| it.locked_until);
        let tokens = model.tokens.iter().rev().take(10).map(|it| it.until);
        let promotions = model.promotions.values().flat_map(|it| [it.starts_at.0, it.ends_at.0]);
        let window = i64::from(model.rules.refund_days) * DAY_NS;
        let refunds = model.payments.values().rev().take(40).filter_map(|it| Some(it.paid_at()? + window));
        let refunds = refunds.flat_map(|at| [at + JUST_BEFORE_NS, at - JUST_BEFORE_NS]);
        let ends = payments.chain(locks).chain(tokens).chain(promotions);
        let ends: Vec<i64> = ends
            .flat_map(|at| [at, at - JUST_BEFORE_NS])
            .chain(refunds)
            .filter(|at| *at > now + 2_000)
            .collect();
        if ends.is_empty() { 0 } else { *self.random.pick(&ends) - now }
    }
}

/// In memory where the machine has such a file system: what the index syncs is not what is tested here.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn settings(random: &mut Random) -> Settings {
    let counted =
        |window, count| Limit { count: Some(count), amount: None, ..limit(window, Some("spend"), 0) };
    let spend = |window, amount| limit(window, Some("spend"), amount);
    let class_limits = [
        vec![spend(LimitWindow::Lifetime, 1_000_00), spend(LimitWindow::Day, 200_00)],
        vec![
            spend(LimitWindow::Year, 5_000_00),
            spend(LimitWindow::Day, 400_00),
            counted(LimitWindow::Month, 60),
        ],
        vec![
            spend(LimitWindow::Year, 20_000_00),
            limit(LimitWindow::Month, Some("spend.transfer"), 600_00),
            counted(LimitWindow::Day, 40),
        ],
    ];
    Settings {
        class_limits,
        password_attempts_max: ATTEMPTS,
        password_lock_s: u64::try_from(LOCK_S).unwrap(),
        channel_wait_s: u32::try_from(WAIT_S).unwrap(),
        argon2_memory_kib: 8,
        argon2_passes: 1,
        devices_max: 3,
        small_payment_units_max: 60_00,
        small_payment_count_max: 4,
        refund_days: *random.pick(&[20, 365]),
        refunds_max: *random.pick(&[3, 50]),
        redemption_units_per_day: 150_00,
        wealth_credits_per_transaction: *random.pick(&[1, 2, 60]),
        ..Settings::default()
    }
}
