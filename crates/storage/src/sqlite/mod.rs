//! SQLite: connections, the queue of writers, the read pool, and copies of the file.

pub mod backup;
mod connection;
pub(crate) mod generation;
pub(crate) mod read_pool;
pub(crate) mod url;
pub(crate) mod writer;

pub(crate) use connection::{
    BUSY_TIMEOUT, CHECKPOINT_PAGES, Claim, JOURNAL_SIZE_LIMIT, begin_immediate, beside, check_safe, checkpoint,
    connect_readers, connect_writer, create_new, create_private, file_error, has_log, identity, is_at, open,
    open_locked, open_unchanged, setup_failure, truncate_log,
};
