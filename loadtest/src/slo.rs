//! The service levels of a run, and whether the measurement counts at all.
//!
//! Owns: the thresholds. Never looks at money.

use std::time::Duration;

use crate::recorder::Totals;
use crate::verdict::{Check, Weight};

/// Of the offered operations, the part that must get a business answer.
const ACHIEVED_MIN: f64 = 0.999;
const PAY_P99_MS_MAX: f64 = 50.0;
const PAY_P999_MS_MAX: f64 = 200.0;
/// A harness that was later than this in one of a hundred sendings has not offered the load that it reports.
const LATENESS_P99_MAX: Duration = Duration::from_millis(1);
/// From this share of stolen processor time on, a run's result says so.
const STOLEN_TOLD_MIN: f64 = 0.001;

/// The checks of a run's figures; `stolen` is the share of processor time that the machine's host gave to others, which
/// makes a harness late through no fault of the ledger's.
pub(crate) fn checks(totals: &Totals, stolen: Option<f64>) -> Vec<Check> {
    let offered = totals.sum(|kind| kind.offered);
    let answered = totals.sum(|kind| kind.answered());
    let achieved = answered as f64 / offered.max(1) as f64;
    let pay = totals.pay_latency();
    let lateness_ms = totals.lateness.percentile_ms(99.0);
    let lateness_max_ms = LATENESS_P99_MAX.as_secs_f64() * 1_000.0;
    let within = |value: Option<f64>, max: f64| value.is_some_and(|value| value <= max);
    let (p99, p999) = (pay.percentile_ms(99.0), pay.percentile_ms(99.9));
    vec![
        Check::figure(
            Weight::Validity,
            "harness on time, p99",
            "< 1 ms",
            ms(lateness_ms) + &taken_away(stolen),
            lateness_ms.is_some_and(|value| value < lateness_max_ms),
        ),
        Check::figure(
            Weight::ServiceLevel,
            "achieved of offered",
            "≥ 99.9 %",
            format!("{:.3} % ({answered} of {offered})", achieved * 100.0),
            offered > 0 && achieved >= ACHIEVED_MIN,
        ),
        Check::figure(Weight::ServiceLevel, "payments, p99", "≤ 50 ms", ms(p99), within(p99, PAY_P99_MS_MAX)),
        Check::figure(
            Weight::ServiceLevel,
            "payments, p99.9",
            "≤ 200 ms",
            ms(p999),
            within(p999, PAY_P999_MS_MAX),
        ),
    ]
}

fn taken_away(stolen: Option<f64>) -> String {
    stolen.filter(|share| *share >= STOLEN_TOLD_MIN).map_or_else(String::new, |share| {
        format!("; the machine's host gave {:.1} % of its processor time to others", share * 100.0)
    })
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "nothing measured".to_owned(), |value| format!("{value:.3} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Kind;
    use crate::phases::PhaseName;
    use crate::recorder::{End, Recorder};
    use crate::verdict;

    /// 1,000 payments of which `slow` take 60 ms, `stuck` 300 ms and `overloaded` are refused; `late` are sent late.
    fn check(slow: u32, stuck: u32, overloaded: u32, late: u32, expected: u8) {
        let mut recorder = Recorder::new();
        for number in 0..1_000 {
            let lateness = if number < late { 2_000 } else { 10 };
            recorder.offered(Kind::Payment, PhaseName::Steady, Duration::from_micros(lateness));
            let (end, latency_ms) = if number < overloaded {
                (End::Overloaded, 1)
            } else if number < overloaded + stuck {
                (End::Done, 300)
            } else if number < overloaded + stuck + slow {
                (End::Done, 60)
            } else {
                (End::Done, 2)
            };
            recorder.ended(Kind::Payment, PhaseName::Steady, end, Duration::from_millis(latency_ms));
        }
        let checks = checks(&recorder.totals, None);
        assert_eq!(verdict::exit_code(&checks), expected, "{checks:#?}");
    }

    #[test]
    fn service_levels_give_their_exit_codes() {
        check(0, 0, 0, 0, 0);
        check(9, 0, 0, 0, 0);
        check(11, 0, 0, 0, 1);
        check(0, 2, 0, 0, 1);
        check(0, 0, 1, 0, 0);
        check(0, 0, 2, 0, 1);
        check(0, 0, 0, 9, 0);
        check(0, 0, 0, 11, 3);
        check(11, 0, 0, 11, 3);
    }

    #[test]
    fn a_late_harness_tells_what_its_host_took() {
        let measured = |stolen| checks(&Totals::new(), stolen).swap_remove(0).measured;
        assert_eq!(measured(None), "nothing measured");
        assert_eq!(measured(Some(0.0004)), "nothing measured");
        assert!(measured(Some(0.031)).ends_with("gave 3.1 % of its processor time to others"));
    }

    #[test]
    fn a_run_without_payments_passes_nothing() {
        assert_eq!(verdict::exit_code(&checks(&Totals::new(), None)), 3);
    }
}
