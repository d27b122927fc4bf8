//! Strict query strings.
//!
//! Owns their reading. Invariant: a parameter that the route does not have, or that is given twice, is refused.

use std::borrow::Cow;

use yue_engine::model::{Position, Timestamp};

use crate::{
    cursor::Cursor,
    problem::{Code, Problem},
};

/// Rows of a page if the client does not say.
const LIMIT_DEFAULT: usize = 50;
/// Most rows of a page.
pub(crate) const LIMIT_MAX: usize = 1_000;

/// The parameters of one request.
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query string of a route that knows `names`.
    pub(crate) fn parse(query: Option<&'a str>, names: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !names.contains(&name.as_ref()) {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(malformed(&name, format!("unknown parameter; known: {known}")));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(malformed(&name, "the parameter is given twice"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// A parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| malformed(name, format!("expected {expected}")))
    }

    /// An instant.
    pub(crate) fn timestamp(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.read(name, "an RFC 3339 time such as 2026-06-18T00:00:00+08:00", parse_timestamp)
    }

    /// A journal position.
    pub(crate) fn position(&self, name: &str) -> Result<Option<Position>, Problem> {
        self.read(name, "a position: a whole number from 0", parse_position)
    }

    /// Where the page starts.
    pub(crate) fn cursor<C: Cursor>(&self) -> Result<Option<C>, Problem> {
        self.read("cursor", "the next_cursor of an earlier page of the same list", C::decode)
    }

    /// How many rows the page has at most.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.read("limit", "a whole number from 1 to 1000", |text| {
            digits(text)?.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }
}

fn malformed(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::Malformed, detail).field(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
}

/// Rust's own parser takes a leading `+`.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// A whole number from 0.
pub(crate) fn parse_position(text: &str) -> Option<Position> {
    digits(text)?.parse().ok().map(Position)
}

/// An RFC 3339 time with any offset, to the nanosecond. A `+` that was decoded to a space is taken for a `+`; times
/// outside the ledger's range are taken for its ends.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let sign = text.len().checked_sub("+08:00".len());
    let text = match sign.and_then(|sign| text.split_at_checked(sign)) {
        Some((time, offset)) if offset.starts_with(' ') => {
            Cow::Owned(format!("{time}+{}", offset.trim_start()))
        }
        Some(_) | None => Cow::Borrowed(text),
    };
    let shape = "dddd-dd-ddTdd:dd:dd";
    let (start, rest) = text.split_at_checked(shape.len())?;
    let fits = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
                b'd' => byte.is_ascii_digit(),
                other => byte.eq_ignore_ascii_case(&other),
            })
    };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let decimals = fraction.bytes().take_while(u8::is_ascii_digit).count();
            fraction.get(decimals..).filter(|_| (1..=9).contains(&decimals))?
        }
        None => rest,
    };
    let known_offset = fits(offset, "z") || fits(offset, "+dd:dd") || fits(offset, "-dd:dd");
    if !fits(start, shape) || !known_offset {
        return None;
    }
    // jiff's instants end a day before its dates do, so that the last ones are no instants with some offsets, or with
    // any. They lie far behind the ledger's range, and are taken for its end if all parts are right.
    let date_time = text.get(..text.len() - offset.len())?.parse::<jiff::civil::DateTime>().ok()?;
    if date_time.year() == jiff::civil::Date::MAX.year() {
        let offset_exists = format!("2000-01-01T00:00:00{offset}").parse::<jiff::Timestamp>().is_ok();
        return offset_exists.then_some(Timestamp(i64::MAX));
    }
    let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    Some(Timestamp(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let check = |query: &str, expected: Option<i64>| {
            let read = Query::parse(Some(query), &["at"]).and_then(|query| query.timestamp("at"));
            assert_eq!(read.ok().flatten(), expected.map(Timestamp), "{query}");
        };
        check("at=1970-01-01T00:00:01Z", Some(1_000_000_000));
        check("at=1970-01-01t00:00:01z", Some(1_000_000_000));
        check("at=1970-01-01T00:00:00.000000001Z", Some(1));
        check("at=1970-01-01T08:00:00.5%2B08:00", Some(500_000_000));
        check("at=1970-01-01T08:00:00+08:00", Some(0));
        check("at=1969-12-31T16:00:00-08:00", Some(0));
        check("at=0001-01-01T00:00:00Z", Some(i64::MIN));
        check("at=9999-01-01T00:00:00Z", Some(i64::MAX));
        check("at=9999-12-31T23:59:59Z", Some(i64::MAX));
        check("at=9999-12-31T23:59:59.999999999-23:59", Some(i64::MAX));
        check("at=9998-12-31T23:59:59-23:59", Some(i64::MAX));
        check("at=0000-01-01T00:00:00%2B23:59", Some(i64::MIN));
        for bad in [
            "",
            "now",
            "0",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0000000001Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T25:00:00Z",
            "9999-13-01T00:00:00Z",
            "9999-02-29T00:00:00Z",
            "9999-12-31T24:00:00Z",
            "9999-12-31T23:59:59-99:00",
            "9999-12-31T23:59:59-08:60",
            "19700101T000000Z",
            "1970-01-01T00:00:00+08",
            "1970-01-01T00:00:00Z[UTC]",
            "1970-01-01 00:00:00Z",
            "１970-01-01T00:00:00Z",
        ] {
            check(&format!("at={bad}"), None);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let check = |query: &str, field: &str| {
            let read = Query::parse(Some(query), &["limit", "cursor"]).and_then(|query| {
                query.limit()?;
                query.cursor::<yue_engine::model::Address>()
            });
            let problem = read.err();
            assert_eq!(problem.as_ref().and_then(Problem::field_pointer), Some(field), "{query}");
        };
        for limit in ["0", "1001", "-1", "+1", "1.0", "", "x", "18446744073709551616"] {
            check(&format!("limit={limit}"), "/limit");
        }
        check("cursor=x", "/cursor");
        check("limit=1&limit=1", "/limit");
        check("offset=1", "/offset");
        assert!(Query::parse(None, &[]).is_ok());
        assert!(Query::parse(Some(""), &[]).is_ok());
    }
}
