//! Rows of a CSV file, each with the line on which it begins.
//!
//! The memory is bounded: a row has at most [`MAX_ROW_BYTES`] and [`MAX_CELLS`]. The rest of a larger row is skipped.

use std::io::{self, BufRead};

use access_tokens_domain::import::MAX_RECORD_BYTES;
use csv_core::ReadRecordResult;

/// Maximum size of a row in bytes, without its quotes and delimiters.
pub(in crate::command) const MAX_ROW_BYTES: usize = MAX_RECORD_BYTES;
/// Maximum number of cells of a row.
pub(in crate::command) const MAX_CELLS: usize = 4_096;

/// A row: its line, its cells, and the first wrong quote.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::command) struct Row {
    /// The line on which it begins, counted from one.
    pub(in crate::command) line: usize,
    pub(in crate::command) cells: Result<Cells, TooLarge>,
    /// With a wrong quote, the cells may contain text of other rows.
    pub(in crate::command) wrong_quote: Option<WrongQuote>,
}

/// The cells of a row as bytes, which need not be UTF-8.
#[derive(Debug, PartialEq, Eq, Default)]
pub(in crate::command) struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    pub(in crate::command) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the cells as texts without leading and trailing blanks. None where one is not UTF-8.
    pub(in crate::command) fn trimmed(&self) -> Option<Vec<String>> {
        self.iter().map(|cell| Some(std::str::from_utf8(cell).ok()?.trim().to_owned())).collect()
    }

    /// Returns the size of all cells in bytes.
    pub(in crate::command) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::command) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// The limit that a row exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum TooLarge {
    Bytes,
    Cells,
}

/// The first quote of a row that RFC 4180 does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum WrongQuote {
    /// The file ends inside of the quoted cell that begins on this line.
    NotClosed { opened: usize },
    /// On `line`, text follows a closing quote before the next delimiter. The quoted cell begins on the line `opened`.
    TextAfter { line: usize, opened: usize },
}

/// Reads rows with the quotes of RFC 4180: a quoted cell may contain delimiters, line breaks and doubled quotes. Lines end with CRLF, LF or
/// CR.
pub(in crate::command) struct Reader<R> {
    input: R,
    parser: csv_core::Reader,
    delimiter: u8,
    lines: Lines,
    bytes: Box<[u8]>,
    ends: Box<[usize]>,
}

impl<R: BufRead> Reader<R> {
    /// Creates a reader of rows. `lines` counts the lines before them.
    pub(in crate::command) fn new(input: R, delimiter: u8, lines: Lines) -> Self {
        Self {
            input,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            lines,
            bytes: vec![0; MAX_ROW_BYTES].into(),
            ends: vec![0; MAX_CELLS].into(),
        }
    }

    /// Returns the next row that is not an empty line. None at the end.
    pub(in crate::command) fn next(&mut self) -> io::Result<Option<Row>> {
        if !self.skip_line_breaks()? {
            return Ok(None);
        }
        let line = self.lines.line;
        let (mut bytes, mut ends) = (0, 0);
        let mut too_large = None;
        let mut quotes = Quotes::new(self.delimiter);
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.bytes[bytes..], &mut self.ends[ends..]);
            for byte in &input[..read] {
                quotes.pass(*byte, self.lines.line);
                self.lines.pass_byte(*byte);
            }
            self.input.consume(read);
            (bytes, ends) = (bytes + written, ends + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    // The rest of the row overwrites the buffer.
                    too_large.get_or_insert(TooLarge::Bytes);
                    (bytes, ends) = (0, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    too_large.get_or_insert(TooLarge::Cells);
                    (bytes, ends) = (0, 0);
                }
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let cells = match too_large {
            Some(what) => Err(what),
            None => Ok(Cells { bytes: self.bytes[..bytes].to_vec(), ends: self.ends[..ends].to_vec() }),
        };
        Ok(Some(Row { line, cells, wrong_quote: quotes.finish() }))
    }

    /// Skips empty lines. Returns whether a row follows.
    fn skip_line_breaks(&mut self) -> io::Result<bool> {
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() {
                return Ok(false);
            }
            let breaks = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let follows = breaks < input.len();
            self.lines.pass(&input[..breaks]);
            self.input.consume(breaks);
            if follows {
                return Ok(true);
            }
        }
    }
}

/// Checks the quotes of a row. The parser itself accepts wrong quotes.
struct Quotes {
    delimiter: u8,
    at: QuoteState,
    /// The line on which the last quoted cell begins.
    opened: usize,
    wrong: Option<WrongQuote>,
}

/// The position of a byte relative to quotes.
#[derive(Clone, Copy)]
enum QuoteState {
    /// At the beginning of a cell.
    Begin,
    /// In a cell without quotes, where a quote is text.
    Plain,
    /// Inside of quotes.
    Quoted,
    /// After a quote inside of quotes: a closing quote, or the first of two.
    Quote,
}

impl Quotes {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, at: QuoteState::Begin, opened: 0, wrong: None }
    }

    fn pass(&mut self, byte: u8, line: usize) {
        let ends_cell = byte == self.delimiter || matches!(byte, b'\n' | b'\r');
        self.at = match (self.at, byte) {
            (QuoteState::Begin, b'"') => {
                self.opened = line;
                QuoteState::Quoted
            }
            (QuoteState::Quoted, b'"') => QuoteState::Quote,
            (QuoteState::Quoted, _) | (QuoteState::Quote, b'"') => QuoteState::Quoted,
            (QuoteState::Begin | QuoteState::Plain | QuoteState::Quote, _) if ends_cell => QuoteState::Begin,
            (QuoteState::Begin | QuoteState::Plain, _) => QuoteState::Plain,
            (QuoteState::Quote, _) => {
                self.wrong.get_or_insert(WrongQuote::TextAfter { line, opened: self.opened });
                QuoteState::Plain
            }
        };
    }

    /// Returns the first wrong quote, at the end of the row.
    fn finish(self) -> Option<WrongQuote> {
        let not_closed = matches!(self.at, QuoteState::Quoted).then_some(WrongQuote::NotClosed { opened: self.opened });
        self.wrong.or(not_closed)
    }
}

/// Counts lines that end with CRLF, LF or CR, from line one.
pub(in crate::command) struct Lines {
    /// The number of the current line, counted from one.
    pub(super) line: usize,
    after_return: bool,
}

impl Lines {
    /// Continues to count after `lines` lines.
    pub(in crate::command) fn after(lines: usize) -> Self {
        Self { line: lines + 1, after_return: false }
    }

    pub(in crate::command) fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.pass_byte(*byte);
        }
    }

    fn pass_byte(&mut self, byte: u8) {
        let ends_line = byte == b'\r' || (byte == b'\n' && !self.after_return);
        self.line += usize::from(ends_line);
        self.after_return = byte == b'\r';
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn rows(text: &[u8], delimiter: u8) -> Vec<(usize, Vec<String>)> {
        // With small buffers, no row is read in one piece.
        [1, 3, 8_192]
            .map(|size| read(BufReader::with_capacity(size, text), delimiter))
            .into_iter()
            .reduce(same)
            .expect("rows")
    }

    fn same<T: PartialEq + std::fmt::Debug>(one: T, other: T) -> T {
        assert_eq!(one, other);
        other
    }

    fn read(input: impl BufRead, delimiter: u8) -> Vec<(usize, Vec<String>)> {
        let mut reader = Reader::new(input, delimiter, Lines::after(0));
        let rows = std::iter::from_fn(|| reader.next().expect("memory can be read"));
        rows.map(|row| {
            let cells = row.cells.expect("small rows");
            assert_eq!(row.wrong_quote, None, "line {}", row.line);
            (row.line, cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect())
        })
        .collect()
    }

    fn row(line: usize, cells: &[&str]) -> (usize, Vec<String>) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn every_line_end_ends_a_row_and_is_counted_once() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["", "a,b", "\"1\n2\r\n3\",x", "", "4,\"\"\"5\"\"\"", "6"].join(end);
            let second = 3;
            let fourth = second + 4;
            assert_eq!(
                rows(text.as_bytes(), b','),
                [
                    row(2, &["a", "b"]),
                    row(second, &["1\n2\r\n3", "x"]),
                    row(fourth, &["4", "\"5\""]),
                    row(fourth + 1, &["6"])
                ],
                "{end:?}"
            );
        }
        assert_eq!(rows(b"a;b\n;\n", b';'), [row(1, &["a", "b"]), row(2, &["", ""])]);
        assert_eq!(rows(b"", b','), []);
        assert_eq!(rows(b"\n\r\n\r", b','), []);
        assert_eq!(rows(b"a\"b,=\"0042\"\n", b','), [row(1, &["a\"b", "=\"0042\""])]);
    }

    /// Returns the first line of each row, with its wrong quote.
    fn wrong_quotes(text: &[u8]) -> Vec<(usize, Option<WrongQuote>)> {
        let read = |size| {
            let mut reader = Reader::new(BufReader::with_capacity(size, text), b',', Lines::after(0));
            let rows = std::iter::from_fn(|| reader.next().expect("memory can be read"));
            rows.map(|row| (row.line, row.wrong_quote)).collect::<Vec<_>>()
        };
        // With a buffer of one byte, each pair of quotes is split.
        [1, 2, 3, 8_192].map(read).into_iter().reduce(same).expect("rows")
    }

    #[test]
    fn quotes_that_do_not_pair_are_found() {
        let not_closed = |opened| Some(WrongQuote::NotClosed { opened });
        let text_after = |line, opened| Some(WrongQuote::TextAfter { line, opened });
        for (text, expected) in [
            ("1,a\n2,\"b\n3,c\n4,d\n", &[(1, None), (2, not_closed(2))][..]),
            ("1,\"a\nb\",\"c\nd", &[(1, not_closed(2))]),
            ("1,\"", &[(1, not_closed(1))]),
            ("1,\"\"\"", &[(1, not_closed(1))]),
            ("1,\"6\\\" pipe\"\n2,b\n", &[(1, text_after(1, 1)), (2, None)]),
            ("\"q\"tail\r\n2,b", &[(1, text_after(1, 1)), (2, None)]),
            ("1,\"a\" ,b\n", &[(1, text_after(1, 1))]),
            // A missing quote pairs with a later one.
            ("1,\"a\n2,b\n3,\"c\"\n4,d\n", &[(1, text_after(3, 1)), (4, None)]),
            ("1,\"a\"b,\"c", &[(1, text_after(1, 1))]),
        ] {
            assert_eq!(wrong_quotes(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn quotes_that_pair_are_right_wherever_they_are_split() {
        for text in [
            "1,\"Line 1\nLine 2, \"\"quoted\"\"\"\n",
            "1,\"\"\"\"\r\n",
            "\"\"\"a\"\"\",\"\"\n",
            "\"1\",\"a\"\r\n",
            "1,\"a\"",
            "1,\"\"",
            "1,a",
            "1,6\" pipe\n",
            "1, \"a\n",
            "1,=\"0042\"\r",
        ] {
            assert_eq!(wrong_quotes(text.as_bytes()), [(1, None)], "{text:?}");
        }
        assert_eq!(wrong_quotes(b"\"1\"\r\n\"2\"\r\n\r\n\"3\""), [(1, None), (2, None), (4, None)]);
        assert_eq!(rows(b"\"1\",\"a \"\"b\"\"\"\r\n2,c", b','), [row(1, &["1", "a \"b\""]), row(2, &["2", "c"])]);
    }

    #[test]
    fn a_large_row_is_skipped_and_the_next_one_is_whole() {
        let long = "x".repeat(MAX_ROW_BYTES + 1);
        let many = ",".repeat(MAX_CELLS);
        let text = format!("a,b\n{long}\n1,2\n{many}\n3,4\n");
        let mut reader = Reader::new(text.as_bytes(), b',', Lines::after(0));
        let rows: Vec<_> = std::iter::from_fn(|| reader.next().expect("memory can be read")).collect();
        let found: Vec<_> =
            rows.iter().map(|row| (row.line, row.cells.as_ref().map(Cells::len).map_err(|what| *what))).collect();
        assert_eq!(found, [(1, Ok(2)), (2, Err(TooLarge::Bytes)), (3, Ok(2)), (4, Err(TooLarge::Cells)), (5, Ok(2))]);
        // A quote that is not closed extends to the end of the file, in bounded memory.
        let open = format!("a\n\"{}", "y\n".repeat(MAX_ROW_BYTES));
        let mut reader = Reader::new(open.as_bytes(), b',', Lines::after(0));
        reader.next().expect("memory can be read").expect("a header");
        let row = reader.next().expect("memory can be read").expect("a row");
        assert_eq!((row.line, row.cells), (2, Err(TooLarge::Bytes)));
        assert_eq!(row.wrong_quote, Some(WrongQuote::NotClosed { opened: 2 }));
        assert!(reader.next().expect("memory can be read").is_none());
    }

    proptest::proptest! {
        #[test]
        fn cells_come_back_as_they_were_written(table in proptest::collection::vec(proptest::collection::vec("[ -~\n\r]{0,6}", 2..5), 1..6)) {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let text: String = table.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n").collect();
            let read: Vec<_> = rows(text.as_bytes(), b',').into_iter().map(|(_, cells)| cells).collect();
            proptest::prop_assert_eq!(read, table);
        }
    }
}
