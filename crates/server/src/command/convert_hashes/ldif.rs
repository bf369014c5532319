//! Reads entries of LDIF (RFC 2849).

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::row::{Entry, EntrySink, Row};
use super::selection::Selection;
use crate::command::files::{Line, MAX_ROW_BYTES, TextLines};

/// Replaces a value that is in another file. The scheme is not supported.
const IN_OTHER_FILE: &str = "{URL}";

/// Returns whether a text begins like LDIF.
pub(super) fn begins(text: &[u8]) -> bool {
    let begins = |prefix: &[u8]| text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    [&b"dn:"[..], b"version:", b"#"].into_iter().any(begins)
}

/// Reads the entries of LDIF. Each line has an attribute; `::` comes before base64; blank lines separate entries; comments begin with `#`;
/// a line that begins with a blank continues the one before. An attribute has one value or several.
pub(super) fn read(
    input: impl BufRead,
    skipped_lines: usize,
    selection: &Selection,
    each: &mut EntrySink<'_>,
) -> anyhow::Result<()> {
    let mut lines = TextLines::new(input, skipped_lines);
    let mut entry = LdifEntry::default();
    while let Some(Line { number, text }) = lines.next()? {
        match text {
            Err(why) => _ = entry.broken.get_or_insert((number, why)),
            Ok(text) => match text.strip_prefix(' ') {
                Some(continued) => entry.add_text(continued, number),
                None => {
                    entry.end_line(selection, number);
                    if text.trim().is_empty() {
                        std::mem::take(&mut entry).end(each)?;
                    } else {
                        entry.add_text(&text, number);
                    }
                }
            },
        }
    }
    entry.end_line(selection, 0);
    entry.end(each)
}

/// The entry that is being read.
#[derive(Default)]
struct LdifEntry {
    attributes: Row,
    /// The current line, with its continuation lines.
    line: String,
    /// Size of the lines in bytes.
    bytes: usize,
    /// The first line that cannot be read, with the reason.
    broken: Option<(usize, &'static str)>,
}

impl LdifEntry {
    /// Adds a text to the current line.
    fn add_text(&mut self, text: &str, number: usize) {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MAX_ROW_BYTES {
            self.broken.get_or_insert((number, "the entry is longer than 256 KiB"));
        }
        if self.broken.is_none() {
            self.line.push_str(text);
        }
    }

    /// Adds the attribute of the current line.
    fn end_line(&mut self, selection: &Selection, number: usize) {
        let line = std::mem::take(&mut self.line);
        if line.starts_with('#') || self.broken.is_some() {
            return;
        }
        let Some((name, value)) = line.split_once(':') else { return };
        // Options follow the name, such as in `userPassword;x-hashed`.
        let name = name.split(';').next().unwrap_or_default().trim();
        if !selection.contains(name) {
            return;
        }
        let value = match (value.strip_prefix(':'), value.strip_prefix('<')) {
            (Some(encoded), _) => match STANDARD.decode(encoded.trim()) {
                // A value in clear text may have any bytes. Its text is not a hash.
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(_) => {
                    self.broken = Some((number.saturating_sub(1), "has a value that is not base64"));
                    return;
                }
            },
            (None, Some(_)) if selection.is_hash(name) => IN_OTHER_FILE.to_owned(),
            _ => value.trim().to_owned(),
        };
        let key = self.attributes.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        let values =
            self.attributes.entry(key.unwrap_or_else(|| name.to_owned())).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(Value::String(value));
        }
    }

    fn end(self, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
        match self.broken {
            Some((line, why)) => each(Entry::Unreadable { line, why }),
            None if self.attributes.is_empty() => Ok(()),
            None => each(Entry::Row(self.attributes)),
        }
    }
}
