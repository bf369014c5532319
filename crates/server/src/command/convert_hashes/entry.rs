//! The entries of a file.

use super::row::Row;

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
