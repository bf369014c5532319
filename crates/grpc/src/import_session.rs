//! Drives one import from its first record to its last result. The command `import` and the RPC `ImportDirectory` use the same session,
//! so that both form the same batches, refuse the same repetitions, and assign results to records in the same way.

use std::collections::HashMap;
use std::io;

use access_tokens_domain::import::{Kind, Outcome, Record, Tally};
use access_tokens_domain::service::import::{Importer, RecordResult, Run};
use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Result};

use crate::duplicates::DuplicateChecker;
pub use crate::duplicates::Scope;

/// Maximum number of records of a batch, which is written in one transaction.
pub const BATCH_RECORDS: usize = 500;
/// Size from which on a batch is written, in bytes.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// One import. `P` says where a record is, such as a line of a file or a position in a stream.
pub struct ImportSession<P> {
    run: Run,
    duplicates: DuplicateChecker,
    /// Records that wait for their batch, and refusals among them, in their order.
    batch: Vec<(P, Result<Record>)>,
    /// Number of records that were given to the use case.
    submitted: usize,
    /// Places of submitted records without a result, by position: these records wait for a code of another one.
    waiting: HashMap<usize, P>,
}

/// The result of one record.
pub struct ItemResult<P> {
    /// The place that came with the record.
    pub place: P,
    /// The kind of the record. None where it was refused before the use case.
    pub kind: Option<Kind>,
    /// The outcome of the record, with the id of its object.
    pub result: Result<(Outcome, String)>,
}

impl<P> ImportSession<P> {
    /// Begins an import. `scope` says which of its records may not repeat a code.
    pub fn new(run: Run, scope: Scope) -> Self {
        let duplicates = DuplicateChecker::new(scope);
        Self { run, duplicates, batch: Vec::new(), submitted: 0, waiting: HashMap::new() }
    }

    /// Begins the next file: codes of earlier files may come again.
    pub fn begin_file(&mut self, scope: Scope) {
        self.duplicates = DuplicateChecker::new(scope);
    }

    /// Refuses a record that has the code or the identifier of an earlier one, and notes both otherwise. `describe` names the place of
    /// the earlier record. The outer error is one of the temporary file.
    pub fn check_repetition(
        &mut self,
        record: &Record,
        place: u64,
        describe: impl Fn(u64) -> String,
    ) -> io::Result<Result<()>> {
        self.duplicates.check(record, place, describe)
    }

    /// Adds a record to the batch, or the reason why it was refused.
    pub fn add(&mut self, place: P, record: Result<Record>) {
        self.batch.push((place, record));
    }

    /// Returns whether the batch has to be written. `bytes` is the size of its records.
    pub fn is_full(&self, bytes: usize) -> bool {
        self.batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES
    }

    /// Returns the place of the first record of the batch. None where the batch is empty.
    pub fn batch_start(&self) -> Option<&P> {
        self.batch.first().map(|(place, _)| place)
    }

    /// Writes the batch in one transaction. Returns the results in the order of the records. A record that waits for a code of another
    /// one has its result later.
    ///
    /// # Errors
    /// Errors of the whole batch, such as an unavailable database. Nothing of the batch is written then.
    pub async fn write_batch<S: Store + AccountStore>(
        &mut self,
        importer: &Importer<S>,
        caller: &Caller,
    ) -> Result<Vec<ItemResult<P>>> {
        let (mut records, mut items) = (Vec::new(), Vec::with_capacity(self.batch.len()));
        for (place, record) in std::mem::take(&mut self.batch) {
            let refusal = record.map(|record| records.push(record)).err();
            items.push((place, refusal));
        }
        let mut results = HashMap::new();
        if !records.is_empty() {
            let written = importer.batch(caller, &mut self.run, records).await?;
            results.extend(written.into_iter().map(|result| (result.position, result)));
        }
        let mut found = Vec::with_capacity(items.len());
        for (place, refusal) in items {
            if let Some(error) = refusal {
                found.push(ItemResult { place, kind: None, result: Err(error) });
                continue;
            }
            let position = self.submitted;
            self.submitted += 1;
            match results.remove(&position) {
                Some(result) => found.push(ItemResult::new(place, result)),
                None => _ = self.waiting.insert(position, place),
            }
        }
        Ok(found)
    }

    /// Writes one group of waiting records when their room is half used: see [`Importer::make_room`].
    pub async fn make_room<S: Store + AccountStore>(
        &mut self,
        importer: &Importer<S>,
        caller: &Caller,
    ) -> Result<Option<Vec<ItemResult<P>>>> {
        let results = importer.make_room(caller, &mut self.run).await?;
        results.map(|results| self.assign(results)).transpose()
    }

    /// Writes the next group of waiting records, after the last batch. Returns None when no record waits any more.
    pub async fn finish_next<S: Store + AccountStore>(
        &mut self,
        importer: &Importer<S>,
        caller: &Caller,
    ) -> Result<Option<Vec<ItemResult<P>>>> {
        let results = importer.finish_next(caller, &mut self.run).await?;
        results.map(|results| self.assign(results)).transpose()
    }

    /// Writes all waiting records, after the last batch.
    pub async fn finish<S: Store + AccountStore>(
        &mut self,
        importer: &Importer<S>,
        caller: &Caller,
    ) -> Result<Vec<ItemResult<P>>> {
        let results = importer.finish(caller, &mut self.run).await?;
        self.assign(results)
    }

    fn assign(&mut self, results: Vec<RecordResult>) -> Result<Vec<ItemResult<P>>> {
        let assign = |result: RecordResult| {
            let place =
                self.waiting.remove(&result.position).ok_or_else(|| Error::internal("a result without a record"))?;
            Ok(ItemResult::new(place, result))
        };
        results.into_iter().map(assign).collect()
    }

    /// Returns whether records have no result yet, of those that were written.
    pub fn has_waiting_records(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns whether the import writes nothing.
    pub fn only_checks(&self) -> bool {
        self.run.only_checks()
    }

    /// Returns what the import has counted besides the outcomes of its records.
    pub fn tally(&self) -> Tally {
        self.run.tally()
    }

    /// Sets the maximum memory of waiting records, in bytes.
    pub(crate) fn limit_waiting(&mut self, bytes: usize) {
        self.run.limit_waiting(bytes);
    }

    /// Returns the memory of waiting records, in bytes.
    pub(crate) fn waiting_memory(&self) -> usize {
        self.run.waiting_memory()
    }
}

impl<P> ItemResult<P> {
    fn new(place: P, RecordResult { kind, result, .. }: RecordResult) -> Self {
        Self { place, kind: Some(kind), result }
    }
}
