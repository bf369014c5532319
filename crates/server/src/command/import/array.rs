//! Reads a file with one or several JSON arrays. Each element is treated as a file of its own.
//!
//! Only one element is in memory at a time.

use std::io::{self, BufRead};

use super::source::{MAX_BYTES, Piece};

/// The elements of the arrays of a file.
pub(super) struct Elements<R> {
    reader: R,
    line: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before an array, or between two arrays.
    Outside,
    /// After `[`.
    Begun,
    /// After a comma.
    Before,
    /// After an element.
    After,
    /// After an error, or at the end.
    Finished,
}

impl<R: BufRead> Elements<R> {
    /// Creates the elements of a text that begins on `line`.
    pub(super) fn new(reader: R, line: usize) -> Self {
        Self { reader, line, state: State::Outside }
    }

    /// Returns the next element. None at the end. If the file is not an array, the last piece is the error.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let first = self.skip_blanks()?;
            let state = match (self.state, first) {
                (State::Finished, _) | (State::Outside, None) => return Ok(None),
                (_, None) => return Ok(Some(self.end("ends too early"))),
                (State::Outside, Some(b'[')) => State::Begun,
                (State::Outside, Some(_)) => {
                    return Ok(Some(self.end("is not valid JSON: an array has ended before this")));
                }
                (State::Begun | State::After, Some(b']')) => State::Outside,
                (State::After, Some(b',')) => State::Before,
                (State::After, Some(_)) | (State::Begun | State::Before, Some(b',' | b']' | b'}' | b':')) => {
                    return Ok(Some(self.end("is not valid JSON")));
                }
                (State::Begun | State::Before, Some(_)) => {
                    self.state = State::After;
                    return self.element().map(Some);
                }
            };
            self.state = state;
            self.reader.consume(1);
        }
    }

    fn end(&mut self, what: &str) -> Piece {
        self.state = State::Finished;
        Piece { line: self.line, text: Err(what.to_owned()) }
    }

    fn skip_blanks(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let first = buffer.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
            let blanks = first.unwrap_or(buffer.len());
            let found = first.map(|first| buffer[first]);
            let is_end = buffer.is_empty();
            self.line += buffer[..blanks].iter().filter(|byte| **byte == b'\n').count();
            self.reader.consume(blanks);
            if found.is_some() || is_end {
                return Ok(found);
            }
        }
    }

    /// Reads an element up to the comma or bracket after it.
    fn element(&mut self) -> io::Result<Piece> {
        let line = self.line;
        let mut nesting = Nesting::default();
        let mut bytes = Vec::new();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(self.end("ends too early"));
            }
            let end = buffer.iter().position(|byte| nesting.ends(*byte));
            let length = end.unwrap_or(buffer.len());
            if bytes.len() + length > MAX_BYTES {
                self.state = State::Finished;
                return Ok(Piece { line, text: Err("is longer than 64 MiB".to_owned()) });
            }
            bytes.extend_from_slice(&buffer[..length]);
            self.line += buffer[..length].iter().filter(|byte| **byte == b'\n').count();
            self.reader.consume(length);
            if end.is_some() {
                let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned());
                return Ok(Piece { line, text: text.map(|text| text.trim_end().to_owned()) });
            }
        }
    }
}

/// Nesting of a byte in objects, arrays and strings.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    after_backslash: bool,
}

impl Nesting {
    /// Returns whether the byte follows the element.
    fn ends(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.in_string = byte != b'"' || self.after_backslash;
            self.after_backslash = byte == b'\\' && !self.after_backslash;
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' | b'}' if self.depth == 0 => return true,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn pieces(text: &[u8]) -> Vec<(usize, Result<String, String>)> {
        let read = |size| {
            let mut elements = Elements::new(BufReader::with_capacity(size, text), 1);
            std::iter::from_fn(|| elements.next().expect("memory can be read"))
                .map(|p| (p.line, p.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(1), read(8_192));
        read(3)
    }

    fn good(line: usize, text: &str) -> (usize, Result<String, String>) {
        (line, Ok(text.to_owned()))
    }

    fn bad(line: usize, text: &str) -> (usize, Result<String, String>) {
        (line, Err(text.to_owned()))
    }

    #[test]
    fn elements_come_one_after_the_other() {
        assert_eq!(pieces(b"[]"), []);
        assert_eq!(pieces(b" [ ]\n\n[\n]\n"), []);
        assert_eq!(
            pieces(br#"[{"a": "]},[\"\\"}, [1, 2] ,7]"#),
            [good(1, r#"{"a": "]},[\"\\"}"#), good(1, "[1, 2]"), good(1, "7")]
        );
        assert_eq!(
            pieces(b"[\n{\"a\":\n1},\r\n\n{\"b\":2}\n]\n[{}]"),
            [good(2, "{\"a\":\n1}"), good(5, "{\"b\":2}"), good(7, "{}")]
        );
    }

    #[test]
    fn anything_but_an_array_ends_the_file() {
        for (text, expected) in [
            ("[{}, {}", vec![good(1, "{}"), bad(1, "ends too early")]),
            ("[{}]x", vec![good(1, "{}"), bad(1, "is not valid JSON: an array has ended before this")]),
            ("[{}]\n{}", vec![good(1, "{}"), bad(2, "is not valid JSON: an array has ended before this")]),
            ("[{},\n]", vec![good(1, "{}"), bad(2, "is not valid JSON")]),
            ("[,{}]", vec![bad(1, "is not valid JSON")]),
            ("[{\"a", vec![bad(1, "ends too early")]),
            // An error within an element is found when the element is parsed.
            ("[{\"a\" 1}, {}]", vec![good(1, "{\"a\" 1}"), good(1, "{}")]),
            ("[{} {}]", vec![good(1, "{} {}")]),
            ("[{}}, 1]", vec![good(1, "{}"), bad(1, "is not valid JSON")]),
        ] {
            assert_eq!(pieces(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(pieces(b"[\"\xff\", 1]"), [bad(1, "is not UTF-8"), good(1, "1")]);
    }

    #[test]
    fn an_endless_element_takes_no_more_memory_than_its_limit() {
        let endless = BufReader::new(io::Read::chain(&b"[\""[..], io::repeat(b'x')));
        let mut elements = Elements::new(endless, 1);
        let piece = elements.next().expect("memory can be read").expect("a piece");
        assert_eq!(piece.text, Err("is longer than 64 MiB".to_owned()));
        assert!(elements.next().expect("memory can be read").is_none());
    }

    proptest::proptest! {
        #[test]
        fn elements_are_those_of_the_array(values in proptest::collection::vec("[ -~\\n]{0,8}", 0..6)) {
            let values: Vec<_> = values.into_iter().map(|text| serde_json::json!({"k": [text]})).collect();
            let array = serde_json::to_vec(&values).expect("JSON");
            let read: Vec<_> = pieces(&array).into_iter().map(|(_, text)| serde_json::from_str::<serde_json::Value>(&text.expect("JSON")).expect("JSON")).collect();
            proptest::prop_assert_eq!(read, values);
        }
    }
}
