//! Records of text files: CSV with a header, LDIF, or lines of a value and its hash.

use std::io::{BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::format::Row;
use super::input::{Each, Found, Wanted};

/// Maximum number of bytes of a row, or of an entry of LDIF.
const MAX_ROW_BYTES: usize = 256 * 1_024;
/// What separates columns. The most frequent one of the header does.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// What separates a value from its hash on a line.
const SEPARATORS: [char; 6] = ['\t', ',', ';', '|', ' ', ':'];

/// The column of the value, and that of the hash, of lines without a header.
pub(super) const VALUE: &str = "value of the line";
pub(super) const HASH: &str = "hash of the line";

/// Reads CSV where the first line names a column with hashes, else lines of a value and its hash.
pub(super) fn read(reader: &mut dyn BufRead, wanted: &Wanted, each: &mut Each<'_>) -> anyhow::Result<()> {
    let mut rows = Rows { reader, line: 0 };
    let Some((number, first)) = rows.next()? else { return Ok(()) };
    let Ok(first) = first else { anyhow::bail!("line {number} is longer than 256 KiB or not UTF-8") };
    let delimiter = delimiter(&first);
    let columns = cells(&first, delimiter);
    if !columns.iter().any(|column| wanted.is_hash(column)) {
        each(pair(&first, number))?;
        while let Some((number, row)) = rows.next()? {
            each(row.map_or(Found::Broken { line: number }, |row| pair(&row, number)))?;
        }
        return Ok(());
    }
    while let Some((number, row)) = rows.next()? {
        let Ok(row) = row else {
            each(Found::Broken { line: number })?;
            continue;
        };
        let cells = cells(&row, delimiter);
        let named = columns.iter().cloned().zip(cells).filter(|(name, cell)| wanted.contains(name) && !cell.is_empty());
        each(Found::Row(named.map(|(name, cell)| (name, Value::String(cell))).collect()))?;
    }
    Ok(())
}

/// A value and its hash.
fn pair(row: &str, line: usize) -> Found {
    let row = row.trim();
    let pair = match row.starts_with('"') {
        true => match cells(row, delimiter(row)).as_slice() {
            [value, hash, ..] => Some((value.clone(), hash.clone())),
            _ => None,
        },
        false => row.split_once(SEPARATORS).map(|(value, hash)| (value.to_owned(), hash.trim().to_owned())),
    };
    let Some((value, hash)) = pair else { return Found::Broken { line } };
    let members = [(VALUE, value), (HASH, hash)];
    Found::Row(members.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text))).collect())
}

/// Rows of text: a line, and those after it while a quote is open.
struct Rows<'r> {
    reader: &'r mut dyn BufRead,
    line: usize,
}

impl Rows<'_> {
    /// The next row that is not blank, with the number of its first line. The error is a row that is too long or not UTF-8.
    fn next(&mut self) -> anyhow::Result<Option<(usize, Result<String, ()>)>> {
        let (mut row, mut first) = (Vec::new(), 0);
        loop {
            let room = (MAX_ROW_BYTES + 1).saturating_sub(row.len()) as u64;
            let read = Read::take(&mut *self.reader, room).read_until(b'\n', &mut row)?;
            self.line += 1;
            if first == 0 {
                first = self.line;
            }
            if read == 0 && row.is_empty() {
                return Ok(None);
            }
            if row.len() > MAX_ROW_BYTES {
                self.skip_line()?;
                return Ok(Some((first, Err(()))));
            }
            let is_open = row.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            if read > 0 && is_open {
                continue;
            }
            if row.iter().all(u8::is_ascii_whitespace) {
                (row, first) = (Vec::new(), 0);
                continue;
            }
            return Ok(Some((first, String::from_utf8(row).map_err(|_| ()))));
        }
    }

    fn skip_line(&mut self) -> anyhow::Result<()> {
        loop {
            let mut rest = Vec::new();
            let read = Read::take(&mut *self.reader, MAX_ROW_BYTES as u64).read_until(b'\n', &mut rest)?;
            if read == 0 || rest.ends_with(b"\n") {
                return Ok(());
            }
        }
    }
}

fn delimiter(header: &str) -> char {
    let count = |delimiter: char| header.matches(delimiter).count();
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(',')
}

/// The cells of a row: RFC 4180, blanks around cells removed.
fn cells(row: &str, delimiter: char) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = row.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => quoted = !quoted,
            other if other == delimiter && !quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            other => cell.push(other),
        }
    }
    cells.push(cell.trim().to_owned());
    cells
}

/// Reads the entries of LDIF: an attribute a line, `::` before base64, blank lines between entries, and lines that begin with a blank
/// continue the one before. Of an attribute that comes several times the first value counts.
pub(super) fn read_ldif(reader: &mut dyn BufRead, wanted: &Wanted, each: &mut Each<'_>) -> anyhow::Result<()> {
    let (mut entry, mut attribute, mut number) = (Row::new(), String::new(), 0);
    loop {
        let mut bytes = Vec::new();
        let read = Read::take(&mut *reader, MAX_ROW_BYTES as u64 + 1).read_until(b'\n', &mut bytes)?;
        number += 1;
        anyhow::ensure!(bytes.len() <= MAX_ROW_BYTES, "line {number} is longer than 256 KiB");
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\r', '\n']);
        if let Some(continued) = line.strip_prefix(' ') {
            attribute.push_str(continued);
            anyhow::ensure!(attribute.len() <= MAX_ROW_BYTES, "line {number}: the attribute is longer than 256 KiB");
            continue;
        }
        add_attribute(&mut entry, &std::mem::take(&mut attribute), wanted);
        if !line.trim().is_empty() {
            attribute = line.to_owned();
        } else if !entry.is_empty() {
            each(Found::Row(std::mem::take(&mut entry)))?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn add_attribute(entry: &mut Row, line: &str, wanted: &Wanted) {
    let Some((name, value)) = line.split_once(':').filter(|(name, _)| wanted.contains(name)) else { return };
    let value = match value.strip_prefix(':') {
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded.trim()).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        }
        None => value.trim().to_owned(),
    };
    entry.entry(name.to_owned()).or_insert(Value::String(value));
}
