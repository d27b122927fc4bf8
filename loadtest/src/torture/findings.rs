//! What is wrong.
//!
//! Owns: the findings of a torture, by kind. Never decides what is one.

/// What is wrong, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged, and not there, or not as acknowledged.
    pub(crate) lost: Vec<String>,
    /// There twice.
    pub(crate) doubled: Vec<String>,
    /// Everything else.
    pub(crate) other: Vec<String>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.other.is_empty()
    }

    /// Takes others.
    pub(crate) fn append(&mut self, others: Self) {
        let Self { lost, doubled, other } = others;
        self.lost.extend(lost);
        self.doubled.extend(doubled);
        self.other.extend(other);
    }

    /// All of them, each with its kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = String> {
        let named = |name: &'static str, list: &'_ [String]| {
            list.iter().map(|text| format!("{name}: {text}")).collect::<Vec<_>>()
        };
        [named("LOST", &self.lost), named("DOUBLED", &self.doubled), named("WRONG", &self.other)]
            .into_iter()
            .flatten()
    }
}
