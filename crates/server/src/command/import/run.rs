//! Imports the records of files in batches, and counts their outcomes.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_domain::import::{Kind, Outcome, Record, Tally};
use access_tokens_domain::service::import::Run;
use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Reason};
use access_tokens_grpc::import_session::{BATCH_RECORDS, ImportSession, ItemResult, Scope};
use anyhow::Context as _;
use indicatif::ProgressBar;

use super::super::context::Context;
use super::super::errors::to_anyhow;
use super::csv::listed;
use super::items::{Item, Items, Original};
use super::observations::{Observation, Observations};
use super::rejects::Rejects;
use super::report::{Counts, Location, Report, message};
use crate::databases;

/// The place of a record, with observations on it.
struct RecordPlace {
    location: Location,
    observation: Observation,
    raw: Option<Original>,
}

/// An import of files.
pub(super) struct FileImport<'a> {
    context: &'a Context,
    caller: Caller,
    session: ImportSession<RecordPlace>,
    refuses_card_numbers: bool,
    rejects: Option<Rejects>,
    /// Size of the records that wait for their batch, in bytes.
    batch_bytes: usize,
    observations: Observations,
    assumed_states: u64,
    card_numbers: u64,
    report: Report,
    progress: &'a ProgressBar,
    /// The counts of the finished batches, for an interruption.
    done: Arc<Mutex<Counts>>,
}

impl<'a> FileImport<'a> {
    /// Creates the import. `rejects` collects refused records. `refuses_card_numbers` refuses access tokens whose code or identifier may be
    /// the number of a payment card. If a signal ends the process, the finished batches are reported.
    pub(super) fn new(
        context: &'a Context,
        caller: Caller,
        run: Run,
        progress: &'a ProgressBar,
        rejects: Option<Rejects>,
        refuses_card_numbers: bool,
    ) -> Self {
        let session = ImportSession::new(run, Scope::Unnumbered);
        let done = report_interruption(session.only_checks(), progress);
        Self {
            context,
            caller,
            session,
            refuses_card_numbers,
            rejects,
            batch_bytes: 0,
            observations: Observations::default(),
            assumed_states: 0,
            card_numbers: 0,
            report: Report::default(),
            progress,
            done,
        }
    }

    /// Begins the next file. Returns whether its items need their original text, for the file of refused records.
    pub(super) fn begin(&mut self, file: &Arc<str>, items: &Items) -> anyhow::Result<bool> {
        if let Some(rejects) = &mut self.rejects {
            rejects.accept(items.head())?;
        }
        self.session.begin_file(if items.head().is_some() { Scope::All } else { Scope::Unnumbered });
        self.report.warnings.extend(self.observations.begin(file));
        if !items.unmapped().is_empty() {
            let columns = listed(items.unmapped());
            self.report.warnings.push(format!("{file}: columns that are not imported: {columns}"));
        }
        Ok(self.rejects.is_some())
    }

    /// Adds the next record, and writes the batch if it is full.
    pub(super) async fn add(&mut self, file: &Arc<str>, item: Item) -> anyhow::Result<()> {
        let Item { line, number, bytes, mut record, raw, .. } = item;
        let mut observation = record.as_ref().map(|record| self.observations.examine(record, line)).unwrap_or_default();
        self.card_numbers += u64::from(observation.may_be_card_number);
        if observation.may_be_card_number && self.refuses_card_numbers {
            let text = "may be the number of a payment card, which --refuse-card-numbers refuses";
            record = Err(Error::field(Reason::CardNumberNotMasked, "access_token", text));
        }
        if let Some(error) = self.check_repetition(&record, line, number)? {
            // The error names the first record itself.
            observation = Observation::default();
            record = Err(error);
        }
        let location = Location { file: Arc::clone(file), line, number };
        self.session.add(RecordPlace { location, observation, raw }, record);
        self.batch_bytes += bytes;
        if self.session.is_full(self.batch_bytes) { self.flush().await } else { Ok(()) }
    }

    /// Returns the error of a record that has the code or the identifier of an earlier one of its file. In JSON, records with an id or a
    /// number may repeat both.
    fn check_repetition(
        &mut self,
        record: &Result<Record, Error>,
        line: usize,
        number: Option<usize>,
    ) -> anyhow::Result<Option<Error>> {
        let Ok(record) = record else { return Ok(None) };
        let describe = |place| match unpack_place(place) {
            (line, 0) => format!("line {line}"),
            (line, number) => format!("line {line}, record {number}"),
        };
        let checked = self.session.check_repetition(record, pack_place(line, number.unwrap_or(0)), describe);
        Ok(checked.context("a temporary file for the codes of the import")?.err())
    }

    /// Writes the batch. An error does not concern a single record, but is for example an unavailable database.
    async fn flush(&mut self) -> anyhow::Result<()> {
        self.batch_bytes = 0;
        let Some(first) = self.session.batch_start() else { return Ok(()) };
        let Location { file, line, .. } = &first.location;
        let stopped = format!("{file}:{line}: {}", stopped(self.session.only_checks()));
        let (importer, caller) = (&self.context.importer, &self.caller);
        let results = self.session.write_batch(importer, caller).await.map_err(to_anyhow).context(stopped)?;
        self.count_all(results)?;
        let importer = &self.context.importer;
        while let Some(results) = self.session.make_room(importer, &self.caller).await.map_err(to_anyhow)? {
            self.count_all(results)?;
        }
        self.progress.set_message(format!(
            "{} records, {} bad",
            self.report.counts.records(),
            self.report.counts.failed
        ));
        Ok(())
    }

    fn count_all(&mut self, results: Vec<ItemResult<RecordPlace>>) -> anyhow::Result<()> {
        for ItemResult { place, kind, result } in results {
            match result {
                Ok((outcome, _)) => {
                    let is_new = outcome == Outcome::Created && kind == Some(Kind::AccessToken);
                    self.assumed_states += u64::from(is_new && place.observation.assumes_state);
                    self.report.count(outcome);
                }
                Err(error) => self.fail(&place, &error)?,
            }
        }
        // The refused records are in their file before they are counted: an interruption reports the counts, and does not flush.
        if let Some(rejects) = &mut self.rejects {
            rejects.flush().context("--rejects")?;
        }
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = self.report.counts;
        Ok(())
    }

    /// Writes the last batch and the waiting records. Returns the report.
    pub(super) async fn finish(mut self) -> anyhow::Result<Report> {
        self.flush().await?;
        let importer = &self.context.importer;
        while let Some(results) = self.session.finish_next(importer, &self.caller).await.map_err(to_anyhow)? {
            self.count_all(results)?;
            anyhow::ensure!(databases::interruption().is_none(), "interrupted");
        }
        anyhow::ensure!(!self.session.has_waiting_records(), "the import has a record without a result");
        let warnings = &mut self.report.warnings;
        warnings.extend(self.observations.end());
        if self.assumed_states > 0 {
            let text = "new access tokens have no state in the file: EFFECTIVE was assumed";
            warnings.push(format!("{} {text}", self.assumed_states));
        }
        if self.card_numbers > 0 {
            let help = if self.refuses_card_numbers { "" } else { " (--refuse-card-numbers refuses them)" };
            warnings.push(format!("{} codes may be payment card numbers{help}", self.card_numbers));
        }
        warnings.extend(summary(self.session.tally()));
        if let Some((count, name)) = self.rejects.take().map(Rejects::finish).transpose()?.flatten() {
            warnings.push(format!("{count} refused records are in {name}: mend and import it"));
        }
        Ok(self.report)
    }

    fn fail(&mut self, place: &RecordPlace, error: &Error) -> anyhow::Result<()> {
        let Location { file, line, .. } = &place.location;
        let mut text = message(error);
        let is_taken =
            matches!(error.reason(), Reason::AuthenticationCodeAlreadyExists | Reason::IdentifierAlreadyExists);
        if is_taken && let Some(other) = self.observations.other(&place.observation, file, *line) {
            text = format!("{text}; see {other}");
        }
        if let Some(rejects) = &mut self.rejects {
            let reason = format!("{file}:{line}: {text}");
            rejects.write(place.raw.as_ref(), &reason).context("--rejects")?;
        }
        if let Some(line) = self.report.fail(&place.location, error, &text) {
            // A closed pipe must not end the import.
            self.progress.suspend(|| drop(writeln!(io::stderr(), "{line}")));
        }
        Ok(())
    }
}

/// Describes the effect of an import or a check that stopped early.
pub(super) fn stopped(checks: bool) -> &'static str {
    if checks {
        "stopped; what came before was checked, nothing is written"
    } else {
        "stopped; what came before is in, importing again is safe"
    }
}

/// Returns the number of imported records, and how to continue, for an import that a signal ends.
fn interrupted(counts: Counts, check: bool) -> String {
    let (records, Counts { created, updated, failed, .. }) = (counts.records(), counts);
    if check {
        return format!("the check was interrupted after {records} records; nothing was written");
    }
    let written = created + updated;
    format!(
        "the import was interrupted after {records} records: {written} are written ({created} created, {updated} updated), \
         {failed} failed. The batch after them, at most {BATCH_RECORDS} records, is written as a whole or not at all. \
         To continue, import the same files again: records that are in change nothing"
    )
}

/// Registers the report of an import that a signal ends. The caller keeps the counts up to date.
fn report_interruption(check: bool, progress: &ProgressBar) -> Arc<Mutex<Counts>> {
    let done = Arc::<Mutex<Counts>>::default();
    let (counts, progress) = (Arc::clone(&done), progress.clone());
    databases::set_report(move || {
        progress.finish_and_clear();
        interrupted(*counts.lock().unwrap_or_else(PoisonError::into_inner), check)
    });
    done
}

/// Describes the effects of an import besides the outcomes of its records.
fn summary(tally: Tally) -> Vec<String> {
    let mut lines = Vec::new();
    let created = [
        (tally.accounts_receivable, "accounts receivable"),
        (tally.rewards_participants, "rewards participants"),
        (tally.classifications, "classifications"),
    ];
    let created: Vec<_> =
        created.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !created.is_empty() {
        lines.push(format!("created because records refer to them: {}", created.join(", ")));
    }
    if tally.outside_policy > 0 {
        let text = "access tokens have a code or an identifier outside of their policy; they are imported as they are";
        lines.push(format!("{} {text}", tally.outside_policy));
    }
    if tally.ignored_members > 0 {
        lines.push(format!("members of owners in saved answers that are not kept: {}", tally.ignored_members));
    }
    if tally.secrets > 0 {
        lines.push(format!("pass codes and passwords that were written: {}", tally.secrets));
    }
    if tally.kept_secrets > 0 {
        let text =
            "kept records have a pass code that was not written; --update-only and --existing=overwrite write it";
        lines.push(format!("{} {text}", tally.kept_secrets));
    }
    if tally.weak_hashes > 0 {
        lines.push(format!("weak hashes, each replaced at the first use of its secret: {}", tally.weak_hashes));
    }
    lines
}

/// Number of bits for the number of a record, in a place that is one number.
const RECORD_BITS: u32 = 24;

/// Combines a line and the number of a record in it into one number.
fn pack_place(line: usize, number: usize) -> u64 {
    ((line as u64) << RECORD_BITS) | (number as u64 & ((1 << RECORD_BITS) - 1))
}

fn unpack_place(place: u64) -> (u64, u64) {
    (place >> RECORD_BITS, place & ((1 << RECORD_BITS) - 1))
}
