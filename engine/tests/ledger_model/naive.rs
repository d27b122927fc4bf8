use compact_str::CompactString;
use yue_engine::model::{
    AccountNo, Floor, HoldId, Limit, LimitWindow, NormalSide, RejectionCode as Code, ResolvedOperation,
    Timestamp, TransactionId,
};

/// The rules in the plainest form: a list of what happened, from which everything is counted again each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) rules: Vec<Rules>,
    pub(crate) history: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) normal: NormalSide,
    /// Net before the history.
    pub(crate) base: i128,
    pub(crate) floor: Floor,
    pub(crate) ceiling: Option<i128>,
    /// Each with the length of the history when it came to be.
    pub(crate) limits: Vec<(Limit, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) transaction: TransactionId,
    pub(crate) operation: u8,
    pub(crate) code: Option<CompactString>,
    pub(crate) did: Did,
}

#[derive(Clone, Debug)]
pub(crate) enum Did {
    Transfer { debit: AccountNo, credit: AccountNo, amount: u64 },
    Hold { id: HoldId, debit: AccountNo, credit: AccountNo, amount: u64, expires_at: Timestamp },
    Capture { id: HoldId, amount: u64 },
    Release { id: HoldId },
    Expire { id: HoldId },
    Reverse { original: (TransactionId, u8), debit: AccountNo, credit: AccountNo, amount: u64 },
}

pub(crate) struct Placed {
    pub(crate) index: usize,
    pub(crate) debit: AccountNo,
    pub(crate) credit: AccountNo,
    pub(crate) amount: u64,
    pub(crate) expires_at: Timestamp,
}

impl Naive {
    /// Every hold that was ever placed.
    pub(crate) fn holds(&self) -> Vec<(HoldId, Placed)> {
        let placed = |(index, entry): (usize, &Entry)| match entry.did {
            Did::Hold { id, debit, credit, amount, expires_at } => {
                Some((id, Placed { index, debit, credit, amount, expires_at }))
            }
            _ => None,
        };
        self.history.iter().enumerate().filter_map(placed).collect()
    }

    pub(crate) fn placed(&self, hold: HoldId) -> Placed {
        self.holds().into_iter().find(|(id, _)| *id == hold).unwrap().1
    }

    /// The entry that ended a hold, if there is one.
    pub(crate) fn end(&self, hold: HoldId) -> Option<usize> {
        self.history.iter().position(|entry| match entry.did {
            Did::Capture { id, .. } | Did::Release { id } | Did::Expire { id } => id == hold,
            _ => false,
        })
    }

    /// What an entry moved: debit, credit, amount.
    pub(crate) fn moved(&self, entry: &Entry) -> Option<(AccountNo, AccountNo, u64)> {
        match entry.did {
            Did::Transfer { debit, credit, amount } | Did::Reverse { debit, credit, amount, .. } => {
                Some((debit, credit, amount))
            }
            Did::Capture { id, amount } => {
                let placed = self.placed(id);
                Some((placed.debit, placed.credit, amount))
            }
            Did::Hold { .. } | Did::Release { .. } | Did::Expire { .. } => None,
        }
    }

    pub(crate) fn original(&self, (transaction, operation): (TransactionId, u8)) -> usize {
        let is_it = |entry: &Entry| entry.transaction == transaction && entry.operation == operation;
        self.history.iter().position(is_it).unwrap()
    }

    /// The entry whose debit was counted on the limits for what `index` moved: a capture's is its hold.
    pub(crate) fn counted_as(&self, index: usize) -> usize {
        match self.history[index].did {
            Did::Capture { id, .. } => self.placed(id).index,
            _ => index,
        }
    }

    /// The sum of all reversals of an operation among the first `length` entries.
    pub(crate) fn reversed(&self, of: (TransactionId, u8), length: usize) -> u128 {
        let amount = |entry: &Entry| match entry.did {
            Did::Reverse { original, amount, .. } if original == of => u128::from(amount),
            _ => 0,
        };
        self.history[..length].iter().map(amount).sum()
    }

    pub(crate) fn net(&self, no: AccountNo) -> Option<i128> {
        let mut sum = 0_i128;
        for entry in &self.history {
            if let Some((debit, credit, amount)) = self.moved(entry) {
                sum += i128::from(amount) * (i128::from(credit == no) - i128::from(debit == no));
            }
        }
        self.rules[no.index()].base.checked_add(sum)
    }

    pub(crate) fn held(&self, on: impl Fn(&Placed) -> bool) -> u128 {
        let live = self.holds().into_iter().filter(|(id, placed)| self.end(*id).is_none() && on(placed));
        live.map(|(_, placed)| u128::from(placed.amount)).sum()
    }

    pub(crate) fn posted(&self, no: AccountNo) -> Option<i128> {
        match self.rules[no.index()].normal {
            NormalSide::Credit => self.net(no),
            NormalSide::Debit => self.net(no)?.checked_neg(),
        }
    }

    pub(crate) fn available(&self, no: AccountNo) -> Option<i128> {
        let held = match self.rules[no.index()].normal {
            NormalSide::Credit => self.held(|hold| hold.debit == no),
            NormalSide::Debit => self.held(|hold| hold.credit == no),
        };
        self.posted(no)?.checked_sub(i128::try_from(held).unwrap())
    }

    pub(crate) fn filled(&self, no: AccountNo) -> Option<i128> {
        let held = match self.rules[no.index()].normal {
            NormalSide::Credit => self.held(|hold| hold.credit == no),
            NormalSide::Debit => self.held(|hold| hold.debit == no),
        };
        self.posted(no)?.checked_add(i128::try_from(held).unwrap())
    }

    /// Amount and count that a limit has counted in the window of `now`.
    pub(crate) fn used(&self, no: AccountNo, (limit, born): &(Limit, usize), now: Timestamp) -> (u128, u64) {
        let counts = |index: usize| {
            let entry = &self.history[index];
            index >= *born
                && (limit.code.is_none() || limit.code == entry.code)
                && window(limit.window, entry.at) == window(limit.window, now)
        };
        let (mut amounts, mut counted) = (0_i128, 0_i64);
        for (index, entry) in self.history.iter().enumerate() {
            match entry.did {
                Did::Transfer { debit, amount, .. } | Did::Hold { debit, amount, .. } => {
                    if debit == no && counts(index) {
                        (amounts, counted) = (amounts + i128::from(amount), counted + 1);
                    }
                }
                Did::Capture { id, amount } => {
                    let placed = self.placed(id);
                    if placed.debit == no && counts(placed.index) {
                        amounts -= i128::from(placed.amount - amount);
                    }
                }
                Did::Release { id } | Did::Expire { id } => {
                    let placed = self.placed(id);
                    if placed.debit == no && counts(placed.index) {
                        (amounts, counted) = (amounts - i128::from(placed.amount), counted - 1);
                    }
                }
                Did::Reverse { original, debit, credit, amount } => {
                    if debit == no && counts(index) {
                        (amounts, counted) = (amounts + i128::from(amount), counted + 1);
                    }
                    if credit == no && counts(self.counted_as(self.original(original))) {
                        amounts -= i128::from(amount);
                    }
                }
            }
        }
        (u128::try_from(amounts).unwrap(), u64::try_from(counted).unwrap())
    }

    /// Judges operations, and lets them happen if none is refused.
    pub(crate) fn post(
        &mut self,
        transaction: TransactionId,
        operations: &[(ResolvedOperation, Option<CompactString>)],
        now: Timestamp,
    ) -> Result<(), (Code, u8)> {
        let before = self.history.len();
        for (index, (operation, code)) in (0..).zip(operations) {
            let verdict = self.wanted(operation, now).and_then(|did| {
                let entry = Entry { at: now, transaction, operation: index, code: code.clone(), did };
                self.happen(entry, now)
            });
            if let Err(code) = verdict {
                self.history.truncate(before);
                return Err((code, index));
            }
        }
        Ok(())
    }

    /// What an operation would do, by the rules on holds and reversals.
    fn wanted(&self, operation: &ResolvedOperation, now: Timestamp) -> Result<Did, Code> {
        match *operation {
            ResolvedOperation::Transfer { debit, credit, amount } => {
                Ok(Did::Transfer { debit, credit, amount: amount.0 })
            }
            ResolvedOperation::Hold { id, debit, credit, amount, expires_in } => {
                let expires_at = Timestamp(now.0 + i64::from(expires_in) * 1_000_000_000);
                Ok(Did::Hold { id, debit, credit, amount: amount.0, expires_at })
            }
            ResolvedOperation::Capture { hold, amount } => {
                let placed = self.live(hold.id, now)?;
                let amount = amount.map_or(placed.amount, |amount| amount.0);
                if amount > placed.amount {
                    return Err(Code::CaptureExceedsHold);
                }
                Ok(Did::Capture { id: hold.id, amount })
            }
            ResolvedOperation::Release { hold } => {
                self.live(hold.id, now).map(|_| Did::Release { id: hold.id })
            }
            ResolvedOperation::Reverse { transaction, operation, amount, .. } => {
                let of = (transaction, operation);
                let (debit, credit, whole) = self.moved(&self.history[self.original(of)]).unwrap();
                let left = u128::from(whole) - self.reversed(of, self.history.len());
                let amount = amount.map_or(u64::try_from(left).unwrap(), |amount| amount.0);
                if amount == 0 || u128::from(amount) > left {
                    return Err(Code::ReversalExceedsOriginal);
                }
                Ok(Did::Reverse { original: of, debit: credit, credit: debit, amount })
            }
        }
    }

    fn live(&self, hold: HoldId, now: Timestamp) -> Result<Placed, Code> {
        let placed = self.placed(hold);
        match self.end(hold).map(|index| &self.history[index].did) {
            Some(Did::Capture { .. }) => Err(Code::HoldCaptured),
            Some(Did::Release { .. }) => Err(Code::HoldReleased),
            Some(_) => Err(Code::HoldExpired),
            None if now.0 >= placed.expires_at.0 => Err(Code::HoldExpired),
            None => Ok(placed),
        }
    }

    /// Adds an entry unless its accounts refuse it.
    fn happen(&mut self, entry: Entry, now: Timestamp) -> Result<(), Code> {
        let (debit, credit, spent) = match entry.did {
            Did::Transfer { debit, credit, amount }
            | Did::Hold { debit, credit, amount, .. }
            | Did::Reverse { debit, credit, amount, .. } => (debit, credit, Some(amount)),
            Did::Capture { id, .. } | Did::Release { id } | Did::Expire { id } => {
                let placed = self.placed(id);
                (placed.debit, placed.credit, None)
            }
        };
        if let Some(amount) = spent {
            for limit in &self.rules[debit.index()].limits {
                let counts = limit.0.code.is_none() || limit.0.code == entry.code;
                let (amounts, count) = self.used(debit, limit, now);
                let amounts_exceed =
                    limit.0.amount.is_some_and(|most| amounts + u128::from(amount) > u128::from(most));
                if counts && (amounts_exceed || limit.0.count.is_some_and(|most| count + 1 > u64::from(most)))
                {
                    return Err(Code::LimitExceeded);
                }
            }
        }
        self.history.push(entry);
        let mut verdict = Ok(());
        for no in [debit, credit] {
            let rules = &self.rules[no.index()];
            let (posted, available, filled) = (self.posted(no), self.available(no), self.filled(no));
            let broken = if spent.is_none() {
                None
            } else if (no == debit) == (rules.normal == NormalSide::Credit) {
                rules
                    .floor
                    .filter(|&floor| available.is_none_or(|it| it < floor))
                    .map(|_| Code::InsufficientFunds)
            } else {
                rules.ceiling.filter(|&most| filled.is_none_or(|it| it > most)).map(|_| Code::CeilingExceeded)
            };
            let out_of_range =
                (posted.is_none() || available.is_none() || filled.is_none()).then_some(Code::Overflow);
            if let Some(code) = broken.or(out_of_range) {
                verdict = Err(verdict.err().map_or(code, |earlier: Code| earlier.min(code)));
            }
        }
        verdict
    }
}

/// The window's name in Shanghai.
fn window(window: LimitWindow, at: Timestamp) -> String {
    let offset = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let date = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap().to_zoned(offset).date();
    match window {
        LimitWindow::Day => date.strftime("%Y-%m-%d").to_string(),
        LimitWindow::Month => date.strftime("%Y-%m").to_string(),
        LimitWindow::Year => date.strftime("%Y").to_string(),
        LimitWindow::Lifetime => String::new(),
    }
}
