//! CSV files: a mapping converts their rows to records.
//!
//! This module and those below it use no files and databases: they read bytes and return records.

mod date;
mod fields;
mod mapping;
mod options;
mod plan;
mod rule;
mod value;

use std::io::{self, BufRead};

use access_tokens_domain::import::Record;
use access_tokens_domain::{Error, Reason};
use anyhow::{anyhow, bail};

use self::fields::FieldName;
pub(super) use self::mapping::Mapping;
pub(super) use self::options::Options;
use self::plan::Plan;
pub(super) use self::plan::REASON_COLUMN;
pub(super) use self::value::{may_be_card_number, may_have_lost_digits};
use crate::command::files::{
    self, Cells, MAX_CELLS, MAX_ROW_BYTES, Peeked, Reader, Start, Text, TooLarge, WrongQuote, columns_of,
    detect_delimiter,
};

/// Maximum number of rows that are searched for a header below a title.
const MAX_TITLE_ROWS: usize = 20;
/// Maximum number of columns in an error, and maximum length of their names, in characters.
const MAX_LISTED_COLUMNS: usize = 100;
const MAX_LISTED_NAME: usize = 60;
/// Maximum length of a cell in an error about its encoding, in characters.
const MAX_SHOWN_CELL: usize = 40;

/// The head of a file. A file of refused rows repeats it, so that the same mapping reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) delimiter: u8,
    /// Lines before the header.
    pub(super) skipped: Vec<String>,
    /// Names of the columns, without the column of reasons of an earlier import.
    pub(super) columns: Vec<String>,
    pub(super) has_header: bool,
}

/// A row of a file.
pub(super) struct Row {
    /// The line on which the row begins.
    pub(super) line: usize,
    /// The size of the row, in bytes.
    pub(super) bytes: usize,
    /// The cells, without the reason of an earlier import. None where the row is too large.
    pub(super) cells: Option<Vec<String>>,
    pub(super) record: Result<Record, Error>,
}

/// A file whose header was read.
pub(super) struct Table {
    reader: Reader<Peeked<Box<dyn BufRead + Send>>>,
    pub(super) head: Head,
    /// The first row, where the file has no header.
    first: Option<(usize, Cells)>,
    /// The encoding that the text was decoded from. None for UTF-8.
    transcoded: Option<&'static str>,
}

impl Table {
    /// Reads the first line to detect the delimiter, and the header. None where the file has no row.
    pub(super) fn open(text: Text, options: &Options) -> anyhow::Result<Option<Self>> {
        let transcoded = text.transcoded();
        let Text { reader: mut input, skipped_lines, .. } = text;
        let start = Start::read(&mut input, skipped_lines, options.delimiter, options.skip_lines)?;
        let (delimiter, skipped) = (start.delimiter, start.skipped.clone());
        let mut reader = start.rows(input);
        let Some(row) = reader.next()? else { return Ok(None) };
        let cells = row.cells.map_err(|what| anyhow!("line {}: {}", row.line, too_large(what)))?;
        if let Some(wrong_quote) = row.wrong_quote {
            bail!("{}", in_words(wrong_quote));
        }
        let names = texts(row.line, &cells, |place| Some((place + 1).to_string()))?;
        if transcoded.is_none() && names.iter().any(|name| name.contains('\0')) {
            bail!("has NUL characters: is it UTF-16 without a byte order mark? set encoding, for example utf-16le");
        }
        let columns: Vec<String> = if options.header {
            names.into_iter().map(str::to_owned).collect()
        } else {
            (1..=names.len()).map(|number| number.to_string()).collect()
        };
        let first = (!options.header).then_some((row.line, cells));
        let head = Head { delimiter, skipped, columns, has_header: options.header };
        Ok(Some(Self { reader, head, first, transcoded }))
    }

    /// Returns the next row, also the one that was read for the head. None at the end.
    fn next_row(&mut self) -> io::Result<Option<files::Row>> {
        match self.first.take() {
            Some((line, cells)) => Ok(Some(files::Row { line, cells: Ok(cells), wrong_quote: None })),
            None => self.reader.next(),
        }
    }

    /// Returns the next row as texts, without a mapping: its line, and its cells unless it is too large or has a wrong quote.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(usize, Option<Vec<String>>)>> {
        let Some(files::Row { line, cells, wrong_quote }) = self.next_row()? else { return Ok(None) };
        let Some(cells) = cells.ok().filter(|_| wrong_quote.is_none()) else { return Ok(Some((line, None))) };
        let texts = texts(line, &cells, |place| self.head.columns.get(place).cloned())?;
        Ok(Some((line, Some(texts.into_iter().map(str::to_owned).collect()))))
    }
}

/// The rows of a file, as records.
pub(super) struct Rows {
    table: Table,
    plan: Plan,
}

impl Rows {
    /// Reads the header and applies the mapping to it. None where the file has no row.
    pub(super) fn open(text: Text, mapping: &Mapping) -> anyhow::Result<Option<Self>> {
        let Some(mut table) = Table::open(text, &mapping.options)? else { return Ok(None) };
        let head = &mut table.head;
        let plan = match Plan::new(mapping, &head.columns) {
            Ok(plan) => plan,
            Err(what) => {
                let further =
                    if head.has_header { header_further_down(&mut table.reader, head, mapping)? } else { None };
                let hint =
                    further.map(|(line, skip)| format!("; line {line} has the columns: set skip_lines = {skip}"));
                return Err(with_columns(&(what + &hint.unwrap_or_default()), &head.columns));
            }
        };
        if plan.has_reasons {
            head.columns.pop();
        }
        Ok(Some(Self { table, plan }))
    }

    pub(super) fn head(&self) -> &Head {
        &self.table.head
    }

    /// Returns the columns that the mapping does not use.
    pub(super) fn unmapped(&self) -> &[String] {
        &self.plan.unmapped
    }

    /// Returns the next row that is not skipped. An error ends the file: a part of it is not UTF-8, or cannot be read.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            let Some(files::Row { line, cells, wrong_quote }) = self.table.next_row()? else { return Ok(None) };
            let cells = match cells {
                Ok(cells) => cells,
                Err(what) => {
                    let error = wrong_quote.map_or_else(|| too_large(what), refused_quote);
                    return Ok(Some(Row { line, bytes: 0, cells: None, record: Err(error) }));
                }
            };
            let texts = self.texts(line, &cells)?;
            if let Some(wrong_quote) = wrong_quote {
                let (bytes, record) = (cells.bytes(), Err(refused_quote(wrong_quote)));
                return Ok(Some(Row { line, bytes, cells: Some(self.with_wrong_quote(&texts)), record }));
            }
            let Some(record) = self.plan.record(&texts) else { continue };
            let lost =
                self.table.transcoded.filter(|_| texts.iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER)));
            let record = match lost {
                Some(encoding) => {
                    let text = format!("has a byte that is no character of {encoding}: is the encoding another one?");
                    Err(Error::field(Reason::InvalidFieldValue, "", text))
                }
                None => record,
            };
            let columns = self.table.head.columns.len();
            // One additional cell is the reason. A row with more cells is refused again, and keeps them.
            let own = if self.plan.has_reasons && texts.len() <= columns + 1 {
                texts.len().min(columns)
            } else {
                texts.len()
            };
            let cells_of_row = texts[..own].iter().map(|text| (*text).to_owned()).collect();
            return Ok(Some(Row { line, bytes: cells.bytes(), cells: Some(cells_of_row), record }));
        }
    }

    /// Returns the cells of a row with a wrong quote, which may be parts of several rows. The file of refused rows writes them with correct
    /// quotes, so they get more cells than there are columns: the row is refused again until it is corrected.
    fn with_wrong_quote(&self, texts: &[&str]) -> Vec<String> {
        let mut cells: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        cells.resize(cells.len().max(self.table.head.columns.len() + 1), String::new());
        cells
    }

    fn texts<'c>(&self, line: usize, cells: &'c Cells) -> anyhow::Result<Vec<&'c str>> {
        texts(line, cells, |place| {
            let name = self.table.head.columns.get(place)?;
            (!self.plan.is_secret(place)).then(|| name.clone())
        })
    }
}

/// Searches for a header that fits the mapping, below a title. Returns its line, and the number of lines before it.
fn header_further_down<R: BufRead>(
    reader: &mut Reader<R>,
    head: &Head,
    mapping: &Mapping,
) -> anyhow::Result<Option<(usize, usize)>> {
    for place in 1..=MAX_TITLE_ROWS {
        let Some(row) = reader.next()? else { return Ok(None) };
        let Ok(cells) = row.cells else { continue };
        let mut columns: Vec<String> = cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        if let [line] = columns.as_slice() {
            // A title has no delimiter, so that another delimiter may have been detected than that of the rows.
            columns = columns_of(line.as_bytes(), detect_delimiter(line.as_bytes()));
        }
        if Plan::new(mapping, &columns).is_ok() {
            return Ok(Some((row.line, head.skipped.len() + place)));
        }
    }
    Ok(None)
}

/// Returns the cells as texts. The error about a cell that is not UTF-8 shows it with the name of its column, if `shown` returns a name.
fn texts(line: usize, cells: &Cells, shown: impl Fn(usize) -> Option<String>) -> anyhow::Result<Vec<&str>> {
    let mut texts = Vec::with_capacity(cells.len());
    for (place, cell) in cells.iter().enumerate() {
        match std::str::from_utf8(cell) {
            Ok(text) => texts.push(text),
            Err(_) => {
                let cell: String = cell.escape_ascii().map(char::from).take(MAX_SHOWN_CELL).collect();
                let what = shown(place).map(|name| format!(" (column {name:?}: {cell})")).unwrap_or_default();
                let help = "set encoding, for example windows-1252, windows-1253 or iso-8859-7";
                bail!("line {line} is not UTF-8{what}: {help}");
            }
        }
    }
    Ok(texts)
}

fn too_large(what: TooLarge) -> Error {
    let text = match what {
        TooLarge::Bytes => format!("the row is larger than {} KiB: is a quote not closed?", MAX_ROW_BYTES / 1_024),
        TooLarge::Cells => format!("the row has more than {MAX_CELLS} cells"),
    };
    Error::new(Reason::RequestTooLarge, text)
}

fn refused_quote(wrong_quote: WrongQuote) -> Error {
    Error::field(Reason::InvalidFieldValue, "", in_words(wrong_quote))
}

/// Describes a wrong quote. The text repeats nothing of the row, which may contain a code.
fn in_words(wrong_quote: WrongQuote) -> String {
    match wrong_quote {
        WrongQuote::NotClosed { opened } => {
            format!("the quote that opens on line {opened} is not closed until the end of the file")
        }
        WrongQuote::TextAfter { line, opened } => format!(
            "line {line} has text after the closing quote of a cell that opens on line {opened}: \
             is a quote missing, or one inside of the cell not doubled?"
        ),
    }
}

/// Returns an error about a file, with the columns of the file.
fn with_columns(what: &str, columns: &[String]) -> anyhow::Error {
    anyhow!("{what}; columns of the file: {}", listed(columns))
}

/// Lists names of columns for a message, in a limited length.
pub(super) fn listed(columns: &[String]) -> String {
    let short = |name: &String| name.chars().take(MAX_LISTED_NAME).collect::<String>();
    let names: Vec<String> = columns.iter().take(MAX_LISTED_COLUMNS).map(|name| format!("{:?}", short(name))).collect();
    let more = columns.len().saturating_sub(MAX_LISTED_COLUMNS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Returns an error about a mapping, with the columns of a file. The mapping cannot state how the file is read.
pub(super) fn explain_columns(what: &str, text: Text) -> anyhow::Error {
    match Table::open(text, &Options::default()) {
        Ok(Some(table)) => with_columns(what, &table.head.columns),
        _ => anyhow!("{what}"),
    }
}

/// Returns the field whose name a column has, apart from case, blanks and dashes.
pub(super) fn suggested_field(column: &str) -> Option<&'static str> {
    let plain: String = column.to_lowercase().chars().map(|c| if matches!(c, ' ' | '-') { '_' } else { c }).collect();
    FieldName::find(&plain).map(|field| field.path)
}

#[cfg(test)]
mod tests;
