//! The records of a file, in any of its forms.

use std::collections::VecDeque;
use std::io::BufRead;

use access_tokens_domain::import::{self, Answers, MAX_RECORD_BYTES, Record};
use access_tokens_domain::{Error, Reason};
use anyhow::bail;
use serde_json::{Value, json};

use super::array::Elements;
use super::csv::{self, Head, Mapping, Rows};
use super::source::{Piece, Source};
use crate::command::files::Text;

/// A record of a file, or the reason why it was refused.
pub(super) struct Item {
    /// The line on which the record begins, counted from one.
    pub(super) line: usize,
    /// The number of the record in a text with several records.
    pub(super) number: Option<usize>,
    /// Approximate memory of the record, in bytes.
    pub(super) bytes: usize,
    pub(super) record: Result<Record, Error>,
    /// Whether this counts as a record. An answer about other objects does not.
    pub(super) is_record: bool,
    /// The original text, for the file of refused records.
    pub(super) raw: Option<Original>,
}

/// A record as it is in the file.
pub(super) enum Original {
    /// A JSON text.
    Json(String),
    /// The cells of a row.
    Row(Vec<String>),
}

/// The records of a file, in their order.
pub(super) struct Items {
    form: Form,
    answers: Answers,
    /// Whether items keep their original text, for the file of refused records.
    pub(super) keeps_original: bool,
    /// Records of a text with several records.
    ready: VecDeque<Item>,
}

enum Form {
    Lines(Source<Box<dyn BufRead + Send>>),
    Array(Elements<Box<dyn BufRead + Send>>),
    Rows(Box<Rows>),
    Empty,
}

impl Items {
    /// Reads the head of a file. An error concerns the whole file, before any of it was imported.
    pub(super) fn open(name: &str, text: Text, mapping: &Mapping, answers: Answers) -> anyhow::Result<Self> {
        let form = if !text.is_json(name) {
            Rows::open(text, mapping)?.map_or(Form::Empty, |rows| Form::Rows(Box::new(rows)))
        } else if text.first.is_none() {
            Form::Empty
        } else if mapping.names_fields {
            bail!("is JSON: --map and --mapping are for CSV");
        } else if text.first == Some(b'[') {
            Form::Array(Elements::new(text.reader, text.skipped_lines + 1))
        } else {
            Form::Lines(Source::new(text.reader, text.skipped_lines))
        };
        Ok(Self { form, answers, keeps_original: false, ready: VecDeque::new() })
    }

    /// Returns the head of a CSV file. None for JSON.
    pub(super) fn head(&self) -> Option<&Head> {
        match &self.form {
            Form::Rows(rows) => Some(rows.head()),
            _ => None,
        }
    }

    /// Returns the columns of a CSV file that the mapping does not use.
    pub(super) fn unmapped(&self) -> &[String] {
        match &self.form {
            Form::Rows(rows) => rows.unmapped(),
            _ => &[],
        }
    }

    /// Returns the next record. None at the end. An error ends the import, because the rest of the file cannot be read.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let piece = match &mut self.form {
                Form::Empty => None,
                Form::Lines(source) => source.next()?,
                Form::Array(elements) => elements.next()?,
                Form::Rows(rows) => return rows.next().map(|row| row.map(|row| row_item(row, self.keeps_original))),
            };
            let Some(piece) = piece else { return Ok(None) };
            self.take(piece);
        }
    }

    /// Adds the records of a JSON text.
    fn take(&mut self, Piece { line, text }: Piece) {
        let refused = |error, raw: Option<Original>, bytes| {
            let answer = |field: &str| ["status.code", "data"].contains(&field);
            let about_something_else =
                Error::violations(&error).first().is_some_and(|violation| answer(&violation.field));
            Item { line, number: None, bytes, record: Err(error), is_record: !about_something_else, raw }
        };
        let text = match text {
            Ok(text) => text,
            Err(what) => return self.ready.push_back(refused(Error::new(Reason::InvalidFieldValue, what), None, 0)),
        };
        if is_reason(&text) {
            return;
        }
        let records = match import::parse_with(&text, self.answers) {
            Ok(records) => records,
            Err(error) => {
                let bytes = if self.keeps_original { text.len() } else { 0 };
                let raw = self.keeps_original.then_some(Original::Json(text));
                return self.ready.push_back(refused(error, raw, bytes));
            }
        };
        let is_alone = records.len() == 1;
        for (index, record) in records.into_iter().enumerate() {
            // All records of a text together may be larger than the limit for one.
            let bytes = if text.len() > MAX_RECORD_BYTES { size(&record) } else { text.len() };
            let raw =
                self.keeps_original.then(|| Original::Json(if is_alone { text.clone() } else { answer_of(&record) }));
            let record = if bytes > MAX_RECORD_BYTES { Err(too_large()) } else { Ok(record) };
            let number = (!is_alone).then_some(index + 1);
            self.ready.push_back(Item { line, number, bytes, record, is_record: true, raw });
        }
    }
}

fn row_item(row: csv::Row, keeps_original: bool) -> Item {
    let csv::Row { line, bytes, cells, record } = row;
    let raw = cells.filter(|_| keeps_original).map(Original::Row);
    Item { line, number: None, bytes, record, is_record: true, raw }
}

/// Returns whether a line is the reason of a refused record, in a file of refused records.
fn is_reason(text: &str) -> bool {
    text.starts_with("{\"reason\":")
        && serde_json::from_str::<serde_json::Map<String, Value>>(text)
            .is_ok_and(|object| object.len() == 1 && object.get("reason").is_some_and(Value::is_string))
}

/// Returns a record of an answer as a separate answer.
fn answer_of(record: &Record) -> String {
    json!({ "data": record.object }).to_string()
}

fn too_large() -> Error {
    let limit = format!("the record is larger than {} KiB", MAX_RECORD_BYTES / 1_024);
    Error::new(Reason::RequestTooLarge, limit)
}

/// Returns the size of a record as JSON, in bytes.
fn size(record: &Record) -> usize {
    // A record that cannot be serialised counts as too large.
    serde_json::to_string(&record.object).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::files;

    fn items(name: &str, text: &str) -> Vec<Item> {
        let text = files::text(std::io::Cursor::new(text.as_bytes().to_vec()), None).expect("a text");
        let mut items = Items::open(name, text, &Mapping::default(), Answers::Complete).expect("a file");
        items.keeps_original = true;
        std::iter::from_fn(|| items.next().expect("memory can be read")).collect()
    }

    fn places(items: &[Item]) -> Vec<(usize, Option<usize>, bool)> {
        items.iter().map(|item| (item.line, item.number, item.record.is_ok())).collect()
    }

    #[test]
    fn records_of_large_texts_are_measured() {
        let records = import::parse(r#"{"access_token": {"id": "1234567890"}}"#).expect("a record");
        assert_eq!(size(&records[0]), r#"{"id":"1234567890"}"#.len());
    }

    #[test]
    fn every_form_has_the_same_records() {
        let record = r#"{"access_token":{"number":"1","authentication_code":"A"}}"#;
        let answer = r#"{"status":{"code":"OK"},"data":[{"authentication_code":"B","life_cycle_state":null},{"authentication_code":"C","life_cycle_state":null}]}"#;
        let lines = items("a.ndjson", &format!("{record}\n\n{answer}\nnonsense\n"));
        assert_eq!(places(&lines), [(1, None, true), (3, Some(1), true), (3, Some(2), true), (4, None, false)]);
        let array = items("a.json", &format!("[{record},\n{answer}]"));
        assert_eq!(places(&array), [(1, None, true), (2, Some(1), true), (2, Some(2), true)]);
        let rows = items("a.csv", "number,authentication_code\n1,A\n\n2,B\n");
        assert_eq!(places(&rows), [(2, None, true), (4, None, true)]);
        assert!(lines[0].record.as_ref().ok() == array[0].record.as_ref().ok());
        assert!(lines[0].record.as_ref().ok() == rows[0].record.as_ref().ok());
        for empty in ["", "\n \n"] {
            assert!(items("a.csv", empty).is_empty());
        }
        assert!(items("a.csv", "number,authentication_code\n").is_empty());
    }

    #[test]
    fn original_texts_can_be_imported_again() {
        let answer = r#"{"status":{"code":"OK"},"data":[{"authentication_code":"B","life_cycle_state":null},{"authentication_code":"C","life_cycle_state":"EFFECTIVE"}]}"#;
        for item in items("a.json", answer) {
            let Some(Original::Json(text)) = item.raw else { panic!("kept") };
            let again = items("rejects.ndjson", &format!("{{\"reason\":\"a.json:1: no\"}}\n{text}\n"));
            assert_eq!(again.len(), 1, "the reason is no record");
            assert!(again[0].record.as_ref().ok() == item.record.as_ref().ok());
        }
    }
}
