//! The key ring as a file: its permissions, and its creation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use access_tokens_domain::Result;
use access_tokens_domain::ports::Random;
use access_tokens_host::files::{into_text, mode_open_to_others, open_regular, read_open};
use zeroize::Zeroizing;

use super::keys::{KeyRing, KeyRingError};

/// Maximum size of a key file, in bytes: far more than a key ring has.
const MAX_BYTES: u64 = 64 * 1_024;

impl KeyRing {
    /// Reads a key file. It must exist, and other users must not be able to read it.
    pub fn read(path: &Path) -> Result<Self, KeyRingError> {
        // The kind of the file is checked before its mode: a different mode does not help a directory.
        let file = open_regular(path).map_err(|source| read_error(path, source))?;
        // The mode of the open file is checked, so that the file cannot be exchanged between the check and the read.
        check_mode(path, &file)?;
        Self::parse(&read_text(path, &file)?)
    }

    /// Reads a key file, or makes one with mode 0600 if there is none. Returns the ring, and whether it was made.
    ///
    /// The file is created atomically. If several processes start at the same time, exactly one of them makes it.
    pub fn read_or_create(path: &Path, random: &dyn Random) -> Result<(Self, bool), KeyRingError> {
        match Self::read(path) {
            Err(KeyRingError::Missing { .. }) => {
                let created = create(path, random)?;
                Ok((Self::read(path)?, created))
            }
            other => other.map(|ring| (ring, false)),
        }
    }
}

/// Writes a new ring to a temporary file and links it to `path`. A link fails if the name is taken; a rename does not.
fn create(path: &Path, random: &dyn Random) -> Result<bool, KeyRingError> {
    let failed = |source| io_error(path, "written", source);
    let ring = KeyRing::generate(random).map_err(KeyRingError::Random)?;
    let temporary = temporary_beside(path, random)?;

    let linked = write_private(&temporary, ring.as_bytes()).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    });
    // In any case no second copy of the keys is left.
    let removed = fs::remove_file(&temporary);
    let created = linked.map_err(failed)?;
    removed.map_err(failed)?;
    sync_directory(path).map_err(failed)?;
    Ok(created)
}

/// Returns an unused name in the same directory.
pub(super) fn temporary_beside(path: &Path, random: &dyn Random) -> Result<PathBuf, KeyRingError> {
    let mut suffix = [0; 8];
    random.fill(&mut suffix).map_err(KeyRingError::Random)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(suffix)));
    Ok(path.with_file_name(name))
}

/// Reads the whole text of an open key file.
pub(super) fn read_text(path: &Path, file: &File) -> Result<Zeroizing<String>, KeyRingError> {
    read_open(file, MAX_BYTES).and_then(into_text).map_err(|source| read_error(path, source))
}

pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the new name durable: after a power cut, the keys of hashes that were stored must not be missing.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Refuses a key file that others can read.
pub(super) fn check_mode(path: &Path, file: &File) -> Result<(), KeyRingError> {
    let metadata = file.metadata().map_err(|source| read_error(path, source))?;
    match mode_open_to_others(&metadata) {
        Some(mode) => Err(KeyRingError::Permissions { path: path.display().to_string(), mode }),
        None => Ok(()),
    }
}

pub(super) fn read_error(path: &Path, source: io::Error) -> KeyRingError {
    match source.kind() {
        io::ErrorKind::NotFound => KeyRingError::Missing { path: path.display().to_string() },
        _ => io_error(path, "read", source),
    }
}

pub(super) fn io_error(path: &Path, action: &'static str, source: io::Error) -> KeyRingError {
    KeyRingError::Io { path: path.display().to_string(), action, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys::tests::RING_A;
    use access_tokens_host::SystemRandom;

    #[test]
    fn made_once_private_and_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let (first, created) = KeyRing::read_or_create(&path, &SystemRandom).expect("made");
        assert!(created);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        let (second, created) = KeyRing::read_or_create(&path, &SystemRandom).expect("read");
        assert!(!created);
        assert_eq!(first.ids().collect::<Vec<_>>(), second.ids().collect::<Vec<_>>());
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "no temporary file is left");
    }

    #[test]
    fn of_many_that_start_at_once_one_makes_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let start = || KeyRing::read_or_create(&path, &SystemRandom).expect("made or read");
        let rings: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(rings.iter().filter(|(_, created)| *created).count(), 1);
        assert!(rings.iter().all(|(ring, _)| ring.ids().eq(rings[0].0.ids())));
    }

    #[test]
    fn refused_when_others_can_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        fs::write(&path, RING_A).expect("written");
        for mode in [0o640, 0o604, 0o644, 0o660, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let error = KeyRing::read(&path).expect_err("refused").to_string();
            assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            KeyRing::read(&path).expect("good");
        }
    }

    #[test]
    fn a_missing_file_is_named_and_a_new_one_is_not_recommended() {
        let error = KeyRing::read(Path::new("/nowhere/keys")).expect_err("missing").to_string();
        assert!(error.contains("/nowhere/keys") && !error.contains("keys init"), "{error}");
        let error = KeyRing::read_or_create(Path::new("/nowhere/keys"), &SystemRandom).expect_err("no directory");
        assert!(error.to_string().contains("cannot be written"), "{error}");
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        let error = KeyRing::read(Path::new("/dev/zero")).expect_err("refused").to_string();
        assert!(error.contains("/dev/zero"), "{error}");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        write_private(&path, "# long\n".repeat(20_000).as_bytes()).expect("written");
        let error = KeyRing::read(&path).expect_err("refused").to_string();
        assert!(error.contains("more than 65536 bytes"), "{error}");
    }

    #[test]
    fn a_directory_and_a_fifo_are_refused_for_what_they_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        let error = KeyRing::read(&path).expect_err("refused").to_string();
        assert!(error.contains("is a directory") && !error.contains("chmod"), "{error}");
        fs::remove_dir(&path).expect("removed");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("runs").success());
        let error = KeyRing::read(&path).expect_err("refused").to_string();
        assert!(error.contains("not a regular file"), "{error}");
        assert!(!KeyRing::is_marked_used(&path));
    }

    #[test]
    fn a_bad_file_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        write_private(&path, b"a not-a-key").expect("written");
        KeyRing::read_or_create(&path, &SystemRandom).expect_err("malformed");
        assert_eq!(fs::read(&path).expect("still there"), b"a not-a-key");
    }
}
