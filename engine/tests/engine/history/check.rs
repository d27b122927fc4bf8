//! Whether a history of calls is one that a single correct ledger, one call at a time, could have given: all that was posted, and
//! each account by itself.
//!
//! The order in question is the journal's: each outcome names its position. So it is checked, not searched for:
//! 1. who began after somebody was answered comes after him in the journal;
//! 2. the naive ledger, in the journal's order, posts what was posted and refuses what was refused, for the same reason;
//! 3. an account as it was read has all that was answered before, nothing that was asked for afterwards, and all of its
//!    debits in the journal's order.
//!
//! What nothing can refuse, such as a credit without a ceiling or the end of a hold at its payee, may reach its account's shard
//! after what the journal has behind it, as long as nobody was answered: 2 and 3 allow for that, account by account, judged by
//! what it does there. So a refusal may have seen what is on its way at one account and not at another.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use yue_engine::{
    model::{AccountNo, Position, RejectionCode, ResolvedOperation, TransactionId},
    view::Outcome,
};

use super::naive::{Naive, Rules};

/// What a client did, between two moments of one clock that all clients share.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Transaction { operations: Vec<ResolvedOperation>, outcome: Outcome },
    Read { account: AccountNo, posted: i128, held: i128, position: Position },
}

/// What a checked history had in it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) posted: usize,
    pub(super) refused: BTreeMap<&'static str, usize>,
    pub(super) reads: usize,
    /// Reads while something that concerns the account was on its way.
    pub(super) reads_in_between: usize,
    /// Copies that were told the first outcome.
    pub(super) copies: usize,
}

impl Seen {
    pub(super) fn add(&mut self, other: Self) {
        self.posted += other.posted;
        self.reads += other.reads;
        self.reads_in_between += other.reads_in_between;
        self.copies += other.copies;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// A transaction: its copies as one, which has an effect before any of them is answered.
struct Decided<'a> {
    began: u64,
    ended: u64,
    operations: &'a [ResolvedOperation],
    outcome: Outcome,
    /// Answers that were no replays.
    firsts: usize,
}

/// What a transaction did to an account.
struct Change {
    began: u64,
    ended: u64,
    position: Position,
    by: Balance,
}

/// Of an account, or of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Balance {
    posted: i128,
    held: i128,
    /// What counts for the ceiling.
    filled: i128,
}

impl Balance {
    fn of(naive: &Naive, no: AccountNo) -> Self {
        let posted = naive.posted(no).unwrap();
        Self { posted, held: posted - naive.available(no).unwrap(), filled: naive.filled(no).unwrap() }
    }
}

impl Change {
    fn between(it: &Decided<'_>, before: Balance, after: Balance) -> Option<Self> {
        let by = Balance {
            posted: after.posted - before.posted,
            held: after.held - before.held,
            filled: after.filled - before.filled,
        };
        let &Decided { began, ended, outcome: Outcome { position, .. }, .. } = it;
        (before != after).then_some(Self { began, ended, position, by })
    }

    /// Whether it may come late, as seen from its account: see the module.
    fn may_be_late(&self) -> bool {
        self.by.posted >= 0 && self.by.held == 0
    }
}

/// Checks a history, given what its accounts are like.
pub(super) fn check(rules: &[Rules], calls: &[Call]) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let decided = decided(calls, &mut seen)?;
    in_order_of_time(&decided)?;
    let naive = Naive { rules: rules.to_vec(), history: Vec::new() };
    let changes = replay(naive, &decided, &mut seen)?;
    reads(&changes, calls, &mut seen)?;
    Ok(seen)
}

/// The transactions in the journal's order.
fn decided<'a>(calls: &'a [Call], seen: &mut Seen) -> Result<Vec<Decided<'a>>, String> {
    let mut by_id = BTreeMap::<TransactionId, Decided<'a>>::new();
    for call in calls {
        let What::Transaction { operations, outcome } = &call.what else { continue };
        let &Call { began, ended, .. } = call;
        let first = by_id.entry(outcome.id).or_insert(Decided {
            began,
            ended,
            operations,
            outcome: *outcome,
            firsts: 0,
        });
        let told = |it: &Outcome| (it.position, it.at, it.decided_at, it.verdict);
        if told(&first.outcome) != told(outcome) {
            return Err(format!("two outcomes of one id: {:?} and {outcome:?}", first.outcome));
        }
        (first.began, first.ended) = (first.began.min(began), first.ended.min(ended));
        first.firsts += usize::from(!outcome.replayed);
        seen.copies += usize::from(outcome.replayed);
    }
    if let Some(it) = by_id.values().find(|it| it.firsts != 1) {
        return Err(format!("{} first answers: {:?}", it.firsts, it.outcome));
    }
    let mut decided: Vec<_> = by_id.into_values().collect();
    decided.sort_by_key(|it| it.outcome.position);
    match decided.windows(2).find(|pair| pair[0].outcome.position == pair[1].outcome.position) {
        Some(pair) => {
            Err(format!("two ids at one position: {:?} and {:?}", pair[0].outcome, pair[1].outcome))
        }
        None => Ok(decided),
    }
}

/// Nobody who began after somebody else was answered is before him.
fn in_order_of_time(decided: &[Decided<'_>]) -> Result<(), String> {
    let mut latest_began = 0;
    for it in decided {
        // Whoever is earlier in the journal must have begun before this one was answered.
        if latest_began > it.ended {
            return Err(format!(
                "position {} was answered before one ahead of it was asked for",
                it.outcome.position
            ));
        }
        latest_began = latest_began.max(it.began);
    }
    Ok(())
}

/// Lets the naive ledger judge each transaction; gives what the posted ones changed, by account.
fn replay(
    mut naive: Naive,
    decided: &[Decided<'_>],
    seen: &mut Seen,
) -> Result<BTreeMap<AccountNo, Vec<Change>>, String> {
    let numbers: Vec<_> = (0..naive.rules.len()).map(|no| AccountNo(u32::try_from(no).unwrap())).collect();
    let mut changes: BTreeMap<AccountNo, Vec<Change>> = numbers.iter().map(|no| (*no, Vec::new())).collect();
    for it in decided {
        let outcome = it.outcome;
        let Err(rejection) = outcome.verdict else {
            let before: Vec<_> = numbers.iter().map(|no| Balance::of(&naive, *no)).collect();
            judge(&mut naive, it)
                .map_err(|code| format!("{outcome:?} was posted; the model says {code:?}"))?;
            for (no, before) in numbers.iter().zip(before) {
                let change = Change::between(it, before, Balance::of(&naive, *no));
                changes.get_mut(no).unwrap().extend(change);
            }
            seen.posted += 1;
            continue;
        };
        let told = (rejection.code, rejection.operation);
        let explained =
            perhaps_late(&naive, &changes, it).any(|mut state| judge(&mut state, it) == Err(told));
        if !explained {
            let said = judge(&mut naive.clone(), it);
            return Err(format!("{outcome:?} was refused; the model says {said:?}"));
        }
        *seen.refused.entry(rejection.code.as_str()).or_default() += 1;
    }
    Ok(changes)
}

fn judge(naive: &mut Naive, it: &Decided<'_>) -> Result<(), (RejectionCode, u8)> {
    let operations: Vec<(ResolvedOperation, Option<CompactString>)> =
        it.operations.iter().map(|operation| (operation.clone(), None)).collect();
    naive.post(it.outcome.id, &operations, it.outcome.decided_at)
}

/// The states that a transaction may have met: all that is before it in the journal, but for what may be late at its accounts
/// and nobody had been told of when it began. All or nothing of it: a guard stops the most that can be late, or nothing.
fn perhaps_late(
    naive: &Naive,
    changes: &BTreeMap<AccountNo, Vec<Change>>,
    it: &Decided<'_>,
) -> impl Iterator<Item = Naive> {
    let named = it.operations.iter().filter_map(|operation| match *operation {
        ResolvedOperation::Transfer { debit, credit, .. }
        | ResolvedOperation::Hold { debit, credit, .. }
        | ResolvedOperation::Reverse { debit, credit, .. } => Some([debit, credit]),
        ResolvedOperation::Capture { .. } | ResolvedOperation::Release { .. } => None,
    });
    let accounts: BTreeSet<_> = named.flatten().collect();
    // What the account lacks for its floor, and what fills it up to its ceiling.
    let late = |no: AccountNo| {
        let late = changes[&no].iter().filter(|change| change.may_be_late() && change.ended > it.began);
        let sums = late
            .fold((0, 0), |(lacks, fills), Change { by, .. }| (lacks + by.posted, fills - by.filled.min(0)));
        [(no, sums.0, 0), (no, 0, sums.1)]
    };
    let late: Vec<_> =
        accounts.into_iter().flat_map(late).filter(|&(_, lacks, fills)| lacks + fills > 0).collect();
    (0..1_u32 << late.len()).map(move |chosen| {
        let mut state = naive.clone();
        for (index, &(no, lacks, fills)) in late.iter().enumerate() {
            if chosen >> index & 1 == 1 {
                let rules = &mut state.rules[no.index()];
                rules.floor = rules.floor.map(|floor| floor + lacks);
                rules.ceiling = rules.ceiling.map(|ceiling| ceiling - fills);
            }
        }
        state
    })
}

/// Each read shows a state that its account had between the moments at which it began and ended.
fn reads(changes: &BTreeMap<AccountNo, Vec<Change>>, calls: &[Call], seen: &mut Seen) -> Result<(), String> {
    let mut latest = BTreeMap::<AccountNo, Vec<(u64, Position)>>::new();
    let mut in_time: Vec<_> = calls.iter().collect();
    in_time.sort_by_key(|call| call.began);
    for call in in_time {
        let What::Read { account, posted, held, position } = call.what else { continue };
        let told = format!("{account:?} was read as {posted}, {held} held, at {position}");
        let of_account = &changes[&account];
        // Balance and position are read as one: what is at the position is in, what is behind it is not.
        let must = |it: &&Change| it.ended < call.began || it.position == position;
        let may = |it: &&Change| it.began < call.ended && it.position <= position;
        if of_account.iter().any(|it| it.ended < call.began && it.position > position) {
            return Err(format!("{told}, without what was answered before"));
        }
        if of_account.iter().any(|it| it.began > call.ended && it.position <= position) {
            return Err(format!("{told}, with what was not asked for yet"));
        }
        let earlier = latest.entry(account).or_default();
        if earlier.iter().any(|&(ended, earlier)| ended < call.began && earlier > position) {
            return Err(format!("{told}, behind an earlier read"));
        }
        earlier.push((call.ended, position));

        let (late, ordered): (Vec<_>, Vec<_>) = of_account.iter().partition(|it| it.may_be_late());
        let sure: i128 = late.iter().copied().filter(must).map(|it| it.by.posted).sum();
        let open = late.iter().copied().filter(|it| may(it) && !must(it)).map(|it| it.by.posted);
        let mut sums = BTreeSet::from([sure]);
        for amount in open {
            sums.extend(sums.clone().into_iter().map(|sum| sum + amount));
        }
        let least = ordered.iter().rposition(must).map_or(0, |index| index + 1);
        let most = ordered.iter().position(|it| !may(it)).unwrap_or(ordered.len());
        let explained = (least..=most).any(|count| {
            let whole = &ordered[..count];
            held == whole.iter().map(|it| it.by.held).sum::<i128>()
                && sums.contains(&(posted - whole.iter().map(|it| it.by.posted).sum::<i128>()))
        });
        if !explained {
            return Err(format!("{told}, which it never was in that time"));
        }
        seen.reads += 1;
        seen.reads_in_between +=
            usize::from(of_account.iter().any(|it| it.began < call.ended && it.ended > call.began));
    }
    Ok(())
}
