//! The wealth product: days over many wallets, killed and resumed, beside payments; the sweep; redemptions.

use compact_str::CompactString;
use tokio::task::JoinHandle;
use yue_engine::{
    model::{
        AccountStatus, Amount, Attachment, Operation, OperationKind, RejectionCode, RequestedAmount,
        Transaction, TransactionId,
    },
    view::Unavailable,
    wallet::{
        Class, CustomerChange, Date, IncomeRate, Part, Secrets, Settings, Wallet, WalletCode, WalletError,
        WealthDay, WealthView,
    },
};

use crate::support::{Yue, address, hold, hold_id, id, many, transfer};

/// The wallet is dropped first: the engine ends before its directory does.
struct Product {
    wallet: Wallet,
    yue: Yue,
}

/// Small, so that a day has many transactions.
fn settings() -> Settings {
    Settings { wealth_credits_per_transaction: 3, wealth_credits_in_flight: 2, ..Settings::default() }
}

fn wallet_of(yue: &Yue, settings: Settings) -> Wallet {
    let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: Vec::new() };
    Wallet::new(yue.engine.clone(), settings, secrets)
}

/// What a verb of the wallet would submit.
fn verb(operations: &[(OperationKind, &'static str)]) -> Transaction {
    let mut transaction = many([]);
    transaction.operations = operations
        .iter()
        .map(|(kind, code)| Operation { kind: kind.clone(), code: Some(CompactString::const_new(code)) })
        .collect();
    let document = b"document".as_slice().into();
    transaction.attachment = Some(Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() }));
    transaction
}

fn part(user: &str) -> Part {
    Part::parse(user).unwrap()
}

fn shares_of(user: &str) -> String {
    format!("customers:{user}:wealth")
}

fn date(text: &str) -> Date {
    Date::parse(text).unwrap()
}

fn rate(text: &str) -> IncomeRate {
    IncomeRate::parse(text).unwrap()
}

impl Product {
    async fn new(shards: u16) -> Self {
        Self::with(shards, settings()).await
    }

    async fn with(shards: u16, settings: Settings) -> Self {
        let yue = Yue::new(shards);
        yue.open_with("channels:bank", |opening| opening.floor = None).await;
        yue.open_with("merchants:m", |opening| opening.floor = None).await;
        let wallet = wallet_of(&yue, settings);
        Self { wallet, yue }
    }

    /// Stops, and starts with other shards.
    async fn restart(self, shards: u16) -> Self {
        let Self { wallet, yue } = self;
        let settings = wallet.settings().clone();
        drop(wallet);
        let yue = yue.restart(shards).await;
        let wallet = wallet_of(&yue, settings);
        Self { wallet, yue }
    }

    async fn verb(&self, operations: &[(OperationKind, &'static str)]) {
        self.yue.engine.submit(verb(operations)).await.unwrap().verdict.unwrap();
    }

    /// Opens a wallet of class III with a balance and shares.
    async fn open(&self, user: &str, balance: u64, shares: u64) {
        assert!(self.wallet.open_customer(&part(user), Class::III).await.unwrap().opened);
        if shares > 0 {
            self.buy(user, shares).await;
        }
        if balance > 0 {
            self.verb(&[(transfer("channels:bank", &format!("customers:{user}"), balance), "recharge")])
                .await;
        }
    }

    async fn buy(&self, user: &str, shares: u64) {
        let own = format!("customers:{user}");
        self.verb(&[
            (transfer("channels:bank", &own, shares), "recharge"),
            (transfer(&own, &shares_of(user), shares), "wealth.buy"),
        ])
        .await;
    }

    /// `count` wallets with odd shares.
    async fn many(&self, count: u64) -> Vec<(String, u64)> {
        let wallets: Vec<_> = (0..count).map(|no| (format!("u{no}"), odd_shares(no))).collect();
        for chunk in wallets.chunks(64) {
            futures_util::future::join_all(
                chunk.iter().map(|(user, shares)| self.open(user, 50_000, *shares)),
            )
            .await;
        }
        wallets
    }

    async fn pay(&self, day: &str, income: &str) -> Result<WealthDay, WalletError> {
        self.wallet.pay_wealth_day(date(day), rate(income)).await
    }

    fn spawn_pay(&self, day: &str, income: &str) -> JoinHandle<Result<WealthDay, WalletError>> {
        let (wallet, day, income) = (self.wallet.clone(), date(day), rate(income));
        tokio::spawn(async move { wallet.pay_wealth_day(day, income).await })
    }

    fn shares(&self, user: &str) -> i128 {
        self.yue.posted(&shares_of(user))
    }

    /// What is funded is in wallets, in suspense or rounded.
    async fn assert_funded(&self, days: &[WealthDay]) {
        let sum = |part: fn(&WealthDay) -> Amount| {
            days.iter().map(|day| i128::from(part(day).units())).sum::<i128>()
        };
        assert_eq!(self.yue.posted("wealth:clearing"), 0);
        assert_eq!(self.yue.posted("platform:rounding"), sum(|day| day.remainder));
        assert_eq!(self.yue.posted("reserve:wealth"), sum(|day| day.credited) + sum(|day| day.remainder));
        self.yue.assert_balanced().await;
    }

    async fn redeem(&self, id: TransactionId, user: &str, amount: &str) -> Result<Amount, WalletError> {
        let redeemed = self.wallet.redeem(id, &part(user), &RequestedAmount::parse(amount)).await;
        redeemed.map(|redeemed| redeemed.amount)
    }
}

/// None, a fen, numbers around a hundred yuan, large ones.
fn odd_shares(no: u64) -> u64 {
    match no % 7 {
        0 => 0,
        1 => 1,
        2 => 1_000_000_007 + no,
        _ => 10_000 + no * 9_973,
    }
}

/// A day's income at 1.2345 for 10,000, by the words of the rule.
fn income(shares: u64) -> u64 {
    u64::try_from(u128::from(shares) * 12_345 / 10_000 / 10_000).unwrap()
}

fn refused(error: &WalletError) -> WalletCode {
    let WalletError::Refused(refusal) = error else { panic!("{error:?}") };
    refusal.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_income_is_exact_and_paid_once() {
    for shards in [1, 4] {
        let product = Product::new(shards).await;
        let wallets = product.many(300).await;
        let all: u64 = wallets.iter().map(|(_, shares)| shares).sum();
        let credited: u64 = wallets.iter().map(|(_, shares)| income(*shares)).sum();
        let day = product.pay("2025-06-18", "1.2345").await.unwrap();
        let expected = WealthDay {
            date: date("2025-06-18"),
            credited: Amount(credited),
            remainder: Amount(income(all) - credited),
            wallets: u64::try_from(wallets.iter().filter(|(_, shares)| income(*shares) > 0).count()).unwrap(),
            replayed: false,
        };
        assert_eq!(day, expected);
        assert!(day.remainder > Amount::ZERO && day.wallets > 150, "{day:?}");
        for (user, shares) in &wallets {
            assert_eq!(product.shares(user), i128::from(shares + income(*shares)), "{user}");
            let view = product.wallet.customer(&part(user)).await.unwrap();
            assert_eq!(view.income_total, i128::from(income(*shares)), "{user}");
        }
        product.assert_funded(&[day]).await;
        // Again, at another number of shards, and with another rate.
        let position = product.yue.assert_balanced().await;
        let product = product.restart(3).await;
        assert_eq!(product.pay("2025-06-18", "1.23450").await, Ok(WealthDay { replayed: true, ..day }));
        let other = product.pay("2025-06-18", "1.2346").await;
        assert_eq!(other, Err(WalletError::IdReused { field: "/income_per_10k".into() }));
        assert_eq!(product.yue.assert_balanced().await, position);
        // The next day counts the income of this one.
        let next = product.pay("2025-06-19", "1.2345").await.unwrap();
        for (user, shares) in &wallets {
            let two = income(*shares) + income(shares + income(*shares));
            assert_eq!(product.shares(user), i128::from(shares + two), "{user}");
            let view = product.wallet.customer(&part(user)).await.unwrap();
            assert_eq!(view.income_total, i128::from(two), "{user}");
        }
        product.assert_funded(&[day, next]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_day_goes_on_where_it_was() {
    // Hundreds of transactions, of which each run gets a few.
    let settings = Settings { wealth_credits_per_transaction: 1, ..settings() };
    let mut product = Product::with(3, settings).await;
    let wallets = product.many(400).await;
    let mut kills = 0;
    let day = loop {
        let before = product.yue.engine.metrics().posted;
        let run = product.spawn_pay("2025-06-18", "1.2345");
        while !run.is_finished() && product.yue.engine.metrics().posted < before + 12 {
            tokio::task::yield_now().await;
        }
        let engine = product.yue.engine.clone();
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        match run.await.unwrap() {
            Ok(day) => break day,
            Err(error) => assert_eq!(error, WalletError::Unavailable(Unavailable::Stopping)),
        }
        product = product.restart(2 + kills % 3).await;
        if kills == 2 {
            // What is bought or redeemed after the day's record does not count, whoever was paid already.
            for (user, shares) in wallets.iter().filter(|(_, shares)| *shares > 0) {
                product.buy(user, 77_777).await;
                product.verb(&[(transfer(&shares_of(user), "merchants:m", 1 + shares / 2), "test")]).await;
            }
        }
        kills += 1;
        assert!(kills < 200, "the day does not get on");
    };
    assert!(kills > 2, "only {kills} kills");
    let product = product.restart(3).await;
    let paid: u64 = wallets.iter().map(|(_, shares)| income(*shares)).sum();
    assert_eq!(day.credited, Amount(paid));
    for (user, shares) in &wallets {
        let moved = if *shares > 0 { 77_777 - i128::from(1 + shares / 2) } else { 0 };
        assert_eq!(product.shares(user), i128::from(shares + income(*shares)) + moved, "{user}");
    }
    product.assert_funded(&[day]).await;
    let again = product.pay("2025-06-18", "1.2345").await.unwrap();
    assert_eq!(again, WealthDay { replayed: true, ..day });
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_calls_for_a_day_are_one_run() {
    let product = Product::new(2).await;
    product.many(60).await;
    let calls: Vec<_> = (0..32).map(|_| product.spawn_pay("2025-06-18", "1.2345")).collect();
    let mut days = Vec::new();
    for call in calls {
        days.push(call.await.unwrap().unwrap());
    }
    assert_eq!(days.iter().filter(|day| !day.replayed).count(), 1);
    let first = days[0];
    assert!(days.iter().all(|day| (day.credited, day.remainder) == (first.credited, first.remainder)));
    product.assert_funded(&[first]).await;
    // One day at a time; the other one is asked for again.
    let (one, other) = (product.spawn_pay("2025-06-19", "1"), product.spawn_pay("2025-06-20", "1"));
    let mut days = vec![first];
    for (run, day) in [(one, "2025-06-19"), (other, "2025-06-20")] {
        let busy = Err(WalletError::Unavailable(Unavailable::Overloaded("the run of another wealth day")));
        let mut answer = run.await.unwrap();
        while answer == busy {
            answer = product.pay(day, "1").await;
        }
        days.push(answer.unwrap());
    }
    product.assert_funded(&days).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_and_redemptions_go_on_during_a_day() {
    let product = Product::new(4).await;
    let wallets = product.many(300).await;
    for (user, _) in &wallets {
        let wanted = WealthView { enabled: true, keep: Amount(10_000) };
        product.wallet.set_wealth(&part(user), wanted).await.unwrap();
    }
    let run = product.spawn_pay("2025-06-18", "1.2345");
    let customers = wallets.iter().enumerate().map(|(no, (user, _))| {
        let (engine, wallet, own, user) =
            (product.yue.engine.clone(), product.wallet.clone(), format!("customers:{user}"), part(user));
        tokio::spawn(async move {
            let mut paid = 0;
            for _ in 0..20 {
                let payment = verb(&[(transfer(&own, "merchants:m", 100), "spend.payment")]);
                paid += i128::from(engine.submit(payment).await.unwrap().verdict.is_ok()) * 100;
            }
            // A third of them redeem, too.
            let redeems = no % 3 == 0;
            let fen = RequestedAmount::parse("0.01");
            let redeemed = redeems && wallet.redeem(id(), &user, &fen).await.is_ok();
            (paid, i128::from(redeemed))
        })
    });
    let mut sums = (0, 0);
    let mut moved = Vec::new();
    for customer in customers.collect::<Vec<_>>() {
        let (paid, redeemed) = customer.await.unwrap();
        sums = (sums.0 + paid, sums.1 + redeemed);
        moved.push((paid, redeemed));
    }
    let day = run.await.unwrap().unwrap();
    assert_eq!(sums.0, 300 * 2_000, "the sweep leaves what is kept");
    assert_eq!(product.yue.posted("merchants:m"), sums.0);
    assert!(sums.1 > 50, "{sums:?}");
    product.assert_funded(&[day]).await;
    for ((user, shares), (paid, redeemed)) in wallets.iter().zip(moved) {
        let view = product.wallet.customer(&part(user)).await.unwrap();
        assert!(view.posted >= 8_000 && view.posted <= 50_000, "{view:?}");
        let put_in = 50_000 + i128::from(*shares);
        assert_eq!(view.posted + view.wealth, put_in - paid + view.income_total, "{user}");
        if redeemed == 0 {
            assert_eq!(view.income_total, i128::from(income(*shares)), "{user}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_honours_owner_class_and_status() {
    let product = Product::new(2).await;
    let set = async |user: &str, keep: u64| {
        let wanted = WealthView { enabled: true, keep: Amount(keep) };
        product.wallet.set_wealth(&part(user), wanted).await.unwrap();
    };
    let change = async |user: &str, status: Option<AccountStatus>, class: Option<Class>| {
        product.wallet.change_customer(&part(user), CustomerChange { status, class }).await.unwrap();
    };
    for user in ["all", "some", "exact", "short", "held", "off", "never", "lowered", "frozen"] {
        product.open(user, 10_000, 0).await;
    }
    for (user, keep) in
        [("all", 0), ("some", 4_000), ("exact", 10_000), ("short", 20_000), ("held", 4_000), ("off", 0)]
    {
        set(user, keep).await;
    }
    set("lowered", 0).await;
    set("frozen", 0).await;
    product.wallet.set_wealth(&part("off"), WealthView { enabled: false, keep: Amount(0) }).await.unwrap();
    change("lowered", None, Some(Class::II)).await;
    change("frozen", Some(AccountStatus::Frozen), None).await;
    product.verb(&[(hold(hold_id(), "customers:held", "merchants:m", 5_000, 900), "spend.payment")]).await;
    let day = product.pay("2025-06-18", "1").await.unwrap();
    assert_eq!((day.credited, day.wallets), (Amount(0), 0));
    let check = |swept: &[(&str, i128)]| {
        for &(user, shares) in swept {
            assert_eq!(product.shares(user), shares, "{user}");
        }
    };
    let expected = [
        ("all", 10_000),
        ("some", 6_000),
        ("exact", 0),
        ("short", 0),
        ("held", 1_000),
        ("off", 0),
        ("never", 0),
        ("lowered", 0),
        ("frozen", 0),
    ];
    check(&expected);
    // What comes later that day stays; the next day takes it.
    product.verb(&[(transfer("channels:bank", "customers:some", 500), "recharge")]).await;
    assert!(product.pay("2025-06-18", "1").await.unwrap().replayed);
    check(&expected);
    product.pay("2025-06-19", "0").await.unwrap();
    check(&[("all", 10_000), ("some", 6_500)]);
    // Bought, not earned.
    assert_eq!(product.wallet.customer(&part("some")).await.unwrap().income_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn income_of_a_frozen_wallet_is_paid_when_it_takes_part_again() {
    let product = Product::new(2).await;
    for user in ["a", "b", "c", "d"] {
        product.open(user, 0, 1_000_000).await;
    }
    let status = async |product: &Product, user, status| {
        let change = CustomerChange { status: Some(status), class: None };
        product.wallet.change_customer(&part(user), change).await.unwrap();
    };
    let check = |product: &Product, shares: [i128; 4], owed: [i128; 2]| {
        assert_eq!(["a", "b", "c", "d"].map(|user| product.shares(user)), shares);
        assert_eq!(["b", "d"].map(|user| product.yue.posted(&format!("suspense:wealth:{user}"))), owed);
    };
    status(&product, "b", AccountStatus::Frozen).await;
    status(&product, "d", AccountStatus::Frozen).await;
    let mut days = vec![product.pay("2025-06-18", "1.2345").await.unwrap()];
    assert_eq!((days[0].credited, days[0].wallets), (Amount(4 * 123), 4));
    check(&product, [1_000_123, 1_000_000, 1_000_123, 1_000_000], [123, 123]);
    product.assert_funded(&days).await;
    // Another day without them, after a start.
    let product = product.restart(3).await;
    days.push(product.pay("2025-06-19", "1.2345").await.unwrap());
    check(&product, [1_000_246, 1_000_000, 1_000_246, 1_000_000], [246, 246]);
    // Both days are paid with the first one on which it takes part. What was owed has earned nothing meanwhile.
    status(&product, "b", AccountStatus::Active).await;
    days.push(product.pay("2025-06-20", "1.2345").await.unwrap());
    assert_eq!(days[2].credited, Amount(4 * 123));
    let shares = [1_000_369, 1_000_369, 1_000_369, 1_000_000];
    check(&product, shares, [0, 369]);
    assert_eq!(product.wallet.customer(&part("b")).await.unwrap().income_total, 369);
    // Once.
    assert!(product.pay("2025-06-20", "1.2345").await.unwrap().replayed);
    days.push(product.pay("2025-06-21", "0").await.unwrap());
    check(&product, shares, [0, 369]);
    product.assert_funded(&days).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_redeemed_once_and_within_the_day() {
    let product = Product::new(2).await;
    product.open("a", 0, 2_000_000).await;
    let ledger = |code| WalletCode::Ledger(code);
    let first = id();
    assert_eq!(product.redeem(first, "a", "6000").await, Ok(Amount(600_000)));
    // 32 copies, and then each kind of difference.
    let copies = (0..32).map(|_| product.redeem(first, "a", "6000.00"));
    for copy in futures_util::future::join_all(copies).await {
        assert_eq!(copy, Ok(Amount(600_000)));
    }
    for (user, amount, field) in [("a", "6000.01", "/amount"), ("a", "x", "/amount"), ("b", "6000", "/user")]
    {
        let reused = product.redeem(first, user, amount).await;
        assert_eq!(reused, Err(WalletError::IdReused { field: field.into() }), "{user} {amount}");
    }
    // A payment that redeems uses the day's limit, too.
    product
        .verb(&[
            (transfer(&shares_of("a"), "customers:a", 300_000), "wealth.redeem"),
            (transfer("customers:a", "merchants:m", 300_000), "spend.payment"),
        ])
        .await;
    let late = id();
    for replayed in [false, true] {
        let error = product.redeem(late, "a", "1000.01").await.unwrap_err();
        assert_eq!(refused(&error), ledger(RejectionCode::LimitExceeded));
        let WalletError::Refused(refusal) = error else { unreachable!() };
        assert!(refusal.position.is_some() && refusal.replayed == replayed, "{refusal:?}");
    }
    // 32 at once for what is left.
    let races = (0..32).map(|_| product.redeem(id(), "a", "100"));
    let races = futures_util::future::join_all(races).await;
    assert_eq!(races.iter().filter(|race| race.is_ok()).count(), 10);
    let view = product.wallet.customer(&part("a")).await.unwrap();
    assert_eq!((view.posted, view.wealth, view.income_total), (700_000, 1_000_000, 0));
    // Not final: no amount, no wallet.
    let free = id();
    let bad = product.redeem(free, "a", "0.001").await.unwrap_err();
    assert_eq!(refused(&bad), ledger(RejectionCode::AmountInvalid));
    assert_eq!(refused(&product.redeem(free, "b", "1").await.unwrap_err()), WalletCode::NotFound);
    product.open("b", 0, 500).await;
    assert_eq!(product.redeem(free, "b", "1").await, Ok(Amount(100)));
    let poor = product.redeem(id(), "b", "4.01").await.unwrap_err();
    assert_eq!(refused(&poor), ledger(RejectionCode::InsufficientFunds));
    assert_eq!(product.yue.posted(address("customers:b").as_str()), 100);
}
