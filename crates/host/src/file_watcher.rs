//! Watches files that an operator names, and notices when they were written or replaced.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Time between two looks at a file. Commands that change the key file rely on it.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Identifies one state of a file: its length, its times and its place. It changes whenever the file is written or
/// replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    length: u64,
    times: [i64; 4],
    place: [u64; 2],
}

impl Fingerprint {
    /// Returns the fingerprint of the file at a path. None while there is no such file, or while it cannot be reached.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Some(Self { length: metadata.len(), times, place: [metadata.dev(), metadata.ino()] })
    }
}

/// Result of one look at watched files.
#[derive(Debug)]
pub enum WatchEvent<T, E> {
    /// The files are as they were when they were last loaded.
    Unchanged,
    /// The files were loaded.
    Loaded(T),
    /// The files cannot be loaded. The next look tries again, even if they have not changed.
    Failed(E),
}

/// Watches files that are loaded together, such as a certificate and its key.
#[derive(Debug)]
pub struct FileWatcher {
    paths: Vec<PathBuf>,
    /// The fingerprints from just before the last load that succeeded. None: the next look loads the files.
    loaded: Option<Vec<Option<Fingerprint>>>,
}

impl FileWatcher {
    /// Watches files that may have changed since they were loaded: the first look loads them.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, loaded: None }
    }

    /// Watches files that are loaded after this call: a look loads them only if they have changed since.
    pub fn from_now(paths: Vec<PathBuf>) -> Self {
        let loaded = Some(fingerprints(&paths));
        Self { paths, loaded }
    }

    /// Looks at the files, and loads them if they have changed or if the last load failed. A failure may be mended without
    /// another fingerprint, such as a directory that could not be entered.
    pub fn look<T, E>(&mut self, load: impl FnOnce() -> Result<T, E>) -> WatchEvent<T, E> {
        // Taken before the load: a change in between is noticed at the next look.
        let now = fingerprints(&self.paths);
        if self.loaded.as_ref() == Some(&now) {
            return WatchEvent::Unchanged;
        }
        match load() {
            Ok(value) => {
                self.loaded = Some(now);
                WatchEvent::Loaded(value)
            }
            Err(error) => {
                self.loaded = None;
                WatchEvent::Failed(error)
            }
        }
    }
}

/// Returns the ticks at which files are looked at: the first at once, then one each [`POLL_INTERVAL`]. Ticks that are missed are
/// not made up for.
pub fn poll_ticks() -> Interval {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn fingerprints(paths: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    paths.iter().map(|path| Fingerprint::of(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Looks at the files. The first one must be readable.
    fn look(watcher: &mut FileWatcher) -> WatchEvent<String, ()> {
        let path = watcher.paths[0].clone();
        watcher.look(|| fs::read_to_string(path).map_err(drop))
    }

    #[test]
    fn a_change_of_any_file_loads_them_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&paths[0], "1").expect("written");
        let mut watcher = FileWatcher::from_now(paths.to_vec());
        assert!(matches!(look(&mut watcher), WatchEvent::Unchanged));
        assert!(matches!(look(&mut FileWatcher::new(paths.to_vec())), WatchEvent::Loaded(_)), "the first look loads");
        for (path, text) in [(&paths[0], "2"), (&paths[1], "2"), (&paths[0], "22")] {
            // Replaced, so that the place differs where the times do not.
            let beside = directory.path().join("new");
            fs::write(&beside, text).expect("written");
            fs::rename(&beside, path).expect("renamed");
            assert!(matches!(look(&mut watcher), WatchEvent::Loaded(_)), "{path:?}");
            assert!(matches!(look(&mut watcher), WatchEvent::Unchanged), "{path:?}");
        }
        fs::remove_file(&paths[1]).expect("removed");
        assert!(matches!(look(&mut watcher), WatchEvent::Loaded(text) if text == "22"));
    }

    #[test]
    fn a_failed_load_is_tried_again_without_a_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("one");
        let mut watcher = FileWatcher::from_now(vec![path.clone()]);
        assert!(matches!(look(&mut watcher), WatchEvent::Unchanged), "it was not there before either");
        fs::write(&path, "1").expect("written");
        assert!(matches!(watcher.look(|| Err::<(), _>("no")), WatchEvent::Failed("no")));
        assert!(matches!(watcher.look(|| Err::<(), _>("no")), WatchEvent::Failed("no")));
        assert!(matches!(look(&mut watcher), WatchEvent::Loaded(_)));
        assert!(matches!(look(&mut watcher), WatchEvent::Unchanged));
    }
}
