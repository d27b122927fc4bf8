//! A statement's CSV, piece by piece.
//!
//! Owns the form of a line. Never holds more than one line. Invariant: a line is what it should be, whole, or the
//! reading ends there.

use compact_str::{CompactString, format_compact};
use csv_core::ReadRecordResult;
use yue_engine::{
    model::{RequestedAmount, Timestamp},
    wallet::StatementLine,
};

use crate::{
    json::FromText,
    problem::{Code, Problem},
    wire::{
        texts::{Label, parse_uuid},
        wallet::customer::CNY_SCALE,
    },
};

/// A line that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    line: u64,
    /// The column, where it is one's fault.
    column: Option<&'static str>,
    what: &'static str,
}

impl From<BadLine> for Problem {
    fn from(BadLine { line, column, what }: BadLine) -> Self {
        let column = column.map(|column| format!("/{column}")).unwrap_or_default();
        Self::new(Code::Malformed, format!("line {line}: {what}")).field(format!("/{line}{column}"))
    }
}

/// Reads lines from pieces of any size.
pub(crate) struct StatementReader {
    reader: csv_core::Reader,
    text: [u8; Self::LINE_BYTES_MAX],
    text_bytes: usize,
    ends: [usize; Self::COLUMNS.len()],
    columns: usize,
    header_read: bool,
}

impl StatementReader {
    /// Most bytes of a line, without its separators.
    pub(crate) const LINE_BYTES_MAX: usize = 512;
    const COLUMNS: [&'static str; 4] = ["order", "reference", "amount", "at"];

    pub(crate) fn new() -> Self {
        Self {
            reader: csv_core::Reader::new(),
            text: [0; Self::LINE_BYTES_MAX],
            text_bytes: 0,
            ends: [0; Self::COLUMNS.len()],
            columns: 0,
            header_read: false,
        }
    }

    /// Reads a piece; whole lines go to `take`.
    pub(crate) fn read(
        &mut self,
        mut piece: &[u8],
        take: &mut impl FnMut(StatementLine),
    ) -> Result<(), BadLine> {
        // To this parser an empty piece is the end.
        while !piece.is_empty() {
            let (_, taken) = self.step(piece, take)?;
            piece = piece.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the last line, if nothing ended it.
    pub(crate) fn finish(&mut self, take: &mut impl FnMut(StatementLine)) -> Result<(), BadLine> {
        while !self.step(&[], take)?.0 {}
        if self.header_read { Ok(()) } else { Err(self.bad(1, None, Self::HEADER)) }
    }

    const HEADER: &'static str = "the first line must be order,reference,amount,at";

    /// One step of the parser: whether it is at the end, and what it has taken of the piece.
    fn step(&mut self, piece: &[u8], take: &mut impl FnMut(StatementLine)) -> Result<(bool, usize), BadLine> {
        let text = self.text.get_mut(self.text_bytes..).unwrap_or_default();
        let ends = self.ends.get_mut(self.columns..).unwrap_or_default();
        let (result, taken, bytes, columns) = self.reader.read_record(piece, text, ends);
        self.text_bytes += bytes;
        self.columns += columns;
        // Line feeds are counted when they are taken.
        let ended = taken.checked_sub(1).and_then(|last| piece.get(last)) == Some(&b'\n');
        let line = self.reader.line() - u64::from(ended);
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => return Err(self.bad(line, None, "it is too long")),
            ReadRecordResult::OutputEndsFull => return Err(self.bad(line, None, Self::FOUR)),
            ReadRecordResult::Record => {
                self.record(line, take)?;
                (self.text_bytes, self.columns) = (0, 0);
            }
            ReadRecordResult::End => return Ok((true, taken)),
        }
        Ok((false, taken))
    }

    const FOUR: &'static str = "it must have the four columns order,reference,amount,at";

    fn bad(&self, line: u64, column: Option<&'static str>, what: &'static str) -> BadLine {
        BadLine { line, column, what }
    }

    fn record(&mut self, line: u64, take: &mut impl FnMut(StatementLine)) -> Result<(), BadLine> {
        let mut start = 0;
        let mut fields = [""; Self::COLUMNS.len()];
        if self.columns != fields.len() {
            let what = if self.header_read { Self::FOUR } else { Self::HEADER };
            return Err(self.bad(line, None, what));
        }
        for (field, &end) in fields.iter_mut().zip(&self.ends) {
            let bytes = self.text.get(start..end).unwrap_or_default();
            *field = str::from_utf8(bytes).map_err(|_| self.bad(line, None, "it is not UTF-8"))?;
            start = end;
        }
        if !self.header_read {
            if fields != Self::COLUMNS {
                return Err(self.bad(line, None, Self::HEADER));
            }
            self.header_read = true;
            return Ok(());
        }
        let [order, reference, amount, at] = fields;
        let bad = |column, what| self.bad(line, Some(column), what);
        let Some(Label(reference)) = Label::<64>::from_text(reference) else {
            return Err(bad("reference", Label::<64>::EXPECTED));
        };
        let Some(amount) = RequestedAmount::parse(amount).to_units(CNY_SCALE) else {
            return Err(bad("amount", "an amount is above zero, with at most 2 decimals"));
        };
        let Some(at) = Timestamp::from_text(at) else { return Err(bad("at", Timestamp::EXPECTED)) };
        let Some(order) = order_of(order) else { return Err(bad("order", Label::<64>::EXPECTED)) };
        take(StatementLine { order, reference, amount, at });
        Ok(())
    }
}

/// The wallet's ids in their one form; whatever else a channel takes for an order as it is.
fn order_of(text: &str) -> Option<CompactString> {
    let Label(text) = Label::<64>::from_text(text)?;
    Some(parse_uuid(&text).map_or(text, |id| format_compact!("{}", id.hyphenated())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "order,reference,amount,at\n";
    const LINE: &str = "0197A0B0-0000-7000-8000-0000000000B1,r1,5.00,2026-06-18T00:00:00+08:00";

    /// Reads a text in pieces of a size.
    fn read(text: &str, piece_bytes: usize) -> Result<Vec<(String, u64)>, BadLine> {
        let mut lines = Vec::new();
        let mut reader = StatementReader::new();
        let mut take = |line: StatementLine| {
            lines.push((format!("{}/{}", line.order, line.reference), line.amount.units()))
        };
        for piece in text.as_bytes().chunks(piece_bytes) {
            reader.read(piece, &mut take)?;
        }
        reader.finish(&mut take)?;
        Ok(lines)
    }

    #[test]
    fn lines_are_read_from_pieces_of_any_size() {
        let text = format!("{HEADER}{LINE}\r\n\r\nx,\"a,\"\"b\",0.01,2026-06-18T00:00:00Z\n\n{LINE}");
        let order = "0197a0b0-0000-7000-8000-0000000000b1/r1".to_owned();
        let expected = vec![(order.clone(), 500), ("x/a,\"b".to_owned(), 1), (order, 500)];
        for piece_bytes in [1, 2, 3, 7, 64, 4_096] {
            assert_eq!(read(&text, piece_bytes).as_ref(), Ok(&expected), "{piece_bytes}");
        }
        assert_eq!(read(HEADER, 5), Ok(vec![]));
        assert_eq!(read(HEADER.trim_end(), 5), Ok(vec![]));
        assert_eq!(read(&format!("\u{feff}{HEADER}"), 64), Ok(vec![]));
    }

    #[test]
    fn a_bad_line_is_named() {
        let check = |lines: &str, line: u64, column: Option<&'static str>| {
            for (text, ending) in [
                (format!("{HEADER}{LINE}\n{lines}"), "LF"),
                (format!("{HEADER}{LINE}\n{lines}").replace('\n', "\r\n"), "CRLF"),
            ] {
                for piece_bytes in [1, 5, 4_096] {
                    let found = read(&text, piece_bytes).unwrap_err();
                    assert_eq!(
                        (found.line, found.column),
                        (line, column),
                        "{lines:?} {ending} {piece_bytes}"
                    );
                }
            }
        };
        let at = "2026-06-18T00:00:00Z";
        check("o,r,1.00", 3, None);
        check(&format!("o,r,1.00,{at},\n"), 3, None);
        check(&format!("{LINE}\nx\n{LINE}\n"), 4, None);
        check(&format!("{LINE}\n\n\no,r,1.001,{at}"), 6, Some("amount"));
        for amount in ["", "0", "-1", "x", "1e2", "1,5"] {
            let column = (!amount.contains(',')).then_some("amount");
            check(&format!("o,r,{amount},{at}\n"), 3, column);
        }
        check(&format!(",r,1.00,{at}\n"), 3, Some("order"));
        check(&format!("o,,1.00,{at}\n"), 3, Some("reference"));
        check(&format!("o,{},1.00,{at}\n", "r".repeat(65)), 3, Some("reference"));
        check("o,r,1.00,2026-06-18\n", 3, Some("at"));
        check(&format!("o,{},1.00,{at}\n", "r".repeat(600)), 3, None);
    }

    #[test]
    fn without_its_header_it_is_none() {
        for text in [
            "",
            "\n\n",
            LINE,
            "order,reference,amount\n",
            "order,reference,at,amount\n",
            "Order,reference,amount,at\n",
        ] {
            let found = read(text, 4_096).unwrap_err();
            assert_eq!(found.what, StatementReader::HEADER, "{text:?}");
        }
        let bytes = [HEADER.as_bytes(), b"o,\xff,1.00,2026-06-18T00:00:00Z\n"].concat();
        let found = StatementReader::new().read(&bytes, &mut |_| ()).unwrap_err();
        assert_eq!((found.line, found.what), (2, "it is not UTF-8"));
    }
}
