//! One import: what its batches have in common.

use std::collections::VecDeque;

use super::candidate::Candidate;
use super::waiting::{Waiting, WaitingRecord};
use crate::Result;
use crate::import::{DraftedAdministrators, Drafts, Options, Tally};
use crate::model::directory::Organisation;
use crate::model::reference::Reference;
use crate::ports::store::Store;

/// One import: what its batches have in common.
pub struct Run {
    pub(super) state: RunState,
    pub(super) checked: Option<Checked>,
    /// Number of records that came so far.
    records: usize,
    pub(super) waiting: Waiting,
    /// Groups of records that waited, to be worked through next.
    groups: VecDeque<Vec<WaitingRecord>>,
}

/// What the batches of a run share: what the import may do, the numbers that were drawn for it and are not used yet, and what it
/// has counted.
#[derive(Default)]
pub(super) struct RunState {
    pub(super) options: Options,
    pub(super) numbers: Vec<i64>,
    /// Numbers that the batch before has needed: the next one probably needs as many.
    pub(super) expected_numbers: usize,
    pub(super) tally: Tally,
}

/// What a check would have written so far.
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
    /// An import that writes.
    pub fn new(options: impl Into<Options>) -> Self {
        let state = RunState { options: options.into(), ..RunState::default() };
        Self { state, checked: None, records: 0, waiting: Waiting::default(), groups: VecDeque::new() }
    }

    /// An import of few records that says what it would do, and writes nothing. What it would write stays in memory.
    pub fn check(options: impl Into<Options>) -> Self {
        let checked = Checked::new(None, Drafts::default());
        Self { checked: Some(checked), ..Self::new(options) }
    }

    /// The same for any number of records: what it would write goes to a file. The organisation is given when it does not exist
    /// yet: the caller has [`OrganisationKey::NONE`] then.
    ///
    /// [`OrganisationKey::NONE`]: crate::model::session::OrganisationKey::NONE
    pub fn long_check(store: &impl Store, options: impl Into<Options>, new: Option<Organisation>) -> Result<Self> {
        let checked = Checked::new(new.map(Reference::empty), Drafts::in_file(store.drafts()?));
        Ok(Self { checked: Some(checked), ..Self::new(options) })
    }

    /// Whether the import writes nothing.
    pub fn only_checks(&self) -> bool {
        self.checked.is_some()
    }

    /// Returns what the run has counted so far, besides the outcomes of its records.
    pub fn tally(&self) -> Tally {
        self.state.tally
    }

    /// Sets the maximum memory of records that wait for the end of the run, in bytes. The default is that of 10,000 records. More
    /// records are refused with the reason that they have.
    pub fn limit_waiting(&mut self, bytes: usize) {
        self.waiting.limit(bytes);
    }

    /// Returns the memory of the records that wait for the end of the run, in bytes.
    pub fn waiting_memory(&self) -> usize {
        self.waiting.memory()
    }

    /// Gives the next records their positions in the run.
    pub(super) fn number(&mut self, candidates: Vec<Candidate>) -> impl Iterator<Item = (usize, Candidate)> + use<> {
        let first = self.records;
        self.records += candidates.len();
        (first..).zip(candidates)
    }

    /// Takes the next group of complete records, when at least half of the room for waiting records is used.
    pub(super) fn next_complete_group(&mut self) -> Option<Vec<WaitingRecord>> {
        if self.groups.is_empty() {
            self.groups = self.waiting.take_complete();
        }
        self.groups.pop_front()
    }

    /// Takes the next group of records that waited.
    pub(super) fn next_group(&mut self) -> Option<Vec<WaitingRecord>> {
        if self.groups.is_empty() {
            self.groups = std::mem::take(&mut self.waiting).into_groups();
        }
        self.groups.pop_front()
    }
}
