//! The close of a day: the books cut at its last record.
//!
//! Step 0 marks the journal after the day's end, so that nothing of the day can come behind it. Step 1 is the result.
//! Owns the classes of accounts. Never stops anything: the cut is found in the journal, not made. Invariant: a day has one
//! result, whenever and however often it is closed.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{
    Date, Wallet, WalletCode, WalletError,
    document::Document,
    names,
    step::{Draft, Settled},
};
use crate::{
    fatal::fatal,
    model::{Address, Asset, Lane, Position, PostedKind, Timestamp},
    view::{Event, PostedOperationView},
};

/// What an account is to the platform, by the first part of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccountClass {
    /// What others owe the platform: channels, reserves.
    Assets,
    /// What the platform owes: customers, merchants, suspense, clearing.
    Liabilities,
    /// What it earns and spends: fees, promotions, rounding.
    IncomeAndExpense,
    /// Accounts that ledger callers have named otherwise.
    Other,
}

impl AccountClass {
    /// The class of a first address part.
    fn of(group: &str) -> Self {
        match group {
            "channels" | "reserve" => Self::Assets,
            "customers" | "merchants" | "suspense" | "wealth" => Self::Liabilities,
            "platform" | "promos" => Self::IncomeAndExpense,
            _ => Self::Other,
        }
    }
}

/// Turnover of a class in an asset, from the ledger's first record to the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassTotals {
    /// Which class.
    pub class: AccountClass,
    /// In what.
    pub asset: Asset,
    /// All debits, in minor units.
    pub debits: u128,
    /// All credits, in minor units.
    pub credits: u128,
}

/// A closed day.
#[derive(Clone, Debug)]
pub struct ClosedDay {
    /// Which day.
    pub date: Date,
    /// The last record of the day or before.
    pub position: Position,
    /// The day's end: nothing at or after it is in the totals.
    pub at: Timestamp,
    /// By class and asset.
    pub classes: Vec<ClassTotals>,
    /// Whether it was closed before this call.
    pub replayed: bool,
}

/// The record that a day is being closed.
#[derive(Serialize, Deserialize)]
struct DayEnded {
    date: Date,
}

impl Document for DayEnded {
    const TAG: u8 = 45;
    const LANE: Lane = Lane::Batch;
}

/// The record of a closed day.
#[derive(Serialize, Deserialize)]
struct DayClosed {
    date: Date,
    position: u64,
    totals: Totals,
}

impl Document for DayClosed {
    const TAG: u8 = 46;
    const LANE: Lane = Lane::Batch;
}

/// Debits and credits.
type Totals = BTreeMap<(AccountClass, CompactString), (u128, u128)>;

impl Wallet {
    /// Records of the journal that are read at once.
    const CUT_PAGE_RECORDS: usize = 1_000;

    /// Closes a day.
    ///
    /// # Errors
    /// The day is not over, or overload.
    pub async fn close_day(&self, date: Date) -> Result<ClosedDay, WalletError> {
        self.own_platform()?;
        let name = date.number().to_be_bytes();
        let result = names::derive("day", &name, 1);
        if let Some(closed) = self.find::<DayClosed>(result).await? {
            return Ok(self.closed(closed));
        }
        if self.engine().now() < date.end() {
            return Err(WalletError::field(WalletCode::DayNotOver, "/date"));
        }
        // It walks all that came since; a copy finds what the first has closed.
        let _turn = self.inner.day_closes.turn().await?;
        if let Some(closed) = self.find::<DayClosed>(result).await? {
            return Ok(self.closed(closed));
        }
        let mark = Draft::new(names::derive("day", &name, 0), DayEnded { date });
        let mark = self.submit(mark).await?.ok_or_else(Self::overtaken)?;
        let position = self.last_before(date.end(), mark.position).await?;
        let totals = self.totals_at(position).await?;
        let draft = Draft::new(result, DayClosed { date, position: position.0, totals });
        let closed = self.submit(draft).await?.ok_or_else(Self::overtaken)?;
        Ok(self.closed(closed))
    }

    fn closed(&self, settled: Settled<DayClosed>) -> ClosedDay {
        let DayClosed { date, position, totals } = settled.document;
        let assets = self.engine().assets();
        let class = |((class, code), (debits, credits)): ((_, CompactString), _)| {
            let asset = assets.find(&code).map(|no| assets.get(no).clone());
            let asset =
                asset.unwrap_or_else(|| fatal(&format_args!("asset {code} is in a closed day, but unknown")));
            ClassTotals { class, asset, debits, credits }
        };
        let classes = totals.into_iter().map(class).collect();
        ClosedDay { date, position: Position(position), at: date.end(), classes, replayed: settled.replayed }
    }

    /// The last record before a moment, given one that is not.
    async fn last_before(&self, moment: Timestamp, after: Position) -> Result<Position, WalletError> {
        // Times grow with positions.
        let (mut before, mut after) = (Position::ZERO, after);
        while before.next() < after {
            let middle = Position(before.0.midpoint(after.0));
            match self.engine().events(Position(middle.0 - 1), 1).await?.first() {
                Some(event) if event.at < moment && event.position < after => before = event.position,
                Some(_) | None => after = middle,
            }
        }
        Ok(before)
    }

    /// Turnover up to a position: that of now without what came after.
    async fn totals_at(&self, position: Position) -> Result<Totals, WalletError> {
        let now = self.engine().trial_balance().await?;
        let mut totals = Totals::new();
        for group in &now.groups {
            let class = (AccountClass::of(&group.prefix), group.asset.code.clone());
            let (debits, credits) = totals.entry(class).or_default();
            *debits += group.debits;
            *credits += group.credits;
        }
        let mut walked = position;
        while walked < now.position {
            let page = self.engine().events(walked, Self::CUT_PAGE_RECORDS).await?;
            let Some(last) = page.last() else { break };
            walked = last.position;
            for event in page.into_iter().filter(|event| event.position <= now.position) {
                if let Event::TransactionPosted(view) = event.event {
                    view.verdict.iter().flatten().for_each(|operation| take_out(&mut totals, operation));
                }
            }
            tokio::task::yield_now().await;
        }
        totals.retain(|_, turnover| *turnover != (0, 0));
        Ok(totals)
    }
}

/// Takes an operation out of the turnover that it is in.
fn take_out(totals: &mut Totals, operation: &PostedOperationView) {
    let units = match operation.kind {
        PostedKind::Transfer { amount, .. }
        | PostedKind::Capture { amount, .. }
        | PostedKind::Reverse { amount, .. } => u128::from(amount.units()),
        PostedKind::Hold { .. } | PostedKind::Release { .. } => return,
    };
    let class = |address: &Address| (AccountClass::of(address.group()), operation.asset.code.clone());
    let less = |turnover: u128| {
        turnover.checked_sub(units).unwrap_or_else(|| fatal(&"the turnover is less than its operations"))
    };
    let (debits, _) = totals.entry(class(&operation.debit)).or_default();
    *debits = less(*debits);
    let (_, credits) = totals.entry(class(&operation.credit)).or_default();
    *credits = less(*credits);
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<super::document::Form> {
    use super::document::Form;
    use AccountClass::{Assets, IncomeAndExpense, Liabilities, Other};
    let date = Date::parse("2026-06-18").unwrap();
    let row = |class| ((class, CompactString::const_new("CNY")), (300, u128::from(u64::MAX) + 1));
    let totals = [Assets, Liabilities, IncomeAndExpense, Other].map(row).into();
    let closed = DayClosed { date, position: 300, totals };
    vec![Form::document(&DayEnded { date }), Form::document(&closed)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Engine,
        config::JournalRetention,
        journal::{JournalOptions, rocks::JournalReader},
        model::{AccountOpening, Amount, HoldId, NormalSide, Transaction, TransactionId},
        wallet::{Secrets, Settings, fixture},
    };

    fn wallet(data: &std::path::Path, retention: JournalRetention) -> Wallet {
        let mut config = fixture::config(data);
        config.journal_retention = retention;
        let secrets = Secrets { pepper: [0; 32], token_key: [0; 32], channel_keys: Vec::new() };
        Wallet::new(Engine::open(config).unwrap(), Settings::default(), secrets)
    }

    async fn open(wallet: &Wallet, name: &str, asset: &str, normal: NormalSide) {
        let opening = AccountOpening {
            address: Address::parse(name).unwrap(),
            asset: asset.into(),
            normal,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: crate::model::Metadata::default(),
            managed: false,
        };
        wallet.engine().open_account(opening).await.unwrap();
    }

    /// Turnover now, as the trial balance has it.
    async fn turnover(wallet: &Wallet) -> Totals {
        let mut totals = Totals::new();
        for group in wallet.engine().trial_balance().await.unwrap().groups {
            let class = match group.prefix.as_str() {
                "channels" => AccountClass::Assets,
                "customers" => AccountClass::Liabilities,
                "platform" => AccountClass::IncomeAndExpense,
                "odd" => AccountClass::Other,
                other => panic!("{other}"),
            };
            let (debits, credits) = totals.entry((class, group.asset.code)).or_default();
            (*debits, *credits) = (*debits + group.debits, *credits + group.credits);
        }
        totals.retain(|_, turnover| *turnover != (0, 0));
        totals
    }

    /// Whether the journal has lost its beginning; not, where the files change while they are opened.
    fn is_trimmed(data: &std::path::Path) -> bool {
        let reader = JournalReader::open(data, &JournalOptions::default()).ok();
        reader.is_some_and(|reader| reader.base().is_some())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_books_are_cut_at_any_record_later_on() {
        cut_anywhere(JournalRetention::Forever).await;
    }

    /// The index has what the journal has lost.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_books_are_cut_before_the_journals_beginning() {
        cut_anywhere(JournalRetention::Records(20)).await;
    }

    async fn cut_anywhere(retention: JournalRetention) {
        let data = tempfile::tempdir().unwrap();
        let wallet = wallet(data.path(), retention);
        let trims = retention != JournalRetention::Forever;
        let accounts = [
            ("channels:wechat", "CNY", NormalSide::Debit),
            ("customers:1", "CNY", NormalSide::Credit),
            ("customers:2", "CNY", NormalSide::Credit),
            ("platform:fees", "CNY", NormalSide::Credit),
            ("platform:carbon", "CARBON", NormalSide::Debit),
            ("customers:1:carbon", "CARBON", NormalSide::Credit),
            ("odd:1", "CNY", NormalSide::Credit),
        ];
        for (name, asset, normal) in accounts {
            open(&wallet, name, asset, normal).await;
        }
        let accounts = accounts.map(|(name, ..)| Address::parse(name).unwrap());
        let mut seen = Vec::new();
        for number in 1_u32.. {
            if number > 120 && number % 10 == 0 && is_trimmed(data.path()) == trims {
                break;
            }
            let amount = Amount(number.into());
            let mut draft =
                Draft::new(TransactionId(number.into()), DayEnded { date: Date::of(Timestamp(0)) });
            let (hold, before) = (HoldId(number.into()), u128::from(number) - 1);
            let [channel, one, two, fees, carbon, points, odd] = &accounts;
            let _ = match number % 6 {
                0 => draft.transfer(channel, one, amount, "a"),
                1 => draft.transfer(one, fees, amount, "b"),
                2 => draft.transfer_whole(carbon, points, amount.units(), "c"),
                3 => draft.hold(hold, (two, odd), (amount, 2), 900, "d"),
                4 => draft.capture(HoldId(before), "e"),
                _ => draft.reverse((TransactionId(before - 3), 0), (Amount(1), 2), "f"),
            };
            let Draft { id, operations, .. } = draft;
            let (code, reference, metadata) = (None, None, crate::model::Metadata::default());
            let transaction = Transaction { id, operations, code, reference, metadata, attachment: None };
            let outcome = wallet.engine().submit(transaction).await.unwrap();
            assert_eq!(outcome.verdict, Ok(()), "{number}");
            seen.push((outcome.position, outcome.at, turnover(&wallet).await));
        }
        let (end, _, _) = seen.last().unwrap();
        let end = *end;
        for (position, at, totals) in seen {
            let before = Position(position.0 - 1);
            assert_eq!(wallet.totals_at(position).await.unwrap(), totals, "{position}");
            assert_eq!(wallet.last_before(at, end.next()).await, Ok(before), "{position}");
            assert_eq!(wallet.last_before(at.plus_nanos(1), end.next()).await, Ok(position));
        }
        assert_eq!(wallet.totals_at(Position::ZERO).await.unwrap(), Totals::new());
        assert_eq!(wallet.last_before(Timestamp(0), end.next()).await, Ok(Position::ZERO));
        // The day before the first record has nothing, and all of the journal comes after it.
        let yesterday = Date::of(wallet.engine().now().plus_nanos(-24 * 3_600 * Timestamp::NANOS_PER_SECOND));
        let closed = wallet.close_day(yesterday).await.unwrap();
        assert_eq!((closed.position, closed.classes, closed.replayed), (Position::ZERO, Vec::new(), false));
        assert!(wallet.close_day(yesterday).await.unwrap().replayed);
    }
}
