//! Rows of a CSV file, one after the other, with the line on which each begins.
//!
//! The memory is bounded: a row has at most [`MAX_ROW_BYTES`] and [`MAX_CELLS`]. The rest of a larger row is skipped.

use std::io::{self, BufRead};

use access_tokens_domain::import::MAX_RECORD_BYTES;
use csv_core::ReadRecordResult;

/// Maximum size of a row in bytes, without its quotes and delimiters.
pub(super) const MAX_ROW_BYTES: usize = MAX_RECORD_BYTES;
/// Maximum number of cells of a row.
pub(super) const MAX_CELLS: usize = 4_096;

/// A row: where it begins, and its cells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line on which it begins, counted from one.
    pub(super) line: usize,
    pub(super) cells: Result<Cells, TooLarge>,
}

/// Cells of a row as bytes, which need not be UTF-8.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The size of all cells in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// What a row has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLarge {
    Bytes,
    Cells,
}

/// Reads rows. Quotes are those of RFC 4180: a quoted cell may hold delimiters, line breaks and doubled quotes. Lines end with CRLF,
/// LF or CR.
pub(super) struct Reader<R> {
    input: R,
    parser: csv_core::Reader,
    lines: Lines,
    bytes: Box<[u8]>,
    ends: Box<[usize]>,
}

impl<R: BufRead> Reader<R> {
    /// A reader of rows, after lines that were read already.
    pub(super) fn new(input: R, delimiter: u8, lines: Lines) -> Self {
        Self {
            input,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            lines,
            bytes: vec![0; MAX_ROW_BYTES].into(),
            ends: vec![0; MAX_CELLS].into(),
        }
    }

    /// The next row that is not an empty line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        if !self.skip_line_breaks()? {
            return Ok(None);
        }
        let line = self.lines.line;
        let (mut bytes, mut ends) = (0, 0);
        let mut too_large = None;
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.bytes[bytes..], &mut self.ends[ends..]);
            self.lines.pass(&input[..read]);
            self.input.consume(read);
            (bytes, ends) = (bytes + written, ends + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    // The rest is read into the same room and forgotten.
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
        Ok(Some(Row { line, cells }))
    }

    /// Returns whether something follows.
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

/// Counts lines that end with CRLF, LF or CR. The first is line one.
pub(super) struct Lines {
    line: usize,
    after_return: bool,
}

impl Lines {
    /// Counts on after lines that were read already.
    pub(super) fn after(lines: usize) -> Self {
        Self { line: lines + 1, after_return: false }
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let ends_line = *byte == b'\r' || (*byte == b'\n' && !self.after_return);
            self.line += usize::from(ends_line);
            self.after_return = *byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn rows(text: &[u8], delimiter: u8) -> Vec<(usize, Vec<String>)> {
        // Small buffers: a row never comes in one piece.
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
        // A quote that is not closed takes all that follows, but no memory.
        let open = format!("a\n\"{}", "y\n".repeat(MAX_ROW_BYTES));
        let mut reader = Reader::new(open.as_bytes(), b',', Lines::after(0));
        reader.next().expect("memory can be read").expect("a header");
        let row = reader.next().expect("memory can be read").expect("a row");
        assert_eq!((row.line, row.cells), (2, Err(TooLarge::Bytes)));
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
