//! Detects the form of a file, and reads its records.

use super::entry::EntrySink;
use super::format::Format;
use super::selection::Selection;
use super::{json, ldif, table};
use crate::command::files::{Text, peek};

/// Reads the records of a file.
pub(super) fn read(text: Text, format: Format, selection: &Selection, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    let Text { mut reader, skipped_lines, first, .. } = text;
    match first {
        None => Ok(()),
        Some(b'{' | b'[') => json::read(&mut reader, selection, each),
        Some(_) => {
            let (mark, reader) = peek(reader)?;
            match format == Format::Ldap && ldif::begins(&mark) {
                true => ldif::read(reader, skipped_lines, selection, each),
                false => table::read(reader, skipped_lines, selection, each),
            }
        }
    }
}
