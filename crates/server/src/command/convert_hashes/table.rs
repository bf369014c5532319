//! Reads records of text files: CSV with a header, or lines with a value and its hash.

use std::io::BufRead;

use serde_json::Value;

use super::row::{Entry, EntrySink, is_nothing};
use super::selection::{HASH, Selection, VALUE};
use crate::command::files::{Line, NOT_UTF8, Reader, Start, TOO_LONG, TooLarge, WrongQuote, columns_of};

/// Separators between a value and its hash, which have priority because a value may contain blanks and colons.
const SEPARATORS: [char; 4] = ['\t', ',', ';', '|'];
/// All separators between a value and its hash.
const ALL_SEPARATORS: [char; 6] = ['\t', ',', ';', '|', ' ', ':'];
/// Number of fields of a line of `/etc/shadow`.
const SHADOW_FIELDS: usize = 9;
/// Minimum number of columns at which a first line without hashes is a header, and not a value with its hash.
const MIN_HEADER_COLUMNS: usize = 3;

/// Reads CSV if the first line names a column with hashes, or else lines with a value and its hash.
pub(super) fn read(
    mut input: impl BufRead,
    skipped_lines: usize,
    selection: &Selection,
    each: &mut EntrySink<'_>,
) -> anyhow::Result<()> {
    let start = Start::read(&mut input, skipped_lines, None, 0)?;
    let columns = columns_of(start.first_line(), start.delimiter);
    if columns.iter().any(|column| selection.is_hash(column)) {
        return rows(start.rows(input), &columns, selection, each);
    }
    let has_hash = columns.iter().any(|cell| looks_like_hash(cell));
    anyhow::ensure!(
        columns.len() < MIN_HEADER_COLUMNS || has_hash,
        "no column of the first line is known to have hashes: name it by --hash COLUMN, if there is one"
    );
    let delimiter = start.delimiter;
    let mut lines = start.lines(input);
    while let Some(Line { number, text }) = lines.next()? {
        match text {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => each(pair(text.trim(), number, delimiter))?,
            Err(why) => each(Entry::Unreadable { line: number, why })?,
        }
    }
    Ok(())
}

/// Reads the rows below a header.
fn rows<R: BufRead>(
    mut rows: Reader<R>,
    columns: &[String],
    selection: &Selection,
    each: &mut EntrySink<'_>,
) -> anyhow::Result<()> {
    rows.next()?;
    while let Some(row) = rows.next()? {
        let why = match (row.cells, row.wrong_quote) {
            (_, Some(WrongQuote::NotClosed { .. })) => "has a quote that is not closed until the end of the file",
            (_, Some(WrongQuote::TextAfter { .. })) => "has text after a closing quote: quotes in cells are doubled",
            (Err(TooLarge::Bytes), None) => TOO_LONG,
            (Err(TooLarge::Cells), None) => "has too many cells",
            (Ok(cells), None) => match cells.trimmed() {
                Some(cells) if cells.iter().all(String::is_empty) => continue,
                Some(cells) => {
                    let named = columns.iter().zip(cells);
                    let selection = named.filter(|(name, cell)| selection.contains(name) && !cell.is_empty());
                    each(Entry::Row(selection.map(|(name, cell)| (name.clone(), Value::String(cell))).collect()))?;
                    continue;
                }
                None => NOT_UTF8,
            },
        };
        each(Entry::Unreadable { line: row.line, why })?;
    }
    Ok(())
}

/// Returns whether a cell may be a hash or mean "no hash", and is not the name of a column.
fn looks_like_hash(cell: &str) -> bool {
    cell.contains(['$', '{', '*', '!']) || is_nothing(cell) || cell.len() >= 32
}

/// Returns the value and the hash of a line.
fn pair(line: &str, number: usize, delimiter: u8) -> Entry {
    let broken = Entry::Unreadable { line: number, why: "has no value with a hash after it" };
    if line.starts_with('#') {
        return Entry::Comment;
    }
    let pair = match line.starts_with('"') {
        true => match columns_of(line.as_bytes(), delimiter).as_slice() {
            [value, hash, ..] => Some((value.clone(), hash.clone())),
            _ => None,
        },
        false => split(line).map(|(value, hash)| (value.to_owned(), hash.to_owned())),
    };
    let Some((value, hash)) = pair else { return broken };
    let members = [(VALUE, value), (HASH, hash)];
    Entry::Row(members.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text))).collect())
}

/// Splits a line into the value and the hash. The hash begins with the first `$` or `{` after a separator, or else after the first
/// separator. In lines with colons, such as those of `htpasswd` and `/etc/shadow`, more fields may follow.
fn split(line: &str) -> Option<(&str, &str)> {
    let marked = line.match_indices(['$', '{']).find_map(|(at, _)| {
        let value = line[..at].trim_end_matches(['"', '\'']);
        value.ends_with(ALL_SEPARATORS).then(|| (value, &line[at..]))
    });
    let (value, hash) = match marked {
        Some(found) => found,
        None => {
            let at = line.find(SEPARATORS).or_else(|| line.find(ALL_SEPARATORS))?;
            (&line[..=at], &line[at + 1..])
        }
    };
    let fields = value.ends_with(':') && (hash.starts_with('$') || line.split(':').count() == SHADOW_FIELDS);
    let hash = if fields { hash.split(':').next().unwrap_or_default() } else { hash };
    let blank = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    Some((value.trim_end_matches(ALL_SEPARATORS).trim_matches(blank), hash.trim_matches(blank)))
}
