//! The books after the day, to the fen.
//!
//! What each wallet has, in balance and shares together, is what it was given, less what its owner paid, and its income
//! once: neither a sweep nor anything else changes that sum.

use std::path::Path;

use serde_json::Value;
use yue_engine::{Engine, model::Address};

use super::{BALANCE, Day, KEEP, MERCHANTS, fen, income_of, shares_of};
use crate::{Arguments, workload::config};

/// Reads everything from the directory, whose server has stopped.
pub(super) fn check(
    arguments: &Arguments,
    data: &Path,
    day: Day,
    answer: &Value,
    paid: &[u64],
) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open(config(data, arguments.shards))?;
    let posted = |name: &str| {
        let address = Address::parse(name).expect("a valid address");
        engine.account(&address).map_or(0, |account| account.posted)
    };
    let (mut credited, mut wallets, mut swept) = (0_u128, 0_u64, 0);
    for no in 0..day.wallets {
        let (shares, income) = (i128::from(shares_of(no)), income_of(no));
        let spent = usize::try_from(no).ok().and_then(|no| paid.get(no)).copied();
        let balance = posted(&format!("customers:u{no}"));
        let wealth = posted(&format!("customers:u{no}:wealth"));
        let income_units = i128::try_from(income)?;
        let expected = i128::from(BALANCE) + shares + income_units - i128::from(spent.unwrap_or_default());
        assert_eq!(balance + wealth, expected, "u{no} has {balance} and {wealth} in shares");
        let bought = wealth - shares - income_units;
        let idle = i128::from(BALANCE - KEEP);
        match (no.is_multiple_of(day.swept_every.get()), spent) {
            (false, _) => assert_eq!(bought, 0, "u{no} is not swept"),
            (true, None) => assert_eq!(bought, idle, "u{no} is swept"),
            // What a payer had paid by then was not idle any more.
            (true, Some(_)) => assert!((0..=idle).contains(&bought), "u{no} has bought {bought}"),
        }
        (credited, wallets, swept) = (credited + income, wallets + u64::from(income > 0), swept + bought);
    }
    let funded = day.funded();
    let told =
        (fen(answer, "credited"), fen(answer, "remainder"), answer.get("wallets").and_then(Value::as_u64));
    let remainder = u64::try_from(funded - credited)?;
    assert_eq!(told, (Some(u64::try_from(credited)?), Some(remainder), Some(wallets)), "{answer}");
    assert_eq!(posted("reserve:wealth"), i128::try_from(funded)?, "what was funded");
    assert_eq!(posted("platform:rounding"), i128::from(remainder), "what was rounded");
    assert_eq!(posted("wealth:clearing"), 0, "nothing is on its way");
    assert_eq!(posted("suspense:wealth"), 0, "every wallet takes part");
    let taken: i128 = (0..MERCHANTS).map(|no| posted(&format!("merchants:m{no}"))).sum();
    assert_eq!(taken, paid.iter().map(|&paid| i128::from(paid)).sum(), "each payment once");
    engine.close();

    let report = yue_engine::audit::verify(data, &mut |_| {})?;
    assert!(report.is_sound(), "verification finds nothing: {report:?}");
    println!("figure wealth_day_verified {} wallets", day.wallets);
    println!("figure wealth_day_credited {:.2} CNY", credited as f64 / 100.0);
    println!("figure wealth_day_swept {:.2} CNY", swept as f64 / 100.0);
    Ok(())
}
