//! A record between its preparation and its import.

use crate::Result;
use crate::import::{Kind, Prepared};

/// A record that is ready for import, or the error of its preparation.
pub(super) struct Candidate {
    /// Position of the record in the run.
    pub(super) position: usize,
    pub(super) kind: Kind,
    pub(super) prepared: Result<Prepared>,
}

/// Returns the records that could be prepared.
pub(super) fn prepared(candidates: &[Candidate]) -> impl Iterator<Item = &Prepared> {
    candidates.iter().filter_map(|candidate| candidate.prepared.as_ref().ok())
}
