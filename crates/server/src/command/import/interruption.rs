//! What an import says when a signal ends it: how much of it is in, and what to do next.

use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_grpc::import_session::BATCH_RECORDS;
use indicatif::ProgressBar;

use crate::databases;

/// Counts of the batches that are done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) records: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) failed: u64,
}

impl Done {
    fn interrupted(self, check: bool) -> String {
        let Self { records, created, updated, failed } = self;
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
}

/// Sets what the process says when a signal ends it. The caller keeps the counts up to date.
pub(super) fn report(check: bool, progress: &ProgressBar) -> Arc<Mutex<Done>> {
    let done = Arc::<Mutex<Done>>::default();
    let (counts, progress) = (Arc::clone(&done), progress.clone());
    databases::set_report(move || {
        progress.finish_and_clear();
        counts.lock().unwrap_or_else(PoisonError::into_inner).interrupted(check)
    });
    done
}
