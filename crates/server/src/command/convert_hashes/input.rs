//! Which form a file has, and its records.

use super::format::Format;
use super::found::Each;
use super::wanted::Wanted;
use super::{json, ldif, table};
use crate::command::files::{Text, peek};

/// Reads the records of a file.
pub(super) fn read(text: Text, format: Format, wanted: &Wanted, each: &mut Each<'_>) -> anyhow::Result<()> {
    let Text { mut reader, skipped_lines, first, .. } = text;
    match first {
        None => Ok(()),
        Some(b'{' | b'[') => json::read(&mut reader, wanted, each),
        Some(_) => {
            let (mark, reader) = peek(reader)?;
            match format == Format::Ldap && ldif::begins(&mark) {
                true => ldif::read(reader, skipped_lines, wanted, each),
                false => table::read(reader, skipped_lines, wanted, each),
            }
        }
    }
}
