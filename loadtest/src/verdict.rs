//! Checks, and what a run is worth by them.
//!
//! Owns: the weight of a check and the exit code. Never measures. A broken promise outweighs an invalid measurement,
//! and that outweighs a missed service level.

use serde::Serialize;

/// The most examples that a failed check shows.
const EXAMPLES_MAX: usize = 10;

/// What a failed check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Weight {
    /// The ledger broke a promise.
    Hard,
    /// The harness itself was not good enough; the figures say nothing.
    Validity,
    /// The ledger was too slow.
    ServiceLevel,
}

impl Weight {
    /// The exit code of a run whose worst failure is of this weight.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Hard => 2,
            Self::Validity => 3,
            Self::ServiceLevel => 1,
        }
    }

    /// The name as people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Validity => "validity",
            Self::ServiceLevel => "SLO",
        }
    }
}

/// One check with its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) weight: Weight,
    pub(crate) passed: bool,
    /// What was found.
    pub(crate) measured: String,
    /// What was asked for.
    pub(crate) threshold: &'static str,
    /// Cases that failed, for people.
    pub(crate) examples: Vec<String>,
}

impl Check {
    /// A hard check that passes if there are no failures; `measured` says what was looked at.
    pub(crate) fn hard(
        name: &'static str,
        threshold: &'static str,
        measured: String,
        failures: Vec<String>,
    ) -> Self {
        let passed = failures.is_empty();
        let measured = if passed { measured } else { format!("{measured}; {} failed", failures.len()) };
        Self {
            name,
            weight: Weight::Hard,
            passed,
            measured,
            threshold,
            examples: failures.into_iter().take(EXAMPLES_MAX).collect(),
        }
    }

    /// A check of a figure.
    pub(crate) fn figure(
        weight: Weight,
        name: &'static str,
        threshold: &'static str,
        measured: String,
        passed: bool,
    ) -> Self {
        Self { name, weight, passed, measured, threshold, examples: Vec::new() }
    }
}

/// The exit code that the checks give: 0 if all passed.
pub(crate) fn exit_code(checks: &[Check]) -> u8 {
    let failed = |weight: Weight| checks.iter().any(|check| check.weight == weight && !check.passed);
    [Weight::Hard, Weight::Validity, Weight::ServiceLevel]
        .into_iter()
        .find(|weight| failed(*weight))
        .map_or(0, Weight::exit_code)
}

/// The word for an exit code.
pub(crate) fn word(exit_code: u8) -> &'static str {
    match exit_code {
        0 => "PASS",
        3 => "INVALID",
        _ => "FAIL",
    }
}

/// The checks as a table for the terminal.
pub(crate) fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for check in checks {
        let mark = if check.passed { "pass" } else { "FAIL" };
        let (name, weight) = (check.name, check.weight.label());
        lines += &format!(
            "  {mark}  {name:width$}  {weight:8}  {}  (asked: {})\n",
            check.measured, check.threshold
        );
        for example in &check.examples {
            lines += &format!("        - {example}\n");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failed: &[Weight], expected_code: u8, expected_word: &str) {
        let checks: Vec<Check> = [Weight::Hard, Weight::Validity, Weight::ServiceLevel]
            .into_iter()
            .map(|weight| {
                Check::figure(
                    weight,
                    "a check",
                    "anything",
                    "something".to_owned(),
                    !failed.contains(&weight),
                )
            })
            .collect();
        let code = exit_code(&checks);
        assert_eq!((code, word(code)), (expected_code, expected_word), "{failed:?}");
    }

    #[test]
    fn the_worst_failure_gives_the_exit_code() {
        check(&[], 0, "PASS");
        check(&[Weight::ServiceLevel], 1, "FAIL");
        check(&[Weight::Hard], 2, "FAIL");
        check(&[Weight::Validity], 3, "INVALID");
        check(&[Weight::ServiceLevel, Weight::Validity], 3, "INVALID");
        check(&[Weight::ServiceLevel, Weight::Validity, Weight::Hard], 2, "FAIL");
    }

    #[test]
    fn a_hard_check_fails_on_any_failure_and_shows_some() {
        let failures = (0..25).map(|number| format!("case {number}")).collect();
        let check = Check::hard("a check", "none", "25 cases".to_owned(), failures);
        assert!(!check.passed);
        assert_eq!(check.examples.len(), EXAMPLES_MAX);
        insta::assert_snapshot!(table(&[Check { examples: vec!["case 0".to_owned()], ..check }]), @r"
          FAIL  a check  hard      25 cases; 25 failed  (asked: none)
                - case 0
        ");
    }
}
