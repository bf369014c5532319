//! Lines of a text that end with CRLF, LF or CR, each with its number. The memory is bounded: a line has at most
//! [`MAX_ROW_BYTES`].

use std::io::{self, BufRead};

use super::rows::MAX_ROW_BYTES;

/// A line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::command) struct Line {
    /// The number, counted from one.
    pub(in crate::command) number: usize,
    /// The error is the reason why the line is not read: [`TOO_LONG`] or [`NOT_UTF8`].
    pub(in crate::command) text: Result<String, &'static str>,
}

/// Describes a line or a row that is longer than [`MAX_ROW_BYTES`].
pub(in crate::command) const TOO_LONG: &str = "is longer than 256 KiB";
/// Describes a line or a row whose bytes are not UTF-8.
pub(in crate::command) const NOT_UTF8: &str = "is not UTF-8: say --encoding, for example windows-1252";

/// Reads lines.
pub(in crate::command) struct TextLines<R> {
    reader: R,
    /// Number of the last line that was read.
    number: usize,
    /// Whether that line ended with CR. An LF after it belongs to the same line end.
    after_return: bool,
}

impl<R: BufRead> TextLines<R> {
    /// Reads the lines of a text. `before` is the number of lines before it.
    pub(in crate::command) fn new(reader: R, before: usize) -> Self {
        Self { reader, number: before, after_return: false }
    }

    /// Returns the next line, which may be empty; `None` at the end.
    pub(in crate::command) fn next(&mut self) -> io::Result<Option<Line>> {
        if std::mem::take(&mut self.after_return) && self.reader.fill_buf()?.first() == Some(&b'\n') {
            self.reader.consume(1);
        }
        let (mut bytes, mut is_too_long, mut is_begun) = (Vec::new(), false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                if !is_begun {
                    return Ok(None);
                }
                break;
            }
            is_begun = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let length = end.unwrap_or(buffer.len());
            is_too_long |= bytes.len() + length > MAX_ROW_BYTES;
            if !is_too_long {
                bytes.extend_from_slice(&buffer[..length]);
            }
            self.after_return = end.is_some_and(|end| buffer[end] == b'\r');
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        let text = match is_too_long {
            true => Err(TOO_LONG),
            false => String::from_utf8(bytes).map_err(|_| NOT_UTF8),
        };
        Ok(Some(Line { number: self.number, text }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], size: usize) -> Vec<(usize, Result<String, &'static str>)> {
        let mut lines = TextLines::new(BufReader::with_capacity(size, text), 0);
        std::iter::from_fn(|| lines.next().expect("memory can be read")).map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn every_line_end_counts_once_wherever_it_is_split() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a", "", "b c", "d"].join(end);
            let expected =
                [(1, "a"), (2, ""), (3, "b c"), (4, "d")].map(|(number, text)| (number, Ok(text.to_owned())));
            for size in [1, 2, 3, 64] {
                assert_eq!(lines(text.as_bytes(), size), expected, "{end:?}");
                assert_eq!(lines(format!("{text}{end}").as_bytes(), size), expected, "{end:?}");
            }
        }
        assert_eq!(lines(b"", 8), []);
    }

    #[test]
    fn a_line_that_cannot_be_read_leaves_the_next_one_whole() {
        let long = [vec![b'x'; MAX_ROW_BYTES + 1], b"\r\n\xff\nlast".to_vec()].concat();
        let found = lines(&long, 8_192);
        assert_eq!(found, [(1, Err(TOO_LONG)), (2, Err(NOT_UTF8)), (3, Ok("last".to_owned()))]);
        assert!(lines(&vec![b'x'; MAX_ROW_BYTES], 8_192)[0].1.is_ok());
    }
}
