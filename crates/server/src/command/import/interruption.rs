//! The report of an import that a signal ends: the number of imported records, and how to continue.

use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_grpc::import_session::BATCH_RECORDS;
use indicatif::ProgressBar;

use super::report::Counts;
use crate::databases;

/// Returns the report after these records.
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

/// Registers the report with the process. The caller keeps the counts up to date.
pub(super) fn report(check: bool, progress: &ProgressBar) -> Arc<Mutex<Counts>> {
    let done = Arc::<Mutex<Counts>>::default();
    let (counts, progress) = (Arc::clone(&done), progress.clone());
    databases::set_report(move || {
        progress.finish_and_clear();
        interrupted(*counts.lock().unwrap_or_else(PoisonError::into_inner), check)
    });
    done
}
