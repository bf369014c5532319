//! Imports records. The import of files and the directory RPC use the same code.

mod candidate;
mod normalise;
mod numbers;
mod prepare;
mod run;
mod waiting;

use std::sync::Arc;

pub use run::Run;

use crate::import::{
    self, Administrators, Batch, BatchContext, Decision, DraftedAdministrators, Kind, Links, Options, Outcome,
    Prepared, Record, Stored,
};
use crate::model::error::{FieldViolation, Violations};
use crate::model::reference::Reference;
use crate::model::session::{Caller, Permission};
use crate::model::time::TimeZone;
use crate::policy::guess_budget;
use crate::ports::store::{AccountStore, ImportChanges, ImportKeys, Store, Transaction};
use crate::ports::{Clock, Random, Secrets};
use crate::{Error, Reason, Result};
use candidate::{Candidate, prepared};
use run::{Checked, RunState};
use waiting::{MAX_CYCLE, WaitingRecord};

/// Maximum number of attempts to write a batch, or a single record, while other callers change the same data.
const MAX_WRITE_ATTEMPTS: usize = 4;

/// The result of one record.
#[derive(Debug)]
pub struct RecordResult {
    /// Position of the record in the run, from 0.
    pub position: usize,
    /// Kind of the record.
    pub kind: Kind,
    /// Outcome, with the id of the object, or error.
    pub result: Result<(Outcome, String)>,
}

/// Imports records into one organisation.
pub struct Importer<S> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    secrets: Arc<dyn Secrets>,
    max_guess_chance: f64,
    time_zone: TimeZone,
}

impl<S: Store + AccountStore> Importer<S> {
    /// Connects the import to its ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self { store, clock, random, secrets, max_guess_chance: guess_budget::DEFAULT_LIMIT, time_zone: TimeZone::UTC }
    }

    /// Sets the maximum chance of an attacker, per token and day, that a policy may allow.
    #[must_use]
    pub fn with_max_guess_chance(mut self, max_guess_chance: f64) -> Self {
        self.max_guess_chance = max_guess_chance;
        self
    }

    /// Sets the time zone of dates without an offset. The default is UTC.
    #[must_use]
    pub fn with_time_zone(mut self, time_zone: TimeZone) -> Self {
        self.time_zone = time_zone;
        self
    }

    /// Imports records as an import of their own, at most a few hundred. See [`Self::batch`].
    pub async fn import(
        &self,
        caller: &Caller,
        options: impl Into<Options>,
        records: Vec<Record>,
    ) -> Result<Vec<RecordResult>> {
        let mut run = Run::new(options);
        let mut results = self.batch(caller, &mut run, records).await?;
        results.extend(self.finish(caller, &mut run).await?);
        results.sort_by_key(|result| result.position);
        Ok(results)
    }

    /// Imports the next batch of a run, at most a few hundred records. A record with an error changes nothing; the
    /// others are written in one transaction. An error of the whole batch means that nothing of it was written.
    ///
    /// A record that needs a value of another token waits for [`Self::finish`] and has no result yet.
    pub async fn batch(&self, caller: &Caller, run: &mut Run, records: Vec<Record>) -> Result<Vec<RecordResult>> {
        caller.require(Permission::DirectoryWrite)?;
        let candidates = self.prepare(caller, run, records).await?;
        run.records += candidates.len();
        let follows = |prepared: &Prepared| run.waiting.precedes(&prepared.record());
        let (later, now): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| candidate.prepared.as_ref().is_ok_and(follows));
        let decisions = self.decide(caller, run, &now).await?;
        let mut results = Vec::with_capacity(now.len());
        for (Candidate { position, kind, prepared }, decision) in now.into_iter().zip(decisions) {
            match decision {
                Decision::Decided(result) => results.push(RecordResult { position, kind, result }),
                Decision::Waiting { error, links } => {
                    if !prepared.is_ok_and(|prepared| run.waiting.add(position, prepared, links)) {
                        results.push(RecordResult { position, kind, result: Err(queue_full(&error)) });
                    }
                }
            }
        }
        for Candidate { position, kind, prepared } in later {
            let waits = prepared.is_ok_and(|prepared| {
                let links = Links::of(&prepared.record());
                run.waiting.add(position, prepared, links)
            });
            if !waits {
                let text = "an earlier record of the same access token waits for a code, and too many records do; import it again";
                results.push(RecordResult { position, kind, result: Err(Error::new(Reason::Conflict, text)) });
            }
        }
        Ok(results)
    }

    /// Imports the waiting records, after all records of the run were passed to [`Self::batch`].
    pub async fn finish(&self, caller: &Caller, run: &mut Run) -> Result<Vec<RecordResult>> {
        let mut results = Vec::new();
        while let Some(more) = self.finish_next(caller, run).await? {
            results.extend(more);
        }
        Ok(results)
    }

    /// Imports one group of complete waiting records, in one transaction, when at least half of the space for waiting
    /// records is in use. Returns `None` when there is space, and when no waiting record is complete. A long import
    /// calls it after each batch, until it returns `None`.
    pub async fn make_room(&self, caller: &Caller, run: &mut Run) -> Result<Option<Vec<RecordResult>>> {
        let group = run.next_complete_group();
        self.import_group(caller, run, group).await
    }

    /// Imports one group of waiting records, in one transaction. Returns `None` when no record waits any more.
    pub async fn finish_next(&self, caller: &Caller, run: &mut Run) -> Result<Option<Vec<RecordResult>>> {
        let group = run.next_group();
        self.import_group(caller, run, group).await
    }

    async fn import_group(
        &self,
        caller: &Caller,
        run: &mut Run,
        group: Option<Vec<WaitingRecord>>,
    ) -> Result<Option<Vec<RecordResult>>> {
        let Some(group) = group else { return Ok(None) };
        caller.require(Permission::DirectoryWrite)?;
        let group: Vec<_> = group.into_iter().map(WaitingRecord::into_candidate).collect();
        if group.len() > MAX_CYCLE {
            let text = format!(
                "the codes of {} access tokens change hands in one ring, and those of {MAX_CYCLE} can; import fewer of them at a time",
                group.len()
            );
            let refused = group.into_iter().map(|Candidate { position, kind, .. }| {
                let result = Err(Error::field(Reason::Conflict, "access_token", text.as_str()));
                RecordResult { position, kind, result }
            });
            return Ok(Some(refused.collect()));
        }
        let decisions = self.decide(caller, run, &group).await?;
        let results = group.into_iter().zip(decisions).map(|(Candidate { position, kind, .. }, decision)| {
            let result = match decision {
                Decision::Decided(result) => result,
                Decision::Waiting { error, .. } => Err(error),
            };
            RecordResult { position, kind, result }
        });
        Ok(Some(results.collect()))
    }

    async fn decide(&self, caller: &Caller, run: &mut Run, candidates: &[Candidate]) -> Result<Vec<Decision>> {
        let state = &mut run.state;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(checked) = &mut run.checked {
            return self.check(caller, state, checked, candidates).await;
        }
        match self.write_with_retries(caller, state, candidates).await {
            Err(error) if is_race(&error) => {}
            result => return result,
        }
        // Each record is written alone, so that only the record at fault fails.
        let mut decisions = Vec::with_capacity(candidates.len());
        for one in candidates.chunks(1) {
            match self.write_with_retries(caller, state, one).await {
                Err(error) if is_race(&error) => decisions.push(Decision::Decided(Err(error))),
                written => decisions.extend(written?),
            }
        }
        Ok(decisions)
    }

    /// Writes candidates in one transaction. Another caller may change data between the read and the write, for example
    /// take a code, and PostgreSQL may abort the transaction to end a deadlock. Nothing was written then, and
    /// everything is read and processed again.
    async fn write_with_retries(
        &self,
        caller: &Caller,
        state: &mut RunState,
        candidates: &[Candidate],
    ) -> Result<Vec<Decision>> {
        for _ in 1..MAX_WRITE_ATTEMPTS {
            match self.write(caller, state, candidates).await {
                Err(error) if is_race(&error) => {
                    if error.reason() == Reason::NumberAlreadyExists {
                        self.discard_numbers(caller, state).await?;
                    }
                }
                result => return result,
            }
        }
        self.write(caller, state, candidates).await
    }

    /// Returns the results that an import would have, and writes nothing.
    async fn check(
        &self,
        caller: &Caller,
        state: &mut RunState,
        checked: &mut Checked,
        candidates: &[Candidate],
    ) -> Result<Vec<Decision>> {
        let mut reference = match checked.reference.take() {
            Some(reference) => reference,
            None => self.store.reference(caller.organisation).await?.as_ref().clone(),
        };
        let keys = keys(&reference, candidates);
        let names_permissions = keys.permissions;
        let mut transaction = self.store.begin().await?;
        let rows = transaction.load_import(caller.organisation, &keys).await?;
        let stored = checked.drafts.over(keys, rows)?;
        let drafted = names_permissions.then_some(&checked.administrators);
        let administrators = self.administrators(caller, &mut transaction, &stored, drafted).await?;
        drop(transaction);
        let mut batch = self.batch_over(caller, state, &reference, &stored, administrators);
        let decisions = process(&mut batch, candidates);
        state.tally.add(batch.tally());
        let changes = batch.into_changes();
        checked.administrators.add(&stored, &changes);
        checked.drafts.write(&changes)?;
        reference.merge(&changes);
        checked.reference = Some(reference);
        Ok(decisions)
    }

    /// Writes candidates in one transaction. If new tokens need more numbers than were drawn, nothing is written,
    /// numbers are drawn, and the candidates are processed again: a store with one writer cannot draw numbers within
    /// the transaction.
    async fn write(&self, caller: &Caller, state: &mut RunState, candidates: &[Candidate]) -> Result<Vec<Decision>> {
        self.draw_expected_numbers(caller, state, candidates).await?;
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let mut transaction = self.store.begin().await?;
            let reference = transaction.lock_directory(caller.organisation).await?;
            let keys = keys(&reference, candidates);
            let stored = Stored::from(transaction.load_import(caller.organisation, &keys).await?);
            let none = DraftedAdministrators::default();
            let drafted = keys.permissions.then_some(&none);
            let administrators = self.administrators(caller, &mut transaction, &stored, drafted).await?;
            let mut batch = self.batch_over(caller, state, &reference, &stored, administrators);
            let decisions = process(&mut batch, candidates);
            let (used, missing, tally) = (batch.used_numbers(), batch.missing_numbers(), batch.tally());
            let changes = batch.into_changes();
            state.expected_numbers = used + missing;
            if missing > 0 {
                drop(transaction);
                self.draw_numbers(caller, state, missing).await?;
                continue;
            }
            if changes != ImportChanges::default() {
                transaction.save_import(caller.organisation, &changes).await?;
            }
            transaction.commit().await?;
            state.numbers.drain(..used);
            state.tally.add(tally);
            return Ok(decisions);
        }
        Err(Error::new(
            Reason::Conflict,
            "numbers for new access tokens are taken as fast as they are drawn; try again",
        ))
    }

    /// Returns the administrators of the organisation, if a record could remove the permission from one. `drafted` is
    /// given if a record names permissions.
    async fn administrators(
        &self,
        caller: &Caller,
        transaction: &mut S::Transaction,
        stored: &Stored,
        drafted: Option<&DraftedAdministrators>,
    ) -> Result<Option<Administrators>> {
        let (Some(drafted), Some(mut users)) = (drafted, stored.users_with_administrator()) else { return Ok(None) };
        users.extend(drafted.users().cloned());
        let states = transaction.login_states(caller.organisation, &users, self.clock.now()).await?;
        let mut administrators = Administrators::new(states);
        administrators.merge(drafted);
        Ok(Some(administrators))
    }

    /// Returns an empty batch over stored data, with the numbers that are drawn.
    fn batch_over<'a>(
        &'a self,
        caller: &'a Caller,
        state: &RunState,
        reference: &'a Reference,
        stored: &'a Stored,
        administrators: Option<Administrators>,
    ) -> Batch<'a> {
        let context = BatchContext {
            random: self.random.as_ref(),
            secrets: self.secrets.as_ref(),
            now: self.clock.now(),
            caller,
            options: state.options,
            max_guess_chance: self.max_guess_chance,
            time_zone: self.time_zone,
        };
        let mut batch = Batch::new(reference, stored, context);
        batch.set_administrators(administrators);
        batch.set_drawn_numbers(state.numbers.clone());
        batch
    }
}

/// Processes candidates in memory.
fn process(batch: &mut Batch<'_>, candidates: &[Candidate]) -> Vec<Decision> {
    let mut decisions = batch.add_all(prepared(candidates)).into_iter();
    let decisions = candidates.iter().map(|candidate| match &candidate.prepared {
        Ok(_) => {
            decisions.next().unwrap_or_else(|| Decision::Decided(Err(Error::internal("a record without a decision"))))
        }
        // The error is copied, since a batch that is repeated returns it again.
        Err(error) => Decision::Decided(Err(error.copy())),
    });
    decisions.collect()
}

/// Returns the keys under which the objects of a batch may be stored.
fn keys(reference: &Reference, candidates: &[Candidate]) -> ImportKeys {
    let mut keys = import::keys(reference, prepared(candidates).map(Prepared::record));
    keys.keep_storable();
    keys
}

/// Returns the error of a record that needs values of other tokens and cannot wait for their records.
fn queue_full(error: &Error) -> Error {
    let mut violations = Violations::default();
    for FieldViolation { reason, field, description } in error.violations() {
        let text = "; too many records of this import wait for others: put the records that give codes up first";
        violations.add(*reason, field.as_str(), format!("{description}{text}"));
    }
    violations.into_result().err().unwrap_or_else(|| error.copy())
}

/// Returns whether the batch was refused because another caller wrote at the same time.
fn is_race(error: &Error) -> bool {
    let reason = error.reason();
    import::is_taken(reason) || matches!(reason, Reason::RecordAlreadyExists | Reason::Conflict)
}
