//! Addresses, amounts, times, ids, queries and cursors: what is read is printed as it was, and read again.

use yue_engine::{
    model::{
        Address, Amount, Assets, HoldId, Position, RequestedAmount, Timestamp, TransactionId, format_units,
        parse_signed_units,
    },
    view::HistoryCursor,
    wallet::{Date, Part},
};

use crate::{
    cursor::Cursor,
    json::FromText as _,
    query::{Query, parse_position, parse_timestamp},
    wire::texts::parse_uuid,
};

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    address(text);
    amounts(text);
    times(text);
    queries(text);
    if let Some(id) = parse_uuid(text) {
        assert_eq!(id.hyphenated().to_string(), text.to_ascii_lowercase());
        assert_eq!(TransactionId::from_text(text).map(|id| id.to_string()), Some(text.to_ascii_lowercase()));
        assert!(HoldId::from_text(text).is_some());
    }
    if let Some(position) = parse_position(text) {
        assert_eq!(parse_position(&position.to_string()), Some(position));
    }
    cursor::<Address>(text);
    cursor::<HistoryCursor>(text);
}

fn address(text: &str) {
    let Ok(address) = Address::parse(text) else {
        assert_eq!(Part::parse(text), None, "a part is an address");
        return;
    };
    assert_eq!(address.to_string(), text);
    assert!(text.len() <= Address::BYTES_MAX && text.is_ascii(), "{text}");
    let parts: Vec<&str> = text.split(':').collect();
    assert!((1..=Address::PARTS_MAX).contains(&parts.len()), "{text}");
    assert!(parts.iter().all(|part| Part::parse(part).is_some_and(|it| it.to_string() == *part)), "{text}");
    assert_eq!(parts.first().copied(), Some(address.group()));
    assert_eq!(address.family(), parts.iter().take(2).copied().collect::<Vec<_>>().join(":"));
    // Accounts of a family share a shard.
    let family = Address::parse(address.family()).map(|family| family.shard(7));
    assert_eq!(family, Ok(address.shard(7)));
    assert_eq!(Part::parse(text).is_some(), parts.len() == 1, "{text}");
}

fn amounts(text: &str) {
    let requested = RequestedAmount::parse(text);
    for scale in 0..=Assets::SCALE_MAX {
        let units = requested.to_units(scale);
        assert_eq!(units, naive(text, scale), "{text} of scale {scale}");
        if let Some(amount) = units {
            let printed = format_units(amount.units().into(), scale);
            assert_eq!(RequestedAmount::parse(&printed).to_units(scale), units, "{printed}");
            assert_eq!(RequestedAmount::parse(&printed), requested, "{printed}");
            assert_eq!(RequestedAmount::from_units(amount, scale), requested, "{printed}");
        }
        if let Some(units) = parse_signed_units(text, scale) {
            assert!(units.unsigned_abs() <= u64::MAX.into(), "{text}");
            assert_eq!(parse_signed_units(&format_units(units, scale), scale), Some(units), "{text}");
        }
    }
    let fits = (0..=Assets::SCALE_MAX).any(|scale| naive(text, scale).is_some());
    assert_eq!(requested.fits_some_asset(), fits, "{text}");
    if let RequestedAmount::Decimal(_) = requested {
        assert_eq!(RequestedAmount::parse(&requested.to_string()), requested, "{text}");
    }
}

/// By hand, as the contract says it: digits, perhaps a point and digits; no more of them than the scale.
fn naive(text: &str, scale: u8) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = if text.contains('.') { fraction.len() } else { 0 };
    if !digits(whole) || !digits(fraction) || decimals > usize::from(scale) {
        return None;
    }
    let fraction = if decimals == 0 { "" } else { fraction };
    let padded = format!("{whole}{fraction}{}", "0".repeat(usize::from(scale) - decimals));
    // More digits than a decimal number of this program has: refused, though zeros may lead.
    let units = padded.trim_start_matches('0').parse::<u64>().ok()?;
    (units > 0).then_some(Amount(units))
}

fn times(text: &str) {
    if let Some(at) = parse_timestamp(text) {
        assert_eq!(parse_timestamp(&at.to_string()), Some(at), "{text}");
        // A `+` that was decoded to a space.
        assert_eq!(parse_timestamp(&text.replace('+', " ")), Some(at), "{text}");
    }
    if let Some(date) = Date::parse(text) {
        assert_eq!(date.to_string(), text);
        assert_eq!((Date::of(date.start()), date.end() > date.start()), (date, true), "{text}");
        assert_eq!(Date::of(Timestamp(date.end().0 - 1)), date, "{text}");
    }
}

fn queries(text: &str) {
    let names = ["from", "to", "cursor", "limit", "after", "position", "at", "prefix"];
    let Ok(query) = Query::parse(Some(text), &names) else { return };
    let encoded = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(names.iter().filter_map(|name| query.text(name).map(|value| (*name, value))))
        .finish();
    let Ok(again) = Query::parse(Some(&encoded), &names) else { panic!("{encoded} of {text}") };
    for name in names {
        assert_eq!(query.text(name), again.text(name), "{text}");
    }
    let limit = query.limit().ok();
    assert!(limit.is_none_or(|limit| (1..=crate::query::LIMIT_MAX).contains(&limit)), "{text}");
    let position = |query: &Query<'_>| query.position("position").ok().flatten();
    assert_eq!(position(&query).map(|it: Position| it.0), position(&again).map(|it| it.0), "{text}");
}

fn cursor<C: Cursor>(text: &str) {
    if let Some(cursor) = C::decode(text) {
        assert_eq!(cursor.encode(), text, "a cursor has one form");
    }
}
