use super::*;
use crate::book::{Facts, Outcome, Shown};
use crate::channel::tests::keys;
use crate::payers::Enrolled;

fn builds(mode: Mode) -> Builds {
    let common = Common {
        endpoint: Endpoint::parse("http://127.0.0.1:1", None).unwrap(),
        chart: Arc::new(Chart::new(100, 10, "r1")),
        keys: keys(),
        skew: Skew::new(100, 10).unwrap(),
        payers_all: 16,
    };
    let enrolled = Enrolled { device: Some(("d".to_owned(), 0)), ..Enrolled::default() };
    let enrolled: Arc<[Enrolled]> = (0..16).map(|_| enrolled.clone()).collect();
    Builds::new(common, Payers::new(mode, &enrolled, 0, 1), 618)
}

const PAY: Intent = Intent::Payment { combined: false, promotion: false };

/// The operation that an intent starts with: its kind, request line, and body.
fn check(builds: &mut Builds, book: &mut Book, intent: Intent, kind: Kind, line: &str) -> Operation {
    let operation = match builds.build(intent, book, Instant::now()) {
        Built::Operation(operation) | Built::Token(operation, _) => operation,
        Built::NoPayer => panic!("{intent:?}: nobody is free"),
    };
    let text = String::from_utf8(operation.request.clone()).unwrap();
    assert!(text.starts_with(line), "{intent:?}: {text}");
    assert_eq!(operation.kind, kind, "{intent:?}");
    operation
}

#[test]
fn verbs_become_the_wallets_calls() {
    let (mut builds, mut book) = (builds(Mode::Device), Book::new(200));
    let (builds, book) = (&mut builds, &mut book);
    check(builds, book, Intent::WalletRead, Kind::WalletRead, "GET /v1/wallets/");
    check(builds, book, Intent::HistoryRead, Kind::HistoryRead, "GET /v1/accounts/customers:");
    check(builds, book, Intent::PaymentRead, Kind::WalletRead, "GET /v1/wallets/");
    check(builds, book, Intent::Recharge, Kind::Recharge, "POST /v1/recharges ");
    check(builds, book, Intent::Refund, Kind::Recharge, "POST /v1/recharges ");
    check(builds, book, Intent::Transfer, Kind::Transfer, "POST /v1/wallets/");
    check(builds, book, Intent::Guess, Kind::Guess, "POST /v1/wallets/r1-victim-");
    let paid = check(builds, book, PAY, Kind::Payment, "POST /v1/payments ");
    assert!(String::from_utf8(paid.request).unwrap().contains(r#""type":"device""#));
    let facts = Facts { shown: Shown::Paid, legs: Legs::default(), position: None };
    book.enter(paid.id.unwrap(), &paid.effect, Outcome::Done(facts), Instant::now());
    check(builds, book, Intent::PaymentRead, Kind::PaymentRead, "GET /v1/payments/");
    check(builds, book, Intent::Refund, Kind::Refund, "POST /v1/payments/");
}

#[test]
fn a_token_comes_before_what_it_pays() {
    let (mut builds, mut book) = (builds(Mode::Token), Book::new(200));
    let operation = check(&mut builds, &mut book, PAY, Kind::Token, "POST /v1/wallets/");
    let payer = operation.payer.unwrap();
    for number in 0..16 {
        builds.stock(Payer(number), "t".to_owned(), Instant::now());
    }
    builds.free(payer);
    let paid = check(&mut builds, &mut book, PAY, Kind::Payment, "POST /v1/payments ");
    assert!(String::from_utf8(paid.request).unwrap().contains(r#"{"type":"token","token":"t"}"#));
}

#[test]
fn when_all_payers_are_busy_nobody_pays() {
    let (mut builds, mut book) = (builds(Mode::Device), Book::new(200));
    let started =
        (0..100).filter(|_| !matches!(builds.build(PAY, &mut book, Instant::now()), Built::NoPayer));
    assert_eq!(started.count(), 12);
}
