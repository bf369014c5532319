//! Splits a file into JSON texts, each with the line on which it begins.
//!
//! There are two forms. *Lines*: every line is one text; a malformed line does not affect others. *Documents*: texts that span lines, such
//! as a saved answer of the original API. The first two lines show the form.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use serde::de::IgnoredAny;

/// Maximum size of a line, and of a file of documents, in bytes: an answer with about ten thousand tokens.
pub(super) const MAX_BYTES: usize = 64 * 1_024 * 1_024;

/// A JSON text, or the error of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The line on which it begins, counted from one.
    pub(super) line: usize,
    pub(super) text: Result<String, String>,
}

/// The pieces of one file.
pub(super) struct Source<R> {
    reader: R,
    lines: usize,
    started: bool,
    /// Pieces that were read in advance.
    ready: VecDeque<Piece>,
    finished: bool,
}

impl<R: BufRead> Source<R> {
    /// Creates the source of a text. `lines` is the number of lines before it.
    pub(super) fn new(reader: R, lines: usize) -> Self {
        Self { reader, lines, started: false, ready: VecDeque::new(), finished: false }
    }

    /// Returns the next piece. None at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if !self.started {
            self.started = true;
            self.start()?;
        }
        match self.ready.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None if self.finished => Ok(None),
            None => self.line(),
        }
    }

    /// Decides the form: if the first line is the beginning of a JSON text that continues on the second, the file has documents.
    fn start(&mut self) -> io::Result<()> {
        let Some(first) = self.line()? else { return Ok(()) };
        let begins = first.text.as_ref().is_ok_and(|text| is_beginning(text));
        let second = if begins { self.line()? } else { None };
        let document = match (&first.text, &second) {
            (Ok(beginning), Some(Piece { line, text: Ok(rest) })) => {
                // Blank lines between the two still count as lines.
                let gap = "\n".repeat(line - first.line);
                Some([beginning, gap.as_str(), rest].concat()).filter(|text| is_beginning(text) || is_whole(text))
            }
            _ => None,
        };
        match document {
            Some(text) => self.documents(first.line, text + "\n"),
            None => {
                self.ready.extend([Some(first), second].into_iter().flatten());
                Ok(())
            }
        }
    }

    /// Reads the rest of the file and splits it.
    fn documents(&mut self, line: usize, mut text: String) -> io::Result<()> {
        self.finished = true;
        let room = MAX_BYTES.saturating_sub(text.len()) as u64 + 1;
        match self.reader.by_ref().take(room).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.ready.push_back(broken(line, "is not UTF-8"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if text.len() > MAX_BYTES {
            self.ready.push_back(broken(line, "is larger than 64 MiB; write one record a line instead"));
            return Ok(());
        }
        // A text that ends too early is reported on the last line that is not blank.
        let text = text.trim_end();
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let (mut begin, mut lines) = (0, Lines { text, at: 0, line });
        while let Some(value) = stream.next() {
            match value {
                Ok(_) => {
                    let end = stream.byte_offset();
                    let document = &text[begin..end];
                    let blank = document.len() - document.trim_start().len();
                    let line = lines.of(begin + blank);
                    self.ready.push_back(Piece { line, text: Ok(document.trim_start().to_owned()) });
                    begin = end;
                }
                Err(error) => {
                    let what = if error.is_eof() { "ends too early" } else { "is not valid JSON" };
                    self.ready.push_back(broken(line + error.line().max(1) - 1, what));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the next line that is not blank.
    fn line(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let mut bytes = Vec::new();
            let read = self.reader.by_ref().take(MAX_BYTES as u64 + 1).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                self.finished = true;
                return Ok(None);
            }
            self.lines += 1;
            let line = self.lines;
            if read > MAX_BYTES && bytes.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n')?;
                return Ok(Some(broken(line, "is longer than 64 MiB")));
            }
            let Ok(text) = String::from_utf8(bytes) else { return Ok(Some(broken(line, "is not UTF-8"))) };
            // Some editors write a byte order mark at the beginning.
            let text = text.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() {
                return Ok(Some(Piece { line, text: Ok(text.to_owned()) }));
            }
        }
    }
}

/// Line numbers of ascending positions in a text, each line counted once.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, place: usize) -> usize {
        self.line += self.text[self.at..place].bytes().filter(|byte| *byte == b'\n').count();
        self.at = place;
        self.line
    }
}

fn broken(line: usize, what: &str) -> Piece {
    Piece { line, text: Err(what.to_owned()) }
}

/// Returns whether a text is incomplete JSON without an error.
fn is_beginning(text: &str) -> bool {
    matches!(serde_json::from_str::<IgnoredAny>(text), Err(error) if error.is_eof())
}

fn is_whole(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &[u8]) -> Vec<(usize, Result<String, String>)> {
        let mut source = Source::new(text, 0);
        std::iter::from_fn(|| source.next().expect("no error")).map(|p| (p.line, p.text)).collect()
    }

    fn good(line: usize, text: &str) -> (usize, Result<String, String>) {
        (line, Ok(text.to_owned()))
    }

    fn bad(line: usize, text: &str) -> (usize, Result<String, String>) {
        (line, Err(text.to_owned()))
    }

    #[test]
    fn lines() {
        assert_eq!(pieces(b""), []);
        assert_eq!(pieces(b"\n\n"), []);
        assert_eq!(pieces(b"{}"), [good(1, "{}")]);
        assert_eq!(pieces(b"\n{\"a\":1}\r\n\n  {\"b\":2}  \n"), [good(2, "{\"a\":1}"), good(4, "{\"b\":2}")]);
        assert_eq!(pieces("\u{feff}{}\n".as_bytes()), [good(1, "{}")]);
    }

    #[test]
    fn a_malformed_line_does_not_affect_others() {
        assert_eq!(pieces(b"{}\n{\"a\n{}\n"), [good(1, "{}"), good(2, "{\"a"), good(3, "{}")]);
        assert_eq!(pieces(b"x\n{}\n"), [good(1, "x"), good(2, "{}")]);
        assert_eq!(
            pieces(b"{\"a\": {\"b\": 1}\n{}\n{}"),
            [good(1, "{\"a\": {\"b\": 1}"), good(2, "{}"), good(3, "{}")]
        );
        assert_eq!(pieces(b"{\"a\": \"x\n\n{}\n"), [good(1, "{\"a\": \"x"), good(3, "{}")]);
        assert_eq!(pieces(b"{}\n\xff\n{}\n"), [good(1, "{}"), bad(2, "is not UTF-8"), good(3, "{}")]);
        assert_eq!(pieces(b"{\n\xff\n{}\n"), [good(1, "{"), bad(2, "is not UTF-8"), good(3, "{}")]);
        assert_eq!(pieces(b"{\"a\""), [good(1, "{\"a\"")]);
    }

    #[test]
    fn documents_span_lines() {
        let answer = "{\n\"data\": [\n    {\"id\": 1}\n  ]\n}";
        assert_eq!(pieces(format!("\n{answer}\n").as_bytes()), [good(2, answer)]);
        let two = format!("{answer}\n\n{answer}\n{{}}");
        assert_eq!(pieces(two.as_bytes()), [good(1, answer), good(7, answer), good(12, "{}")]);
        assert_eq!(pieces(b"{\"data\":[\n{\"id\":1}\n]}"), [good(1, "{\"data\":[\n{\"id\":1}\n]}")]);
        assert_eq!(pieces(b"{\n}"), [good(1, "{\n}")]);
    }

    #[test]
    fn a_malformed_document_ends_its_file_and_names_the_line() {
        assert_eq!(pieces(b"{\n}\n{\n  \"a\": x\n}\n{}"), [good(1, "{\n}"), bad(4, "is not valid JSON")]);
        for end in ["", "\n", "\n\n"] {
            assert_eq!(pieces(format!("{{\n\n  \"a\": [{end}").as_bytes()), [bad(3, "ends too early")]);
        }
        assert_eq!(pieces(b"{\n\"a\": \"\xff\"}")[0].1, Ok("{".to_owned()), "not even two good lines");
        assert_eq!(pieces(b"{\n\"a\":\n\"\xff\"}"), [bad(1, "is not UTF-8")]);
    }

    #[test]
    fn endless_lines_are_skipped() {
        let mut text = vec![b'x'; MAX_BYTES + 10];
        text.extend_from_slice(b"\n{}\n");
        assert_eq!(pieces(&text), [bad(1, "is longer than 64 MiB"), good(2, "{}")]);
        let mut text = b"[\n1,\n".to_vec();
        text.resize(MAX_BYTES + 10, b' ');
        let mut source = Source::new(text.as_slice(), 0);
        assert!(source.next().expect("no error").expect("a piece").text.expect_err("too large").contains("64 MiB"));
        assert_eq!(source.next().expect("no error"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_made_up(lines in proptest::collection::vec("[ -~]{0,12}", 0..8)) {
            let text = lines.join("\n");
            let mut source = Source::new(text.as_bytes(), 0);
            let mut last = 0;
            while let Some(piece) = source.next().expect("no error") {
                proptest::prop_assert!(piece.line >= last && piece.line <= lines.len());
                last = piece.line;
            }
        }
    }
}
