//! Key rotation in a running process: follows the key file, replaces the ring, and derives values again.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use access_tokens_host::file_watcher::{FileWatcher, WatchEvent, poll_ticks};

use super::keys::{KeyRing, KeyRingError};

/// Time after which every server that follows a key file reads with its keys.
pub const KEY_PROPAGATION_TIME: Duration = Duration::from_secs(3);

/// Provides the current key ring. Work that has started with an earlier ring finishes with it.
pub struct KeyProvider(RwLock<Arc<KeyRing>>);

impl KeyProvider {
    /// Makes a provider with a first ring.
    pub fn new(ring: KeyRing) -> Self {
        Self(RwLock::new(Arc::new(ring)))
    }

    /// Returns the current ring.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the ring, unless it is the same. Returns whether it was another one.
    pub fn replace(&self, ring: KeyRing) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let other = !current.is_same(&ring);
        if other {
            *current = Arc::new(ring);
        }
        other
    }
}

impl std::fmt::Debug for KeyProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ring().fmt(f)
    }
}

/// A value that is derived from the current ring. It is derived again at the first use after the ring was replaced.
pub struct Derived<T> {
    keys: Arc<KeyProvider>,
    derive: fn(&KeyRing) -> T,
    current: RwLock<(Arc<KeyRing>, Arc<T>)>,
}

impl<T> Derived<T> {
    /// Derives the value from the current ring.
    pub fn new(keys: Arc<KeyProvider>, derive: fn(&KeyRing) -> T) -> Self {
        let ring = keys.ring();
        let first = Arc::new(derive(&ring));
        Self { keys, derive, current: RwLock::new((ring, first)) }
    }

    /// Returns the value of the current ring.
    pub fn get(&self) -> Arc<T> {
        {
            let ring = self.keys.ring();
            let (of, value) = &*self.current.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(of, &ring) {
                return Arc::clone(value);
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Read again under the lock, so that an older value never replaces a newer one.
        let ring = self.keys.ring();
        if !Arc::ptr_eq(&current.0, &ring) {
            let value = Arc::new((self.derive)(&ring));
            *current = (ring, value);
        }
        Arc::clone(&current.1)
    }
}

/// Follows a key file until its task ends: within a second of a change, the provider has the keys of the file. A file that
/// cannot be read, or is no key ring, changes nothing, and is reported once.
pub async fn watch_key_file(file: PathBuf, keys: Arc<KeyProvider>) {
    let mut ticks = poll_ticks();
    let mut follower = KeyFileFollower::new(file, keys);
    loop {
        ticks.tick().await;
        match follower.look() {
            KeyFileEvent::Unchanged => {}
            KeyFileEvent::Changed { before } => {
                tracing::info!(keys = ?follower.keys, ?before, "the key file changed: its keys count now");
            }
            KeyFileEvent::Recovered => tracing::info!("the key file can be read again"),
            KeyFileEvent::Failed(error) => {
                tracing::warn!(%error, "the key file changed, but cannot be used: the keys stay as they were");
            }
        }
    }
}

struct KeyFileFollower {
    path: PathBuf,
    file: FileWatcher,
    keys: Arc<KeyProvider>,
    /// Whether the file could not be used at the last look.
    failing: bool,
}

/// Result of one look at the key file, as far as it is logged.
enum KeyFileEvent {
    Unchanged,
    Changed { before: Arc<KeyRing> },
    Recovered,
    Failed(KeyRingError),
}

impl KeyFileFollower {
    fn new(path: PathBuf, keys: Arc<KeyProvider>) -> Self {
        // The file may have changed since the ring was read, so the first look loads it.
        Self { file: FileWatcher::new(vec![path.clone()]), path, keys, failing: false }
    }

    fn look(&mut self) -> KeyFileEvent {
        match self.file.look(|| KeyRing::read(&self.path)) {
            WatchEvent::Unchanged => KeyFileEvent::Unchanged,
            WatchEvent::Loaded(ring) => {
                let (before, recovered) = (self.keys.ring(), std::mem::take(&mut self.failing));
                match (self.keys.replace(ring), recovered) {
                    (true, _) => KeyFileEvent::Changed { before },
                    (false, true) => KeyFileEvent::Recovered,
                    (false, false) => KeyFileEvent::Unchanged,
                }
            }
            WatchEvent::Failed(error) => match std::mem::replace(&mut self.failing, true) {
                true => KeyFileEvent::Unchanged,
                false => KeyFileEvent::Failed(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Mutex;

    use access_tokens_domain::ports::{HashWork, Purpose, Secrets, Verdict};
    use access_tokens_domain::secret::Secret;
    use access_tokens_domain::session::OrganisationKey;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::KeyedSecrets;
    use crate::keys::tests::{RING_A, RING_B, ring};
    use access_tokens_host::SystemRandom;

    fn write(path: &Path, text: &str) {
        // Renamed into place, as editors and the commands do, and with mode 0600.
        let beside = path.with_extension("new");
        fs::write(&beside, text).expect("written");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::rename(&beside, path).expect("renamed");
    }

    fn ids(keys: &KeyProvider) -> Vec<String> {
        keys.ring().ids().map(str::to_owned).collect()
    }

    async fn becomes(keys: &KeyProvider, expected: &[&str]) {
        let since = Instant::now();
        while ids(keys) != expected {
            assert!(since.elapsed() < Duration::from_secs(2), "{keys:?} after two seconds");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[test]
    fn derived_values_follow_the_ring_and_are_derived_once() {
        static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let keys = Arc::new(KeyProvider::new(ring(&[RING_A])));
        let derived = Derived::new(Arc::clone(&keys), |ring| {
            let id = ring.ids().next().expect("a key").to_owned();
            MADE.lock().expect("lock").push(id.clone());
            id
        });
        let held = derived.get();
        assert!(!keys.replace(ring(&[RING_A])), "it is the same");
        assert_eq!(*derived.get(), "a");
        assert!(keys.replace(ring(&[RING_B, RING_A])));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(*derived.get(), "b"));
            }
        });
        assert_eq!(*held, "a", "who has it keeps it");
        assert_eq!(*MADE.lock().expect("lock"), ["a", "b"]);
    }

    #[test]
    fn another_key_under_the_same_id_is_another_ring() {
        let keys = KeyProvider::new(ring(&[RING_A]));
        assert!(keys.replace(ring(&[&RING_B.replace("b ", "a ")])));
        assert!(keys.replace(ring(&[RING_A, RING_B])) && keys.replace(ring(&[RING_B, RING_A])), "order counts");
    }

    #[tokio::test]
    async fn a_changed_file_counts_within_two_seconds_and_old_hashes_still_match() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        write(&path, RING_A);
        let keys = Arc::new(KeyProvider::new(KeyRing::read(&path).expect("a ring")));
        let secrets = KeyedSecrets::live(Arc::clone(&keys), Arc::new(SystemRandom));
        let (code, subject, work) = (Secret::new("004711"), "T", HashWork::call(OrganisationKey::NONE));
        let old = secrets.hash(work, code.clone()).await.expect("hashed");
        let old_code = secrets.code_hash(Purpose::Verification, subject, &code).expect("hashed");
        let old_seal = secrets.seal(Purpose::Verification, subject, &code).expect("sealed");

        let watcher = tokio::spawn(watch_key_file(path.clone(), Arc::clone(&keys)));
        write(&path, &format!("{RING_B}\n{RING_A}\n"));
        becomes(&keys, &["b", "a"]).await;

        assert_eq!(secrets.verify(work, code.clone(), Some(old)).await.expect("compared"), Verdict::Outdated);
        assert!(secrets.code_matches(Purpose::Verification, subject, &code, Some(&old_code)));
        assert_eq!(secrets.open(Purpose::Verification, subject, &old_seal).expect("opened").expose(), "004711");
        assert!(secrets.hash(work, code.clone()).await.expect("hashed").as_stored().contains("keyid=Yg"));
        assert!(secrets.code_hash(Purpose::ApiKey, subject, &code).expect("hashed").as_stored().starts_with("b$"));
        assert!(secrets.seal(Purpose::ApiKey, subject, &code).expect("sealed").as_stored().starts_with("b$"));
        watcher.abort();
    }

    #[tokio::test]
    async fn a_broken_or_missing_key_file_keeps_the_old_ring_and_is_reported_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        write(&path, RING_A);
        let keys = Arc::new(KeyProvider::new(ring(&[RING_A])));
        let mut follower = KeyFileFollower::new(path.clone(), Arc::clone(&keys));
        assert!(matches!(follower.look(), KeyFileEvent::Unchanged));

        write(&path, "a not-a-key\n");
        assert!(matches!(follower.look(), KeyFileEvent::Failed(_)));
        assert!(matches!(follower.look(), KeyFileEvent::Unchanged), "said once");
        for broken in ["", "# nothing\n"] {
            write(&path, broken);
            assert!(matches!(follower.look(), KeyFileEvent::Unchanged), "said once");
        }
        fs::remove_file(&path).expect("removed");
        assert!(matches!(follower.look(), KeyFileEvent::Unchanged), "said once");
        assert_eq!(ids(&keys), ["a"]);

        write(&path, RING_A);
        assert!(matches!(follower.look(), KeyFileEvent::Recovered));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(follower.look(), KeyFileEvent::Failed(_)), "said again");
        write(&path, RING_B);
        assert!(matches!(follower.look(), KeyFileEvent::Changed { before } if before.ids().eq(["a"])));
        assert_eq!(ids(&keys), ["b"]);
    }

    #[tokio::test]
    async fn a_change_before_the_start_of_the_watcher_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let keys = Arc::new(KeyProvider::new(ring(&[RING_A])));
        write(&path, RING_B);
        let watcher = tokio::spawn(watch_key_file(path, Arc::clone(&keys)));
        becomes(&keys, &["b"]).await;
        watcher.abort();
    }
}
