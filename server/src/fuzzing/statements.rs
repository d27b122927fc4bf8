//! Statements: the size of the pieces in which one comes changes nothing, and what is read can be written again.

use std::fmt::Write as _;

use compact_str::CompactString;
use yue_engine::{
    model::{Timestamp, format_units},
    wallet::StatementLine,
};

use crate::wire::wallet::{customer::CNY_SCALE, statement::StatementReader};

pub(super) fn check(bytes: &[u8]) {
    let (size, text) = bytes.split_first().map_or((0, bytes), |(size, rest)| (*size, rest));
    let whole = read(text, text.len().max(1));
    assert_eq!(whole, read(text, usize::from(size % 16) + 1), "the pieces' size shows");
    let Some(lines) = whole else { return };

    let mut again = "order,reference,amount,at\n".to_owned();
    for (order, reference, units, at) in &lines {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let amount = format_units((*units).into(), CNY_SCALE);
        // Writing to a String does not fail.
        let _infallible = writeln!(again, "{},{},{amount},{at}", quoted(order), quoted(reference));
    }
    let reread = read(again.as_bytes(), again.len());
    assert_eq!(reread.as_ref(), Some(&lines), "what was read is read again: {again}");
    let sum = |lines: &[Line]| lines.iter().map(|(_, _, units, _)| u128::from(*units)).sum::<u128>();
    assert_eq!(reread.map(|lines| sum(&lines)), Some(sum(&lines)), "the totals");
}

/// Order, reference, fen, time.
type Line = (CompactString, CompactString, u64, Timestamp);

fn read(text: &[u8], piece_bytes: usize) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let mut reader = StatementReader::new();
    let mut take = |StatementLine { order, reference, amount, at }: StatementLine| {
        lines.push((order, reference, amount.units(), at));
    };
    for piece in text.chunks(piece_bytes) {
        reader.read(piece, &mut take).ok()?;
    }
    reader.finish(&mut take).ok()?;
    Some(lines)
}
