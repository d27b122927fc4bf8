//! The naive model's owners: passwords and their lock, devices, what may be paid without a password, and what it costs to
//! show one of them.

use std::collections::BTreeSet;

use super::{
    naive::{ATTEMPTS, Cost, Device, Expected, LOCK_S, Naive, day, says},
    verbs::{Answer, Shown, Verb},
};

const SECOND_NS: i64 = 1_000_000_000;

impl Naive {
    /// A try of a password, if the wallet may have one.
    pub(crate) fn check(&mut self, user: usize, password: usize, actual: &Answer) -> Result<(), String> {
        self.unlocked(user)?;
        let now = self.now;
        let known = self.users.get_mut(&user).unwrap();
        let Some(right) = known.password else { return Err("password_invalid".into()) };
        if known.locked_until.take().is_some() {
            known.tried = BTreeSet::from([0]);
        }
        if right == password {
            known.tried = BTreeSet::from([0]);
            return Ok(());
        }
        // A crash leaves more than one count possible; the answer tells which it was.
        let fits = |tried: &&u32| Some(ATTEMPTS - **tried - 1) == actual.attempts_left;
        let before = known.tried.iter().find(fits).or(known.tried.first()).copied().unwrap();
        known.tried = BTreeSet::from([before + 1]);
        if before + 1 == ATTEMPTS {
            known.locked_until = Some(now + LOCK_S * SECOND_NS);
        }
        Err(format!("password_wrong left {}", ATTEMPTS - before - 1))
    }

    pub(crate) fn unlocked(&self, user: usize) -> Result<(), String> {
        let Some(known) = self.users.get(&user) else { return Err("not_found".into()) };
        match known.locked_until.filter(|until| self.now < *until) {
            Some(until) => {
                let nanos = until - self.now;
                Err(format!("password_locked in {}", (nanos + SECOND_NS - 1) / SECOND_NS))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn set_password(
        &mut self,
        user: usize,
        new: usize,
        old: Option<usize>,
        actual: &Answer,
    ) -> Expected {
        if new == 0 {
            return says("password_invalid /password", None);
        }
        if let Err(refused) = self.unlocked(user) {
            return says(refused, None);
        }
        let before = self.users[&user].password;
        if before.is_some() {
            if let Err(refused) = self.check(user, old.unwrap_or(new), actual) {
                return says(refused, None);
            }
            if old.is_none() {
                return says("set", None);
            }
        }
        self.write_password(user, new);
        says("set", None)
    }

    /// Another password makes all tokens worthless.
    pub(crate) fn write_password(&mut self, user: usize, new: usize) {
        let known = self.users.get_mut(&user).unwrap();
        if known.password.replace(new) != Some(new) {
            self.tokens.iter_mut().filter(|token| token.user == user).for_each(|token| token.void = true);
        }
        known.tried = BTreeSet::from([0]);
        known.locked_until = None;
    }

    pub(crate) fn add_device(
        &mut self,
        who: (usize, usize),
        name: usize,
        key: u8,
        actual: &Answer,
    ) -> Expected {
        let (user, password) = who;
        if let Err(refused) = self.check(user, password, actual) {
            return says(refused, None);
        }
        let most = self.rules.devices_max;
        let devices = &mut self.users.get_mut(&user).unwrap().devices;
        if let Some(known) = devices.iter().find(|device| device.key == key) {
            if known.name != name {
                return says("account_exists /name", None);
            }
            assert_eq!(actual.learned.as_ref(), Some(&known.id), "the same key is the same device");
            return says("device", Some(true));
        }
        if devices.len() >= most {
            return says("limit_exceeded", None);
        }
        let id = actual.learned.clone().unwrap_or_default();
        assert!(!devices.iter().any(|device| device.id == id), "a device's id is its own");
        devices.push(Device { id, name, key, counter: 0 });
        says("device", Some(false))
    }

    pub(crate) fn revoke(&mut self, user: usize, device: &str) -> &'static str {
        let Some(known) = self.users.get_mut(&user) else { return "not_found" };
        let before = known.devices.len();
        known.devices.retain(|one| one.id != device);
        if known.devices.len() < before {
            known.revoked.insert(device.to_owned());
        }
        if known.revoked.contains(device) { "revoked" } else { "not_found" }
    }

    pub(crate) fn set_small(
        &mut self,
        (user, password): (usize, usize),
        wanted: (bool, u64, u32),
        actual: &Answer,
    ) -> Result<(), String> {
        if wanted.1 > self.rules.small_most {
            return Err("limit_exceeded /limit".into());
        }
        if wanted.2 > self.rules.small_count_most {
            return Err("limit_exceeded /daily_count".into());
        }
        self.check(user, password, actual)?;
        self.users.get_mut(&user).unwrap().small = wanted;
        Ok(())
    }

    /// Whether it may be spent, and what that costs.
    pub(crate) fn authorise(&self, user: usize, amount: u64, shown: &Shown) -> Result<Cost, &'static str> {
        let known = &self.users[&user];
        let cost = match shown {
            Shown::Nothing => return Err("auth_required"),
            Shown::Token(no) => self.tokens.get(*no).and_then(|token| {
                let fits = token.user == user && !token.void && !token.used;
                (fits && amount <= token.most && self.now < token.until).then_some(Cost::Token(*no))
            }),
            Shown::Device { device, key, counter, good } => {
                let one = known.devices.iter().find(|one| one.id == *device);
                let fits = one.is_some_and(|one| one.key == *key && *good && *counter > one.counter);
                fits.then(|| Cost::Device(user, device.clone(), *counter))
            }
            Shown::Small => {
                let (enabled, limit, count) = known.small;
                let (counted, used) = known.small_used;
                let used = if day(self.now) > counted { 0 } else { used };
                (enabled && amount <= limit && used < count)
                    .then(|| Cost::Small(user, day(self.now), used + 1))
            }
        };
        cost.ok_or("auth_invalid")
    }

    pub(crate) fn pay_cost(&mut self, cost: Cost) {
        match cost {
            Cost::Token(no) => self.tokens[no].used = true,
            Cost::Device(user, device, counter) => {
                let devices = &mut self.users.get_mut(&user).unwrap().devices;
                devices.iter_mut().find(|one| one.id == device).unwrap().counter = counter;
            }
            Cost::Small(user, day, used) => self.users.get_mut(&user).unwrap().small_used = (day, used),
        }
    }

    /// A process died in a verb that tries a password: the try may be counted, and may be forgiven.
    pub(crate) fn may_have_tried(&mut self, user: usize, password: usize, locked_until: Option<i64>) {
        let now = self.now;
        let known = self.users.get_mut(&user).unwrap();
        if known.locked_until.is_some_and(|until| now < until) {
            assert_eq!(locked_until, known.locked_until, "a lock outlives a process");
            return;
        }
        // A lock that has passed counts for nothing once somebody tries.
        let mut possible =
            if known.locked_until.is_some() { BTreeSet::from([0]) } else { known.tried.clone() };
        possible.extend(possible.clone().iter().map(|tried| tried + 1));
        if known.password.is_none_or(|right| right == password) {
            possible.insert(0);
        }
        if locked_until.is_some() {
            assert!(possible.contains(&ATTEMPTS), "a lock comes with the last try");
            assert_eq!(locked_until, Some(now + LOCK_S * SECOND_NS), "a lock lasts its time");
            possible.retain(|tried| *tried == ATTEMPTS);
            known.locked_until = locked_until;
        } else {
            possible.retain(|tried| *tried < ATTEMPTS);
            known.locked_until = None;
        }
        known.tried = possible;
    }

    /// Whether a process that died may have set a password before.
    pub(crate) fn may_have_set(&self, user: usize, verb: &Verb) -> bool {
        let Verb::SetPassword { old, .. } = verb else { return false };
        self.users.get(&user).is_some_and(|known| known.password.is_none() || known.password == *old)
    }
}
