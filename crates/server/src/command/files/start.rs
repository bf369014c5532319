//! The beginning of a text with rows: the line that states the delimiter, the lines before the header, and the first row.

use std::io::{self, BufRead, Chain, Cursor, Read};

use anyhow::bail;

use super::lines::TextLines;
use super::rows::{Lines, MAX_ROW_BYTES, Reader};

/// Delimiters that are detected. If several are equally frequent, the first in this list is used.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The beginning of a text, which was read to detect the delimiter.
pub(in crate::command) struct Start {
    /// Empty lines, and the first line of the first row.
    bytes: Vec<u8>,
    /// Position of the first row in these bytes.
    first: usize,
    pub(in crate::command) delimiter: u8,
    /// Lines before the first row, such as a title.
    pub(in crate::command) skipped: Vec<String>,
    lines: Lines,
}

impl Start {
    /// Reads up to the end of the first line of the first row. `delimiter` overrides the text. `skip` is the number of lines before the
    /// first row, without empty lines and the line that states the delimiter.
    pub(in crate::command) fn read(
        input: &mut impl BufRead,
        skipped_lines: usize,
        delimiter: Option<u8>,
        skip: usize,
    ) -> anyhow::Result<Self> {
        let mut lines = Lines::after(skipped_lines);
        let mut delimiter = delimiter;
        let (mut bytes, mut first) = first_line(input)?;
        // Spreadsheets write this line, and do not show it as a row.
        if let Some(stated) = stated_delimiter(&bytes[first..])? {
            delimiter = delimiter.or(Some(stated));
            lines.pass(&bytes);
            (bytes, first) = first_line(input)?;
        }
        let mut skipped = Vec::new();
        for _ in 0..skip {
            if bytes.len() >= MAX_ROW_BYTES {
                bail!("line {} is longer than {} KiB", lines.line, MAX_ROW_BYTES / 1_024);
            }
            skipped.push(String::from_utf8_lossy(&bytes[first..]).trim_end().to_owned());
            lines.pass(&bytes);
            (bytes, first) = first_line(input)?;
        }
        let delimiter = delimiter.unwrap_or_else(|| detect_delimiter(&bytes[first..]));
        Ok(Self { bytes, first, delimiter, skipped, lines })
    }

    /// Returns the first line of the first row.
    pub(in crate::command) fn first_line(&self) -> &[u8] {
        &self.bytes[self.first..]
    }

    /// Returns a reader of all rows. `input` has the rest of the text.
    pub(in crate::command) fn rows<R: BufRead>(self, input: R) -> Reader<Chain<Cursor<Vec<u8>>, R>> {
        Reader::new(Cursor::new(self.bytes).chain(input), self.delimiter, self.lines)
    }

    /// Returns a reader of all lines. `input` has the rest of the text.
    pub(in crate::command) fn lines<R: BufRead>(self, input: R) -> TextLines<Chain<Cursor<Vec<u8>>, R>> {
        let before = self.lines.line - 1;
        TextLines::new(Cursor::new(self.bytes).chain(input), before)
    }
}

/// Returns the cells of a line, without leading and trailing blanks. Empty for a line that is too long or not UTF-8.
pub(in crate::command) fn columns_of(line: &[u8], delimiter: u8) -> Vec<String> {
    let row = Reader::new(Cursor::new(line), delimiter, Lines::after(0)).next().ok().flatten();
    row.and_then(|row| row.cells.ok()?.trimmed()).unwrap_or_default()
}

/// Returns the bytes up to the end of the first line that is not empty, and the position of that line. Reads at most the size of two rows.
fn first_line(input: &mut impl BufRead) -> io::Result<(Vec<u8>, usize)> {
    let (mut bytes, mut begin) = (Vec::new(), 0);
    loop {
        let line = read_line(input)?;
        bytes.extend_from_slice(&line);
        if line.is_empty() || !line.iter().all(|byte| matches!(byte, b'\n' | b'\r')) || bytes.len() >= MAX_ROW_BYTES {
            return Ok((bytes, begin));
        }
        begin = bytes.len();
    }
}

/// Returns the next line with the first byte of its line end. Reads at most the size of a row.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.len() < MAX_ROW_BYTES {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let length = end.map_or(buffer.len(), |end| end + 1);
        line.extend_from_slice(&buffer[..length]);
        input.consume(length);
        if end.is_some() {
            break;
        }
    }
    Ok(line)
}

/// Returns the delimiter of a line `sep=;`.
fn stated_delimiter(line: &[u8]) -> anyhow::Result<Option<u8>> {
    match line.strip_suffix(b"\n").or_else(|| line.strip_suffix(b"\r")).unwrap_or(line) {
        [s @ .., delimiter] if s.eq_ignore_ascii_case(b"sep=") => {
            if !delimiter.is_ascii() || *delimiter == b'"' {
                bail!("line 1: sep= must name one ASCII character other than a quote");
            }
            Ok(Some(*delimiter))
        }
        _ => Ok(None),
    }
}

/// Returns the delimiter that is the most frequent in a line, outside of quotes.
pub(in crate::command) fn detect_delimiter(line: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in line {
        if *byte == b'"' {
            quoted = !quoted;
        } else if let Some(place) = DELIMITERS.iter().position(|one| one == byte).filter(|_| !quoted) {
            counts[place] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    DELIMITERS.into_iter().zip(counts).find(|(_, count)| *count == most).map_or(b',', |(delimiter, _)| delimiter)
}
