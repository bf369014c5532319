//! Notices that a file which an operator names was written or replaced.

use std::fs::Metadata;
use std::time::Duration;

/// Time between two looks at a file. Commands that change the key file count on it.
pub const POLL: Duration = Duration::from_secs(1);

/// What changes whenever a file is written or replaced: its length, times, and place.
pub type Mark = (u64, [i64; 4], [u64; 2]);

/// The mark of a file.
#[cfg(unix)]
pub fn mark(metadata: &Metadata) -> Mark {
    use std::os::unix::fs::MetadataExt;

    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    (metadata.len(), times, [metadata.dev(), metadata.ino()])
}

/// The mark of a file.
#[cfg(not(unix))]
pub(crate) fn mark(metadata: &Metadata) -> Mark {
    let modified = metadata.modified().ok().map(chrono::DateTime::<chrono::Utc>::from);
    (metadata.len(), [modified.map_or(0, |time| time.timestamp_micros()), 0, 0, 0], [0, 0])
}
