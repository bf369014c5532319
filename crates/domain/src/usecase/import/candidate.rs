//! A record between its preparation and its import.

use crate::Result;
use crate::import::{Kind, Prepared};

/// A record that is ready for import, or the error of its preparation.
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) prepared: Result<Prepared>,
}
