//! `convert-hashes`: converts hashes of pass codes and passwords from exports of other systems into records for `import --update-only`.
//!
//! The command reads one record at a time and keeps none in memory, so that its memory does not grow with the file. It needs neither a
//! database nor keys, and writes hashes only into its output.

mod arguments;
mod conversion;
mod format;
mod frameworks;
mod json;
mod keycloak;
mod ldif;
mod output;
mod phc;
mod products;
mod row;
mod selection;
mod table;

use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressBar;

pub(super) use self::arguments::Arguments;
use self::format::Format;
use self::output::Output;
use self::row::{Entry, EntrySink};
use self::selection::Selection;
use super::files::{self, Text};
use crate::config::Settings;

/// Exit code when no record was written.
const NO_RECORD: u8 = 2;

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let join = arguments.kind.join(arguments.join.as_deref())?;
    let is_keycloak = arguments.from == Format::Keycloak;
    anyhow::ensure!(
        !is_keycloak || arguments.hash.is_none(),
        "--hash: exports of Keycloak have hashes in members of one name"
    );
    let (name, _) = files::name_and_size(&arguments.file)?;
    let text =
        files::open(&arguments.file, &ProgressBar::hidden(), arguments.encoding).with_context(|| name.clone())?;
    let limit = settings.hashing.max_foreign_memory.kib();
    let mut output = Output::create(arguments, join.clone(), limit)?;
    let selection = Selection::new(arguments.from, join, arguments.hash.clone());
    let found = read(text, arguments.from, &selection, &mut |entry| match entry {
        Entry::Row(row) => output.take(selection.value(&row), selection.hashes(&row)),
        Entry::Comment => {
            output.count_comment();
            Ok(())
        }
        Entry::Unreadable { line, why } => {
            output.count_broken(&name, line, why);
            Ok(())
        }
    });
    // The records before an error are complete.
    let counts = output.finish()?;
    eprintln!("{counts}");
    found.with_context(|| name.clone())?;
    Ok(match (counts.written(), counts.left_out()) {
        (0, _) => {
            let why = match counts.records() {
                0 => "there is no record in this file",
                _ => "no record was written; the file may have another format than --from says",
            };
            eprintln!("{name}: {why}");
            ExitCode::from(NO_RECORD)
        }
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Reads the entries of a file, in the form that its beginning shows.
fn read(text: Text, format: Format, selection: &Selection, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    let Text { mut reader, skipped_lines, first, .. } = text;
    match first {
        None => Ok(()),
        Some(b'{' | b'[') => json::read(&mut reader, selection, each),
        Some(_) => {
            let (mark, reader) = files::peek(reader)?;
            match format == Format::Ldap && ldif::begins(&mark) {
                true => ldif::read(reader, skipped_lines, selection, each),
                false => table::read(reader, skipped_lines, selection, each),
            }
        }
    }
}

#[cfg(test)]
mod tests;
