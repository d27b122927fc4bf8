//! Single values that travel as JSON strings.

use std::fmt;

use compact_str::CompactString;
use serde::Serializer;
use uuid::Uuid;
use yue_engine::model::{
    AccountStatus, Address, HoldId, LimitWindow, NormalSide, RequestedAmount, Timestamp, TransactionId,
};

use crate::{json::FromText, query::parse_timestamp};

/// Writes a value as the string that it displays.
pub(crate) fn display<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl FromText for Address {
    const EXPECTED: &'static str =
        "an address: 1 to 4 parts joined by ':', a part [a-z0-9][a-z0-9._-]{0,31}, at most 64 bytes";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl FromText for RequestedAmount {
    const EXPECTED: &'static str = "an amount as a decimal string such as \"12.34\"";

    /// What is no amount is refused by the ledger, finally, and not here.
    fn from_text(text: &str) -> Option<Self> {
        Some(Self::parse(text))
    }
}

impl FromText for Timestamp {
    const EXPECTED: &'static str = "an RFC 3339 time with an offset, such as \"2026-06-18T00:00:00+08:00\"";

    fn from_text(text: &str) -> Option<Self> {
        parse_timestamp(text)
    }
}

/// A hyphenated UUID in either case.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    const HYPHENATED_BYTES: usize = 36;
    (text.len() == HYPHENATED_BYTES).then(|| Uuid::try_parse(text).ok()).flatten()
}

impl FromText for TransactionId {
    const EXPECTED: &'static str = "a hyphenated UUID";

    fn from_text(text: &str) -> Option<Self> {
        parse_uuid(text).map(|id| Self(id.as_u128()))
    }
}

impl FromText for HoldId {
    const EXPECTED: &'static str = "a hyphenated UUID";

    fn from_text(text: &str) -> Option<Self> {
        parse_uuid(text).map(|id| Self(id.as_u128()))
    }
}

/// The id of a new transaction, which a client may choose.
pub(crate) struct NewTransactionId(pub(crate) TransactionId);

impl FromText for NewTransactionId {
    const EXPECTED: &'static str = "a hyphenated UUID that is not version 8 (reserved for derived ids)";

    fn from_text(text: &str) -> Option<Self> {
        let id = parse_uuid(text)?;
        let derived = id.get_variant() == uuid::Variant::RFC4122 && id.get_version_num() == 8;
        (!derived).then(|| Self(TransactionId(id.as_u128())))
    }
}

/// The id of a new hold, which a client may choose.
pub(crate) struct NewHoldId(pub(crate) HoldId);

impl FromText for NewHoldId {
    const EXPECTED: &'static str = NewTransactionId::EXPECTED;

    fn from_text(text: &str) -> Option<Self> {
        NewTransactionId::from_text(text).map(|NewTransactionId(TransactionId(id))| Self(HoldId(id)))
    }
}

/// A text of the client's own, of 1 to `BYTES_MAX` bytes without NUL.
pub(crate) struct Label<const BYTES_MAX: usize>(pub(crate) CompactString);

impl<const BYTES_MAX: usize> FromText for Label<BYTES_MAX> {
    const EXPECTED: &'static str = match BYTES_MAX {
        64 => "a text of 1 to 64 bytes without NUL",
        256 => "a text of 1 to 256 bytes without NUL",
        _ => panic!("name the bound"),
    };

    fn from_text(text: &str) -> Option<Self> {
        let fits = (1..=BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        fits.then(|| Self(text.into()))
    }
}

/// Text whose meaning is known only with an asset: a floor, a ceiling, a limit's amount.
#[derive(Clone, Debug)]
pub(crate) struct DecimalText(pub(crate) String);

impl FromText for DecimalText {
    const EXPECTED: &'static str = "a decimal string such as \"12.34\"";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }
}

/// An asset's code, known or not.
pub(crate) struct AssetCode(pub(crate) CompactString);

impl FromText for AssetCode {
    const EXPECTED: &'static str = "an asset's code such as \"CNY\"";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }
}

/// A closed set of words, read and written by one table.
macro_rules! words {
    ($type:ident, $expected:literal, $name:ident, { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl FromText for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        /// The contract's word.
        pub(crate) const fn $name(value: $type) -> &'static str {
            match value {
                $($type::$variant => $word,)+
            }
        }
    };
}

words!(NormalSide, "credit or debit", normal_side, { "credit" => Credit, "debit" => Debit });
words!(AccountStatus, "active, frozen or closed", account_status, {
    "active" => Active, "frozen" => Frozen, "closed" => Closed,
});
words!(LimitWindow, "day, month, year or lifetime", limit_window, {
    "day" => Day, "month" => Month, "year" => Year, "lifetime" => Lifetime,
});

/// Minor units that are never negative, with the asset's decimals.
pub(crate) fn unsigned_units(units: u128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{units:0>width$}", width = scale + 1);
    match digits.split_at(digits.len() - scale) {
        (whole, "") => whole.to_owned(),
        (whole, fraction) => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_turnover() {
        assert_eq!(unsigned_units(5, 2), "0.05");
        assert_eq!(unsigned_units(0, 2), "0.00");
        assert_eq!(unsigned_units(12, 0), "12");
        assert_eq!(unsigned_units(u128::MAX, 2), "3402823669209384634633746074317682114.55");
    }

    #[test]
    fn ids_are_hyphenated_uuids() {
        let check = |text: &str, reference: bool, new: bool| {
            assert_eq!(TransactionId::from_text(text).is_some(), reference, "{text}");
            assert_eq!(NewTransactionId::from_text(text).is_some(), new, "{text}");
        };
        check("0197a0b0-0000-7000-8000-000000000001", true, true);
        check("0197A0B0-0000-7000-8000-00000000000F", true, true);
        check("0197a0b0-0000-8000-8000-000000000001", true, false);
        check("00000000-0000-0000-0000-000000000000", true, true);
        for bad in [
            "",
            "0197a0b0000070008000000000000001",
            "{0197a0b0-0000-7000-8000-000000000001}",
            "urn:uuid:0197a0b0-0000-7000-8000-000000000001",
            "0197a0b0-0000-7000-8000-00000000000g",
            "0197a0b0-0000-7000-8000-0000000000001",
            " 197a0b0-0000-7000-8000-000000000001",
            "0197a0b0-00007-000-8000-000000000001",
        ] {
            check(bad, false, false);
        }
    }
}
