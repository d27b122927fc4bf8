//! What clients ask for: accounts, and transactions that no honest client would send.
//!
//! Owns the plan of accounts and the ids that were used. Invariant: every body follows from the seed.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};
use smallvec::SmallVec;

use super::random::Random;
use crate::journal::Record;
use crate::model::{
    AccountChange, AccountOpening, AccountStatus, Address, HoldId, Limit, LimitWindow, Metadata, NormalSide,
    Operation, OperationKind, Patch, PostedKind, RequestedAmount, Transaction, TransactionId,
};

const CODES: [&str; 5] = ["pay", "transfer", "withdraw", "pay.small", "payout"];
/// Ids that are likely to be named again.
const RECENT: usize = 24;

pub(super) struct Workload {
    pub(super) accounts: Vec<AccountOpening>,
    pub(super) sent: Vec<Transaction>,
    holds: Vec<HoldId>,
    /// What can be reversed.
    moved: Vec<(TransactionId, u8)>,
    next: u128,
    /// One of so many things that are named is not there.
    honest: usize,
}

impl Workload {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut accounts = Vec::new();
        for name in ["channels:wechat", "channels:alipay"] {
            accounts.push(opening(name, "CNY", NormalSide::Debit, None, None, Vec::new()));
        }
        let ceiling = random.between(2_000, 50_000).into();
        accounts.push(opening("channels:bank", "CNY", NormalSide::Debit, Some(0), Some(ceiling), Vec::new()));
        for name in ["merchants:jd", "merchants:jd:fees", "merchants:tao"] {
            accounts.push(opening(name, "CNY", NormalSide::Credit, None, None, Vec::new()));
        }
        let floor = if random.once_in(2) { Some(0) } else { Some(-500) };
        accounts.push(opening("merchants:strict", "CNY", NormalSide::Credit, floor, None, Vec::new()));
        accounts.push(opening("promotions:618", "CNY", NormalSide::Credit, Some(0), None, limits(random)));
        accounts.push(opening("slots:noon", "SLOT", NormalSide::Debit, Some(0), Some(20), Vec::new()));
        accounts.push(opening("slots:all", "SLOT", NormalSide::Credit, None, None, Vec::new()));
        for customer in 0..4 + random.below(8) {
            let limits = if random.once_in(2) { limits(random) } else { Vec::new() };
            let ceiling = random.once_in(3).then(|| i128::from(random.between(500, 5_000)));
            let floor = match random.below(8) {
                0 => None,
                1 => Some(i128::from(random.between(-300, 0))),
                _ => Some(0),
            };
            let name = format!("customers:{customer}");
            accounts.push(opening(&name, "CNY", NormalSide::Credit, floor, ceiling, limits));
            if random.once_in(3) {
                let carbon =
                    opening(&format!("{name}:carbon"), "CARBON", NormalSide::Credit, None, None, Vec::new());
                accounts.push(carbon);
            }
        }
        let honest = *random.pick(&[8, 60, 400]);
        Self { accounts, sent: Vec::new(), holds: Vec::new(), moved: Vec::new(), next: 1, honest }
    }

    pub(super) fn opening(&self, random: &mut Random) -> AccountOpening {
        let mut opening = random.pick(&self.accounts).clone();
        if random.once_in(6) {
            opening.floor = Some(-1);
        }
        opening
    }

    pub(super) fn address(&self, random: &mut Random) -> Address {
        if random.once_in(self.honest) {
            return address("nobody:1");
        }
        // A few accounts are hot.
        let end = if random.once_in(3) { 8 } else { self.accounts.len() };
        self.accounts[random.below(end)].address.clone()
    }

    pub(super) fn change(&self, random: &mut Random) -> (Address, AccountChange) {
        let mut change = AccountChange::default();
        let address = self.accounts[random.below(self.accounts.len())].address.clone();
        match random.below(8) {
            0 | 1 => change.status = Patch::Set(AccountStatus::Frozen),
            2..5 => change.status = Patch::Set(AccountStatus::Active),
            5 => change.limits = Patch::Set(if random.once_in(3) { Vec::new() } else { limits(random) }),
            6 => change.ceiling = Patch::Set(random.once_in(2).then(|| random.between(100, 9_000).into())),
            _ => change.floor = Patch::Set(random.once_in(2).then(|| random.between(-400, 200).into())),
        }
        if random.once_in(5) {
            change.status = Patch::Set(AccountStatus::Closed);
        }
        (address, change)
    }

    pub(super) fn transaction(&mut self, random: &mut Random) -> Transaction {
        if !self.sent.is_empty() && random.once_in(12) {
            let mut copy =
                if random.once_in(2) { random.pick(&self.sent) } else { self.recent(random) }.clone();
            if random.once_in(3) {
                self.alter(&mut copy, random);
            }
            return copy;
        }
        let count = random.weighted(&[0, 60, 25, 10, 5]) + if random.once_in(200) { 60 } else { 0 };
        let id = self.fresh(random);
        let operations: SmallVec<[Operation; 2]> = (0..count).map(|_| self.operation(id, random)).collect();
        let transaction = Transaction {
            id: TransactionId(id),
            operations,
            code: code(random),
            reference: random.once_in(4).then(|| format_compact!("order-{}", random.below(1_000))),
            metadata: metadata(random),
            attachment: None,
        };
        self.sent.push(transaction.clone());
        transaction
    }

    /// Takes over what later transactions can refer to.
    pub(super) fn learn(&mut self, record: &Record) {
        let Record::Posted(posted) = record else { return };
        for (index, operation) in (0_u8..).zip(&posted.operations) {
            match operation.kind {
                PostedKind::Transfer { .. } | PostedKind::Capture { .. } => {
                    // An alias leads to the transaction, but is not the one to be reversed.
                    let aliases = super::attachments::aliases(record).iter().copied();
                    self.moved.extend(aliases.chain([posted.id]).map(|id| (id, index)));
                }
                PostedKind::Hold { id, .. } => self.holds.push(id),
                PostedKind::Release { .. } | PostedKind::Reverse { .. } => {}
            }
        }
    }

    fn fresh(&mut self, random: &mut Random) -> u128 {
        self.next += 1;
        // Ids of all kinds: ordered as v7, and random.
        let high = if random.once_in(2) { u128::from(random.next()) << 64 } else { 0 };
        high | self.next << 8
    }

    fn recent_or(&self, own: u128, random: &mut Random) -> TransactionId {
        if self.sent.is_empty() { TransactionId(own) } else { self.recent(random).id }
    }

    fn recent<'a>(&'a self, random: &mut Random) -> &'a Transaction {
        &self.sent[self.sent.len() - 1 - random.below(self.sent.len().min(RECENT))]
    }

    fn alter(&self, copy: &mut Transaction, random: &mut Random) {
        match random.below(4) {
            0 => copy.code = Some("other".into()),
            1 => copy.reference = Some("other".into()),
            2 => copy
                .operations
                .push(Operation { kind: OperationKind::Release { hold: HoldId(77) }, code: None }),
            _ => {
                if let Some(OperationKind::Transfer { amount, .. }) =
                    copy.operations.first_mut().map(|it| &mut it.kind)
                {
                    *amount = RequestedAmount::parse("7.77");
                }
            }
        }
    }

    fn operation(&mut self, own: u128, random: &mut Random) -> Operation {
        let kinds = if random.once_in(self.honest) {
            [10; 5]
        } else {
            // Holds and postings are named once they are there.
            let (holds, moved) = (usize::from(!self.holds.is_empty()), usize::from(!self.moved.is_empty()));
            [50, 18, 14 * holds, 6 * holds, 12 * moved]
        };
        let kind = match random.weighted(&kinds) {
            0 => {
                let (debit, credit) = self.pair(random);
                let amount = self.amount_of(&debit, random);
                OperationKind::Transfer { debit, credit, amount }
            }
            1 => {
                let (debit, credit) = self.pair(random);
                let id =
                    if random.once_in(self.honest) { self.hold(random) } else { HoldId(self.fresh(random)) };
                if random.once_in(self.honest) {
                    // Perhaps it is named before it is placed.
                    self.holds.push(id);
                }
                let expires_in = *random.pick(&[1, 60, 900, 86_400, 864_000, 2_592_000, 2_592_000]);
                let amount = self.amount_of(&debit, random);
                OperationKind::Hold { id, debit, credit, amount, expires_in }
            }
            2 => {
                let amount = random.once_in(2).then(|| amount(random));
                OperationKind::Capture { hold: self.hold(random), amount }
            }
            3 => OperationKind::Release { hold: self.hold(random) },
            _ => {
                let (transaction, operation) = match self.moved.len() {
                    _ if random.once_in(self.honest) => (TransactionId(own), 0),
                    0 => (TransactionId(own), 0),
                    _ if random.once_in(self.honest) => {
                        (self.recent_or(own, random), if random.once_in(3) { 1 } else { 0 })
                    }
                    count if random.once_in(3) => self.moved[random.below(count)],
                    count => self.moved[count - 1 - random.below(count.min(RECENT))],
                };
                OperationKind::Reverse {
                    transaction,
                    operation,
                    amount: random.once_in(2).then(|| amount(random)),
                }
            }
        };
        Operation { kind, code: if random.once_in(6) { code(random) } else { None } }
    }

    /// Slots and points are whole.
    fn amount_of(&self, debit: &Address, random: &mut Random) -> RequestedAmount {
        let whole = |it: &AccountOpening| it.address == *debit && it.asset != "CNY";
        if !random.once_in(self.honest) && self.accounts.iter().any(whole) {
            return RequestedAmount::parse(&format!("{}", 1 + random.below(3)));
        }
        amount(random)
    }

    fn hold(&self, random: &mut Random) -> HoldId {
        match self.holds.len() {
            0 => HoldId(1),
            _ if random.once_in(self.honest) => HoldId(1),
            count if random.once_in(4) => self.holds[random.below(count)],
            count => self.holds[count - 1 - random.below(count.min(RECENT))],
        }
    }

    /// Mostly money's usual ways: recharge, payment, promotion, refund.
    fn pair(&self, random: &mut Random) -> (Address, Address) {
        let any = random.once_in(self.honest);
        let of = |prefix: &str, random: &mut Random| {
            let fits = |it: &&AccountOpening| {
                let asset = if prefix == "slots:" { "SLOT" } else { "CNY" };
                it.address.as_str().starts_with(prefix) && (any || it.asset == asset)
            };
            let found: Vec<_> = self.accounts.iter().filter(fits).collect();
            random.pick(&found).address.clone()
        };
        match random.weighted(&[40, 36, 8, 8, 6, 20, if any { 20 } else { 0 }]) {
            0 => (of("channels:", random), of("customers:", random)),
            1 => (of("customers:", random), of("merchants:", random)),
            2 => (of("promotions:", random), of("merchants:", random)),
            3 => (of("merchants:", random), of("customers:", random)),
            4 => (of("slots:", random), of("slots:", random)),
            5 => (of("customers:", random), of("customers:", random)),
            _ => (self.address(random), self.address(random)),
        }
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn opening(
    name: &str,
    asset: &str,
    normal: NormalSide,
    floor: Option<i128>,
    ceiling: Option<i128>,
    limits: Vec<Limit>,
) -> AccountOpening {
    let metadata = Metadata::default();
    AccountOpening {
        address: address(name),
        asset: asset.into(),
        normal,
        floor,
        ceiling,
        limits,
        metadata,
        managed: false,
    }
}

fn limits(random: &mut Random) -> Vec<Limit> {
    let windows = [LimitWindow::Day, LimitWindow::Month, LimitWindow::Year, LimitWindow::Lifetime];
    let limit = |window: &LimitWindow, random: &mut Random| Limit {
        window: *window,
        code: code(random),
        amount: random.once_in(2).then(|| random.next() % 3_000 + 1),
        count: random.once_in(2).then(|| u32::try_from(random.below(12)).unwrap_or(1) + 1),
    };
    let mut limits = vec![limit(random.pick(&windows), random)];
    if random.once_in(2) {
        limits.push(limit(random.pick(&windows), random));
    }
    // Each window and code once.
    limits.dedup_by(|one, other| (one.window, &one.code) == (other.window, &other.code));
    limits
}

fn code(random: &mut Random) -> Option<CompactString> {
    random.once_in(2).then(|| (*random.pick(&CODES)).into())
}

fn amount(random: &mut Random) -> RequestedAmount {
    let text = match random.below(400) {
        0 => "0".into(),
        1 => "-1".into(),
        2 => "1e3".into(),
        3 => "0.001".into(),
        4 => "184467440737095516.15".into(),
        5 => "18446744073709551615".into(),
        6 => "99999999999999999999999999999999999999".into(),
        7..50 => format!("{}", 1 + random.below(9)),
        _ => format!("{}.{:02}", random.below(30), random.below(100)),
    };
    RequestedAmount::parse(&text)
}

fn metadata(random: &mut Random) -> Metadata {
    if !random.once_in(8) {
        return Metadata::default();
    }
    let pairs = BTreeMap::from([("channel".into(), format_compact!("{}", random.below(5)))]);
    Metadata::new(pairs).expect("one short pair")
}
