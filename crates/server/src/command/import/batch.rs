//! The size of a batch.

/// Maximum number of records, and of bytes, that are written in one transaction.
pub(super) const BATCH_RECORDS: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 * 1_024 * 1_024;
