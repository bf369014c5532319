//! A record between its preparation and its import.

use crate::Result;
use crate::import::{Kind, Prepared};

/// A record ready to be worked through, or the reason why it is not.
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) prepared: Result<Prepared>,
}
