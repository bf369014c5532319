//! Reads records of JSON files, one at a time: objects in lists, one object on each line, or objects below `users`, `identities` and
//! similar members.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::row::{Entry, EntrySink, Row};
use super::selection::Selection;

/// Members whose lists have the records.
const CONTAINERS: [&str; 8] = ["users", "identities", "data", "items", "records", "rows", "accounts", "customers"];
/// Maximum size from one record to the next, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1_024 * 1_024;
/// Maximum size of a line with one record, in bytes.
const MAX_LINE_BYTES: u64 = 1_024 * 1_024;

/// Reads the records of a file that begins with `{` or `[`.
pub(super) fn read(reader: &mut dyn BufRead, selection: &Selection, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    let mut line = Vec::new();
    Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if !is_whole(&line) {
        return documents(line.as_slice().chain(reader), selection, each);
    }
    let mut number = 1;
    while !line.is_empty() {
        if is_whole(&line) {
            document(line.as_slice(), selection, each)?;
        } else if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
            each(Entry::Unreadable { line: number, why: "is not valid JSON" })?;
        }
        line.clear();
        number += 1;
        Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    }
    Ok(())
}

fn is_whole(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Reads consecutive documents that span lines.
fn documents(reader: impl BufRead, selection: &Selection, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    let mut reader = reader;
    loop {
        let rest = reader.fill_buf()?;
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (is_end, is_blank) = (rest.is_empty(), blank == rest.len());
        reader.consume(blank);
        match (is_end, is_blank) {
            (true, _) => return Ok(()),
            (false, true) => {}
            (false, false) => document(&mut reader, selection, each)?,
        }
    }
}

/// Reads one document.
fn document(reader: impl Read, selection: &Selection, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    let left = Rc::new(Cell::new(MAX_RECORD_BYTES));
    let mut stopped = None;
    let mut take = |row| {
        left.set(MAX_RECORD_BYTES);
        each(Entry::Row(row)).map_err(|error| {
            stopped = Some(error);
            "stopped"
        })
    };
    let bounded = Bounded { reader, left: Rc::clone(&left) };
    let read = Records { selection, take: &mut take }.deserialize(&mut serde_json::Deserializer::from_reader(bounded));
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        // The messages of serde_json may quote a value.
        (None, Err(error)) if error.is_eof() => anyhow::bail!("ends too early"),
        (None, Err(error)) if error.is_io() => anyhow::bail!("cannot be read, or has a record of more than 64 MiB"),
        (None, Err(error)) => anyhow::bail!("is not valid JSON (line {}, column {})", error.line(), error.column()),
    }
}

/// A reader that fails when a record is too large.
struct Bounded<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("too large"))?);
        Ok(read)
    }
}

/// Visits the records of a value. Members outside of the selection are skipped without being stored.
struct Records<'a> {
    selection: &'a Selection,
    take: &'a mut dyn FnMut(Row) -> Result<(), &'static str>,
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Records { selection: self.selection, take: &mut *self.take })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (mut row, mut has_records) = (Row::new(), false);
        while let Some(name) = members.next_key::<String>()? {
            if CONTAINERS.contains(&name.as_str()) {
                has_records = true;
                members.next_value_seed(Records { selection: self.selection, take: &mut *self.take })?;
            } else if self.selection.contains(&name) {
                row.insert(name, members.next_value::<Value>()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        if has_records { Ok(()) } else { (self.take)(row).map_err(de::Error::custom) }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
