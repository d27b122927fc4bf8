//! One line a second while a run goes.
//!
//! Owns: the joining of the workers' seconds, and the line. Never judges.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use crate::answer::PROMOTION_SPENT;
use crate::phases::Plan;
use crate::recorder::{DROPPED, OVERLOADED, Second, TIMED_OUT, UNEXPECTED};

/// Prints each second when all workers have told it, until they are gone; gives all seconds in order.
pub(crate) fn follow(seconds: &Receiver<(usize, Second)>, workers: usize, plan: &Plan) -> Vec<Second> {
    let mut all: BTreeMap<usize, (usize, Second)> = BTreeMap::new();
    while let Ok((number, second)) = seconds.recv() {
        let entry = all.entry(number);
        let (told, joined) = entry
            .and_modify(|(told, joined)| {
                *told += 1;
                joined.merge(&second);
            })
            .or_insert((1, second));
        if *told == workers {
            println!("{}", line(number, plan, joined));
        }
    }
    all.into_values().map(|(_, second)| second).collect()
}

fn line(number: usize, plan: &Plan, second: &Second) -> String {
    let ms = |percent| {
        let value = second.latency.percentile_ms(percent);
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
    };
    let count = |name| second.refusals.get(name).copied().unwrap_or(0);
    let trouble = [OVERLOADED, TIMED_OUT, DROPPED, UNEXPECTED];
    let refused: u64 =
        second.refusals.iter().filter(|(name, _)| !trouble.contains(name)).map(|(_, count)| count).sum();
    let mut line = format!(
        "{:>4}/{:.0}s  {:<12}  offered {:>7}/s  achieved {:>7}/s  pay p50 {:>6}  p99 {:>6}  p99.9 {:>6} ms  refused {refused}",
        number + 1,
        plan.seconds(),
        plan.in_second(number).label(),
        second.offered,
        second.answered,
        ms(50.0),
        ms(99.0),
        ms(99.9),
    );
    if count(PROMOTION_SPENT) > 0 {
        line += &format!(" (promotion spent {})", count(PROMOTION_SPENT));
    }
    for name in trouble.into_iter().filter(|name| count(name) > 0) {
        line += &format!("  {name} {}", count(name));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Kind;
    use crate::phases::PhaseName;
    use crate::recorder::{End, Recorder};
    use crate::scenario::{Length, Rate, Scenario};
    use std::time::Duration;

    fn check(ends: &[End], expected: &str) {
        let scenario = Scenario::midnight(Rate(100.0), Length::Standard, 1.0);
        let mut recorder = Recorder::new();
        for end in ends {
            recorder.offered(Kind::Payment, PhaseName::OrderPeak, Duration::ZERO);
            recorder.ended(Kind::Payment, PhaseName::OrderPeak, *end, Duration::from_millis(3));
        }
        assert_eq!(line(41, &scenario.plan, &recorder.turn()), expected);
    }

    #[test]
    fn a_line_shows_rates_latency_and_trouble() {
        check(
            &[],
            "  42/170s  order peak    offered       0/s  achieved       0/s  pay p50      -  p99      -  p99.9      - ms  refused 0",
        );
        check(
            &[End::Done, End::Refused("insufficient_funds"), End::Refused(PROMOTION_SPENT), End::Overloaded],
            "  42/170s  order peak    offered       4/s  achieved       3/s  pay p50    3.0  p99    3.0  p99.9    3.0 ms  refused 2 (promotion spent 1)  overloaded 1",
        );
    }
}
