//! What a file is read into.

use super::row::Row;

/// What a file has next.
#[derive(Debug)]
pub(super) enum Entry {
    /// A record.
    Row(Row),
    /// A line that is a comment.
    Comment,
    /// Something that cannot be read, and why. The text repeats nothing of it.
    Unreadable { line: usize, why: &'static str },
}

/// Takes what was found.
pub(super) type EntrySink<'a> = dyn FnMut(Entry) -> anyhow::Result<()> + 'a;
