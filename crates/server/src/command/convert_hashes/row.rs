//! The entries of an export: rows and their members.

use serde_json::{Map, Value};

/// Members of an object, or columns of a table.
pub(super) type Row = Map<String, Value>;

/// The next entry of a file.
#[derive(Debug)]
pub(super) enum Entry {
    /// A record.
    Row(Row),
    /// A line that is a comment.
    Comment,
    /// An entry that cannot be read, with the reason. The reason repeats no text of the file.
    Unreadable { line: usize, why: &'static str },
}

/// Receives the entries.
pub(super) type EntrySink<'a> = dyn FnMut(Entry) -> anyhow::Result<()> + 'a;

/// Returns whether a text means "no hash": databases write NULL or `\N` into a text file, and some write empty quotes.
pub(super) fn is_nothing(text: &str) -> bool {
    ["", "\"\"", "''", "\\N"].contains(&text) || text.eq_ignore_ascii_case("null")
}

/// Returns the member at a path with dots, or with exactly that name. Upper and lower case of ASCII letters are equal.
pub(super) fn at<'r>(row: &'r Row, path: &str) -> Option<&'r Value> {
    let named = |object: &'r Row, name: &str| {
        object
            .get(name)
            .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    };
    let present = |value: &&Value| !value.is_null();
    if let Some(value) = named(row, path) {
        return Some(value).filter(present);
    }
    let (first, rest) = path.split_once('.')?;
    let mut value = named(row, first)?;
    for name in rest.split('.') {
        value = match value {
            Value::Object(object) => named(object, name)?,
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value).filter(present)
}
