//! Input files of commands: their text, rows and lines. `import` and `convert-hashes` share this code, so that both read the same forms of
//! files.

mod lines;
mod rows;
mod start;
mod text;

pub(super) use lines::{Line, NOT_UTF8, TOO_LONG, TextLines};
pub(super) use rows::{Cells, MAX_CELLS, MAX_ROW_BYTES, Reader, Row, TooLarge, WrongQuote};
pub(super) use start::{Start, columns_of, detect_delimiter};
#[cfg(test)]
pub(super) use text::text;
pub(super) use text::{Peeked, Text, find_encoding, name_and_size, open, peek};
