//! Which loads to offer: the search for the capacity, and the choice of the reference.
//!
//! Owns the steps. Never offers anything itself. Invariant: a capacity or a reference is a rate of which enough was posted
//! when it was offered.

use std::collections::VecDeque;

use super::checks::SUSTAINED_MIN;

/// Multiples of the closed loop's rate that the search offers.
const STEPS: [f64; 6] = [0.5, 0.65, 0.8, 0.9, 1.0, 1.2];
/// While the last step kept the most, the next one offers so much more; while none was sustained, so much less than any.
const STEP_ON: f64 = 1.2;
/// Multiples of the closed loop's rate at which the search ends in any case.
const STEP_MIN: f64 = 0.1;
const STEP_MAX: f64 = 6.0;
/// The load to which the others are compared, as a multiple of the capacity: the first of these that is sustained. A load
/// that is not normal itself would excuse whatever is compared with it. A lower one asks for a lower latency, and for less of
/// the recovery: a server that stays slower than it was is seen by the goodput under overload.
const BASES: [f64; 3] = [0.8, 0.72, 0.65];

/// What a stage has kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Posted a second.
    pub(super) goodput: f64,
    /// Posted, of what was offered.
    pub(super) share: f64,
}

/// The highest rate that was kept at a step that was sustained; `None`: none was. `offer` offers a multiple of the closed
/// loop's rate.
///
/// # Errors
/// As `offer`.
pub(super) fn capacity<E>(mut offer: impl FnMut(f64) -> Result<Kept, E>) -> Result<Option<f64>, E> {
    let (mut capacity, mut most) = (None, 0.0_f64);
    let mut steps: VecDeque<f64> = STEPS.into();
    let mut lowest = STEPS[0];
    while let Some(step) = steps.pop_front() {
        let kept = offer(step)?;
        if kept.share >= SUSTAINED_MIN {
            capacity = Some(kept.goodput.max(capacity.unwrap_or_default()));
        }
        if steps.is_empty() && kept.goodput > most && step * STEP_ON <= STEP_MAX {
            steps.push_back(step * STEP_ON);
        }
        most = most.max(kept.goodput);
        if steps.is_empty() && capacity.is_none() && lowest / STEP_ON >= STEP_MIN {
            lowest /= STEP_ON;
            steps.push_back(lowest);
        }
    }
    Ok(capacity)
}

/// The first reference that is sustained, or else the last. `offer` offers a multiple of the capacity.
///
/// # Errors
/// As `offer`.
pub(super) fn base<E>(mut offer: impl FnMut(f64) -> Result<Kept, E>) -> Result<f64, E> {
    let mut base = 0.0;
    for factor in BASES {
        base = factor;
        if offer(factor)?.share >= SUSTAINED_MIN {
            break;
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The steps that were offered to a server, and what was made of it.
    fn tried<T>(
        run: impl FnOnce(&mut dyn FnMut(f64) -> Result<Kept, Infallible>) -> Result<T, Infallible>,
        server: impl Fn(f64) -> f64,
    ) -> (Vec<f64>, T) {
        let mut offered = Vec::new();
        let Ok(found) = run(&mut |rate| {
            offered.push(rate);
            let goodput = server(rate);
            Ok(Kept { goodput, share: goodput / rate })
        });
        (offered, found)
    }

    #[test]
    fn the_capacity_is_the_highest_rate_that_was_sustained() {
        let check = |name: &str, server: &dyn Fn(f64) -> f64, expected: Option<f64>, steps: usize| {
            let (offered, found) = tried(|offer| capacity(offer), server);
            let near = |(found, expected): (f64, f64)| (found - expected).abs() < 1e-9;
            assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?}");
            assert!(found.zip(expected).is_none_or(near), "{name}: {found:?} {expected:?}");
            assert_eq!(offered.len(), steps, "{name}: {offered:?}");
        };
        // The last step kept no more than the one before.
        check("as the closed loop", &|rate| rate.min(1.0), Some(1.0), 6);
        check("between two steps", &|rate| rate.min(0.85), Some(0.8), 6);
        // 1.2 was kept whole: 1.44 follows, then 1.728 keeps 1.5, the most, and 2.07 no more.
        check("more than the closed loop", &|rate| rate.min(1.5), Some(1.44), 9);
        // Below the lowest step: down until one is sustained.
        check("a slow machine", &|rate| rate.min(0.35), Some(0.5 / 1.2 / 1.2), 8);
        check("falls under overload", &|rate| if rate > 0.7 { 0.1 } else { rate }, Some(0.65), 6);
        check("posts a part of anything", &|rate| 0.9 * rate, None, 22);
        check("posts nothing", &|_| 0.0, None, 14);
    }

    #[test]
    fn the_reference_is_the_first_that_is_sustained() {
        let check = |limit: f64, expected: f64, count: usize| {
            let (offered, found) = tried(|offer| base(offer), |rate| rate.min(limit));
            assert!((found - expected).abs() < 1e-9, "{limit}: {found}");
            assert_eq!(offered.len(), count, "{limit}: {offered:?}");
        };
        check(1.0, 0.8, 1);
        check(0.77, 0.8, 1);
        check(0.75, 0.72, 2);
        check(0.66, 0.65, 3);
        // None: the last, and the check of the reference fails.
        check(0.1, 0.65, 3);
    }
}
