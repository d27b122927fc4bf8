//! Payments that were cut off between two of their steps.

use super::*;
use crate::model::{AccountChange, AccountStatus, Patch, RejectionCode};
use crate::wallet::{
    CustomerChange, Notified, PromotionRule, RefundRequest, Refusal, Settings, SuspenseReason,
    fixture::{Fixture, part, purchase, settings},
};

const ID: TransactionId = TransactionId(7);

fn code(outcome: Result<Payment, WalletError>) -> (WalletCode, bool) {
    let error = outcome.unwrap_err();
    let WalletError::Refused(refusal) = error else { panic!("{error}") };
    let Refusal { code, replayed, .. } = *refusal;
    (code, replayed)
}

/// Alice has 1 yuan; the promotion gives more than it has.
async fn with_a_spent_promotion(on_exhausted: OnExhausted) -> (Fixture, PaymentRequest) {
    let fixture = Fixture::new(settings()).await;
    fixture.fund("alice", 100).await;
    fixture.promotion("spent", PromotionRule::AmountOff(Amount(8)), 5).await;
    let request = PaymentRequest { promotion: Some(part("spent")), on_exhausted, ..purchase("alice", 20) };
    (fixture, request)
}

/// The first attempt as far as to its record, and the end of the process.
async fn first_attempt_alone(fixture: Fixture, request: &PaymentRequest, auth: &Auth) -> Fixture {
    let (step, first) = (step_id(ID, step_no::attempt(0)), attempt::Next::first(request));
    let draft = fixture.wallet.compose_attempt(ID, step, first, request, Some(auth)).await.unwrap();
    assert!(fixture.wallet.submit(draft).await.unwrap().unwrap().verdict.is_err());
    fixture.restart()
}

#[tokio::test]
async fn what_follows_a_refused_attempt_is_authorised_like_the_first() {
    let (fixture, request) = with_a_spent_promotion(OnExhausted::FullPrice).await;
    let (used, token, other) =
        (fixture.token("alice").await, fixture.token("alice").await, fixture.token("alice").await);
    fixture.wallet.pay(TransactionId(1), &purchase("alice", 1), Some(&used)).await.unwrap();
    let fixture = first_attempt_alone(fixture, &request, &token).await;
    let wallet = &fixture.wallet;
    for (auth, expected) in [
        (None, WalletCode::AuthRequired),
        (Some(&used), WalletCode::AuthInvalid),
        (Some(&Auth::Small), WalletCode::AuthInvalid),
    ] {
        assert_eq!(code(wallet.pay(ID, &request, auth).await), (expected, false), "{auth:?}");
        assert_eq!(fixture.available("customers:alice"), 99);
    }
    // Another body is told from the first one's record, whatever it shows.
    let another = PaymentRequest { promotion: None, ..request.clone() };
    let reused = wallet.pay(ID, &another, None).await.unwrap_err();
    assert_eq!(reused, WalletError::IdReused { field: "/promotion".into() });
    // The refused attempt has not used the token up; the one that pays has.
    let paid = wallet.pay(ID, &request, Some(&token)).await.unwrap();
    assert_eq!((paid.status, paid.discount, paid.replayed), (PaymentStatus::Paid, Amount::ZERO, false));
    let again = wallet.pay(TransactionId(8), &purchase("alice", 1), Some(&token)).await;
    assert_eq!(code(again), (WalletCode::AuthInvalid, false));
    for auth in [None, Some(&token), Some(&other)] {
        assert!(wallet.pay(ID, &request, auth).await.unwrap().replayed, "{auth:?}");
    }
    assert_eq!(fixture.available("customers:alice"), 79);
    wallet.pay(TransactionId(9), &purchase("alice", 1), Some(&other)).await.unwrap();
}

#[tokio::test]
async fn a_final_refusal_is_answered_before_auth_is_looked_at() {
    let (fixture, request) = with_a_spent_promotion(OnExhausted::Refuse).await;
    let token = fixture.token("alice").await;
    let fixture = first_attempt_alone(fixture, &request, &token).await;
    for auth in [None, Some(&Auth::Small), Some(&token)] {
        let again = fixture.wallet.pay(ID, &request, auth).await;
        assert_eq!(code(again), (WalletCode::PromotionExhausted, true), "{auth:?}");
    }
    // It has used up no token.
    fixture.wallet.pay(TransactionId(8), &purchase("alice", 1), Some(&token)).await.unwrap();
}

#[tokio::test]
async fn a_payment_that_waits_is_answered_before_auth_is_looked_at() {
    let fixture = Fixture::new(settings()).await;
    fixture.fund("alice", 100).await;
    let token = fixture.token("alice").await;
    let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
    let placed = fixture.wallet.pay(ID, &request, Some(&token)).await.unwrap();
    assert_eq!((placed.status, placed.replayed), (PaymentStatus::AwaitingChannel, false));
    let fixture = fixture.restart();
    for auth in [None, Some(&Auth::Small), Some(&token)] {
        let again = fixture.wallet.pay(ID, &request, auth).await.unwrap();
        assert_eq!((again.status, again.replayed), (PaymentStatus::AwaitingChannel, true), "{auth:?}");
    }
    // What it has set aside has used up the token.
    let again = fixture.wallet.pay(TransactionId(8), &purchase("alice", 1), Some(&token)).await;
    assert_eq!(code(again), (WalletCode::AuthInvalid, false));
}

/// A payment of alice's balance of 1 yuan and 50 fen of WeChat's, with the channel's word that it has them.
async fn combined() -> (Fixture, ChannelResult) {
    let fixture = Fixture::new(settings()).await;
    fixture.fund("alice", 100).await;
    let token = fixture.token("alice").await;
    let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
    fixture.wallet.pay(ID, &request, Some(&token)).await.unwrap();
    let word = fixture.word(ID, true, 50);
    (fixture, word)
}

async fn position(fixture: &Fixture) -> u64 {
    fixture.wallet.engine().trial_balance().await.unwrap().position.0
}

/// There is no moment between the way in and the way back at which a crash could leave the money in suspense.
#[tokio::test]
async fn late_money_goes_through_suspense_and_back_in_one_record() {
    for early in [false, true] {
        let (fixture, word) = combined().await;
        let late = Notified::Suspended(SuspenseReason::PaidLate);
        let (fixture, word) = if early {
            let fixture = Fixture::new(settings()).await;
            let told = fixture.wallet.notified(&word).await.unwrap();
            assert_eq!(told, Notified::Suspended(SuspenseReason::UnknownOrder));
            fixture.fund("alice", 100).await;
            let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
            let token = fixture.token("alice").await;
            fixture.wallet.pay(ID, &request, Some(&token)).await.unwrap();
            (fixture, word)
        } else {
            (fixture, word)
        };
        fixture.wallet.cancel_payment(ID).await.unwrap();
        let before = position(&fixture).await;
        let copies = (0..8).map(|_| fixture.wallet.notified(&word));
        for told in futures_util::future::join_all(copies).await {
            assert_eq!(told.unwrap(), late, "early: {early}");
        }
        assert_eq!(position(&fixture).await, before + 1, "early: {early}");
        let fixture = fixture.restart();
        assert_eq!(fixture.wallet.payment(ID).await.unwrap().status, PaymentStatus::Returned);
        for account in ["channels:wechat", "suspense:wechat"] {
            assert_eq!(fixture.available(account), 0, "{account}, early: {early}");
        }
        assert_eq!(fixture.wallet.notified(&word).await.unwrap(), late);
        // Other money is not on its way back: people look at it.
        let other = ChannelResult { reference: "other".into(), ..word };
        let told = fixture.wallet.notified(&other).await.unwrap();
        assert_eq!(told, Notified::Suspended(SuspenseReason::PaidAgain));
        assert_eq!(position(&fixture).await, before + 2);
    }
}

/// The clock has passed the end of its wait, and the ledger has not looked at the clock.
#[tokio::test]
async fn a_payment_is_expired_when_its_holds_are() {
    for own in [100, 0] {
        let settings = Settings { channel_wait_s: 1, ..settings() };
        let fixture = Fixture::with(settings, |config| config.expiry_interval_ms = u64::from(u32::MAX)).await;
        if own > 0 {
            fixture.fund("alice", own).await;
        }
        let token = fixture.token("alice").await;
        let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
        let placed = fixture.wallet.pay(ID, &request, Some(&token)).await.unwrap();
        while fixture.wallet.engine().now() < placed.expires_at.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let seen = fixture.wallet.payment(ID).await.unwrap();
        assert_eq!((seen.status, fixture.available("customers:alice")), (PaymentStatus::AwaitingChannel, 0));
        // A start journals what has run out meanwhile.
        let fixture = fixture.restart();
        let seen = fixture.wallet.payment(ID).await.unwrap();
        let own = i128::from(own);
        assert_eq!((seen.status, fixture.available("customers:alice")), (PaymentStatus::Expired, own));
    }
}

/// A channel that repeats itself need not say the same of when.
#[tokio::test]
async fn money_that_came_early_is_taken_whatever_its_time() {
    let fixture = Fixture::new(settings()).await;
    fixture.fund("alice", 100).await;
    let word = fixture.word(ID, true, 50);
    let told = fixture.wallet.notified(&word).await.unwrap();
    assert_eq!(told, Notified::Suspended(SuspenseReason::UnknownOrder));
    let token = fixture.token("alice").await;
    let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
    fixture.wallet.pay(ID, &request, Some(&token)).await.unwrap();
    let again = ChannelResult { paid_at: word.paid_at.plus_seconds(1), ..word };
    assert_eq!(fixture.wallet.notified(&again).await.unwrap(), Notified::Settled);
    for (account, units) in [("channels:wechat", 50), ("suspense:wechat", 0), ("merchants:shop", 150)] {
        assert_eq!(fixture.available(account), units, "{account}");
    }
}

async fn set_status(fixture: &Fixture, status: AccountStatus) {
    let change = CustomerChange { status: Some(status), class: None };
    fixture.wallet.change_customer(&part("alice"), change).await.unwrap();
}

/// Though nothing of it is the wallet's own money.
#[tokio::test]
async fn a_wallet_that_takes_no_part_starts_no_payment() {
    use RejectionCode::{AccountClosed, AccountFrozen};
    let fixture = Fixture::new(settings()).await;
    let token = fixture.token("alice").await;
    let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
    for (status, refused) in [(AccountStatus::Frozen, AccountFrozen), (AccountStatus::Closed, AccountClosed)]
    {
        set_status(&fixture, status).await;
        let outcome = fixture.wallet.pay(ID, &request, Some(&token)).await;
        assert_eq!(code(outcome), (WalletCode::Ledger(refused), false));
    }
}

/// The points go with the capture, and with the refund of the channel's part to a wallet that is closed.
#[tokio::test]
async fn a_freeze_stops_no_capture_and_a_closing_no_refund() {
    let (fixture, word) = combined().await;
    set_status(&fixture, AccountStatus::Frozen).await;
    assert_eq!(fixture.wallet.notified(&word).await.unwrap(), Notified::Settled);
    assert_eq!((fixture.available("merchants:shop"), fixture.available("customers:alice:carbon")), (150, 1));
    set_status(&fixture, AccountStatus::Active).await;
    let token = fixture.token("alice").await;
    let (second, request) =
        (TransactionId(8), PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 200) });
    fixture.wallet.pay(second, &request, Some(&token)).await.unwrap();
    assert_eq!(fixture.wallet.notified(&fixture.word(second, true, 200)).await.unwrap(), Notified::Settled);
    set_status(&fixture, AccountStatus::Closed).await;
    let refund = RefundRequest { payment: second, amount: Amount(200), item: None, reason: None };
    fixture.wallet.refund(TransactionId(9), &refund).await.unwrap();
    assert_eq!((fixture.available("merchants:shop"), fixture.available("customers:alice:carbon")), (150, 1));
}

#[tokio::test]
async fn a_merchants_ceiling_is_not_the_promotions() {
    for on_exhausted in [OnExhausted::Refuse, OnExhausted::FullPrice] {
        let fixture = Fixture::new(settings()).await;
        fixture.fund("alice", 100).await;
        fixture.promotion("eight", PromotionRule::AmountOff(Amount(8)), 100).await;
        let full = AccountChange { ceiling: Patch::Set(Some(5)), ..AccountChange::default() };
        let shop = crate::wallet::names::merchant(&part("shop"));
        fixture.wallet.engine().change_account(&shop, full).await.unwrap();
        let token = fixture.token("alice").await;
        let request =
            PaymentRequest { promotion: Some(part("eight")), on_exhausted, ..purchase("alice", 20) };
        let refused = code(fixture.wallet.pay(ID, &request, Some(&token)).await);
        assert_eq!(refused, (WalletCode::Ledger(RejectionCode::CeilingExceeded), false), "{on_exhausted:?}");
    }
}
