//! Inserts of rows whose primary keys may be stored already.

/// Effect of an insert on a stored row with the same primary key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// The new row takes its place.
    Replaced,
    /// The statement fails.
    Refused,
}
