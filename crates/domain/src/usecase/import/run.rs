//! One import, which consists of batches.

use std::collections::VecDeque;

use super::waiting::{Waiting, WaitingRecord};
use crate::Result;
use crate::import::{DraftedAdministrators, Drafts, Options, Tally};
use crate::model::directory::Organisation;
use crate::model::reference::Reference;
use crate::ports::store::Store;

/// One import: the state that its batches share.
pub struct Run {
    pub(super) state: RunState,
    pub(super) checked: Option<Checked>,
    /// Number of records that were passed so far.
    pub(super) records: usize,
    pub(super) waiting: Waiting,
    /// Groups of records that waited and are imported next.
    groups: VecDeque<Vec<WaitingRecord>>,
}

/// The state that each batch of a run reads and changes: options, drawn numbers that are not used yet, and counts.
#[derive(Default)]
pub(super) struct RunState {
    pub(super) options: Options,
    pub(super) numbers: Vec<i64>,
    /// Number of numbers that the batch before needed. The next batch probably needs as many.
    pub(super) expected_numbers: usize,
    pub(super) tally: Tally,
}

/// The changes that a check would have written so far.
pub(super) struct Checked {
    pub(super) reference: Option<Reference>,
    pub(super) drafts: Drafts,
    pub(super) administrators: DraftedAdministrators,
}

impl Checked {
    fn new(reference: Option<Reference>, drafts: Drafts) -> Self {
        Self { reference, drafts, administrators: DraftedAdministrators::default() }
    }
}

impl Run {
    /// Returns an import that writes.
    pub fn new(options: impl Into<Options>) -> Self {
        let state = RunState { options: options.into(), ..RunState::default() };
        Self { state, checked: None, records: 0, waiting: Waiting::default(), groups: VecDeque::new() }
    }

    /// Returns an import of few records that reports what it would do, and writes nothing. Its changes stay in memory.
    pub fn check(options: impl Into<Options>) -> Self {
        let checked = Checked::new(None, Drafts::in_memory());
        Self { checked: Some(checked), ..Self::new(options) }
    }

    /// Returns a check of any number of records. Its changes are stored in a file. `new` is the organisation, if it
    /// does not exist yet; the caller then has [`OrganisationKey::NONE`].
    ///
    /// [`OrganisationKey::NONE`]: crate::model::session::OrganisationKey::NONE
    pub fn long_check(store: &impl Store, options: impl Into<Options>, new: Option<Organisation>) -> Result<Self> {
        let checked = Checked::new(new.map(Reference::empty), Drafts::in_store(store.drafts()?));
        Ok(Self { checked: Some(checked), ..Self::new(options) })
    }

    /// Returns whether the import writes nothing.
    pub fn only_checks(&self) -> bool {
        self.checked.is_some()
    }

    /// Returns the counts of the run so far, besides the outcomes of its records.
    pub fn tally(&self) -> Tally {
        self.state.tally
    }

    /// Sets the maximum memory of records that wait for the end of the run, in bytes. The default is that of 10,000
    /// records. Records beyond it are refused with the error that they have.
    pub fn limit_waiting(&mut self, bytes: usize) {
        self.waiting.limit(bytes);
    }

    /// Returns the memory of the records that wait for the end of the run, in bytes.
    pub fn waiting_memory(&self) -> usize {
        self.waiting.memory()
    }

    /// Returns the next group of complete records, when at least half of the space for waiting records is in use.
    pub(super) fn next_complete_group(&mut self) -> Option<Vec<WaitingRecord>> {
        if self.groups.is_empty() {
            self.groups = self.waiting.take_complete();
        }
        self.groups.pop_front()
    }

    /// Returns the next group of waiting records.
    pub(super) fn next_group(&mut self) -> Option<Vec<WaitingRecord>> {
        if self.groups.is_empty() {
            self.groups = std::mem::take(&mut self.waiting).into_groups();
        }
        self.groups.pop_front()
    }
}
