//! Bodies: what is accepted means the same in any layout, and what is refused is refused with a field that leads somewhere.

use serde::Deserialize;
use serde_json::Value;
use yue_engine::{
    journal::{Record, RefusedTransaction},
    model::{Position, Rejection, RejectionCode, Timestamp, Transaction},
};

use super::journal::round_trip;
use crate::{
    json::{Object, parse},
    problem::Code,
    wire::{
        account::{ChangeIn, OpeningIn},
        transaction::{BatchIn, TransactionIn},
        wallet::{
            choices::{SmallIn, WealthIn},
            customer::{CustomerChangeIn, CustomerIn},
            device::DeviceIn,
            merchant::MerchantIn,
            notification::NotificationIn,
            password::{PasswordIn, TokenIn},
            payment::PaymentIn,
            promotion::PromotionIn,
            recharge::RechargeIn,
            refund::RefundIn,
            transfer::TransferIn,
            wealth::{RedemptionIn, WealthDayIn},
        },
    },
};

/// The first byte says which call's body the rest is.
pub(super) fn check(bytes: &[u8]) {
    let Some((&call, body)) = bytes.split_first() else { return };
    match call % 20 {
        0 => transaction(body),
        1 => batch(body),
        2 => shape::<OpeningIn>(body),
        3 => shape::<ChangeIn>(body),
        4 => shape::<SmallIn>(body),
        5 => shape::<WealthIn>(body),
        6 => shape::<CustomerIn>(body),
        7 => shape::<CustomerChangeIn>(body),
        8 => shape::<DeviceIn>(body),
        9 => shape::<MerchantIn>(body),
        10 => shape::<NotificationIn>(body),
        11 => shape::<PasswordIn>(body),
        12 => shape::<TokenIn>(body),
        13 => shape::<PaymentIn>(body),
        14 => shape::<PromotionIn>(body),
        15 => shape::<RechargeIn>(body),
        16 => shape::<RefundIn>(body),
        17 => shape::<TransferIn>(body),
        18 => shape::<RedemptionIn>(body),
        _ => shape::<WealthDayIn>(body),
    }
}

/// What holds of all bodies.
fn shape<T: for<'de> Deserialize<'de>>(body: &[u8]) {
    let value = serde_json::from_slice::<Value>(body).ok();
    match parse::<Object<T>>(body) {
        Ok(_) => {
            let value = value.unwrap_or_else(|| panic!("it is accepted and no JSON"));
            assert!(value.is_object(), "only objects are accepted");
            for layout in layouts(&value) {
                assert!(parse::<Object<T>>(&layout).is_ok(), "another layout is refused");
            }
        }
        Err(problem) => {
            assert_eq!(problem.code(), Code::Malformed);
            assert!(!problem.detail().is_empty());
            let pointer = problem.field_pointer().unwrap_or_default();
            assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer} is no pointer");
            if let (Some(value), Some((parent, _))) = (value, pointer.rsplit_once('/')) {
                assert!(value.pointer(parent).is_some(), "{pointer} leads nowhere: {}", problem.detail());
            }
        }
    }
}

/// The same JSON with its keys in order, in one line and with spaces.
fn layouts(value: &Value) -> [Vec<u8>; 2] {
    [serde_json::to_vec(value), serde_json::to_vec_pretty(value)].map(Result::unwrap_or_default)
}

fn transaction(body: &[u8]) {
    shape::<TransactionIn>(body);
    let read =
        |body: &[u8]| parse::<Object<TransactionIn>>(body).map(|Object(body)| Transaction::from(body)).ok();
    let (Some(transaction), Ok(value)) = (read(body), serde_json::from_slice(body)) else { return };
    for layout in layouts(&value) {
        assert_eq!(read(&layout).as_ref(), Some(&transaction), "another layout means something else");
    }
    kept(transaction);
}

/// The journal keeps a refused request whole, so that a copy can be compared.
fn kept(transaction: Transaction) {
    assert!((1..=Transaction::OPERATIONS_MAX).contains(&transaction.operations.len()));
    let rejection = Rejection { code: RejectionCode::AmountInvalid, operation: 0 };
    round_trip(&Record::Refused(RefusedTransaction {
        transaction,
        rejection,
        seen: Position(1),
        decided_at: Timestamp(1),
    }));
}

fn batch(body: &[u8]) {
    shape::<BatchIn>(body);
    let Ok(Object(BatchIn { transactions })) = parse::<Object<BatchIn>>(body) else { return };
    transactions.taken.into_iter().for_each(kept);
}
