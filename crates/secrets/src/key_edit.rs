//! Changes of the key file while servers read it: atomic, one at a time, and readable by the owner only.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use access_tokens_domain::ports::{Clock, Random};
use access_tokens_host::files::open_regular;
use access_tokens_host::system::SystemClock;
use zeroize::Zeroizing;

use super::key_file::{check_mode, io_error, read_error, read_text, sync_directory, temporary_beside, write_private};
use super::keys::{KeyRing, KeyRingError};
use super::ring_text;

type Edited = Result<Zeroizing<String>, KeyRingError>;

impl KeyRing {
    /// Adds a new key to a key file, after all others, and returns its id. The key is read, and does not write yet.
    pub fn add_key(file: &Path, random: &dyn Random) -> Result<String, KeyRingError> {
        let (id, key) = Self::new_key(random).map_err(KeyRingError::Random)?;
        edit(file, random, |text| Ok(ring_text::note_made(&ring_text::append(text, &key), &id, SystemClock.now())))?;
        Ok(id)
    }

    /// Moves a key of a key file to the front, so that it writes from now on. Returns whether it was elsewhere before.
    pub fn promote_key(file: &Path, id: &str, random: &dyn Random) -> Result<bool, KeyRingError> {
        edit(file, random, |text| {
            if Self::parse(text)?.ids().next() == Some(id) {
                return Ok(Zeroizing::new(text.to_owned()));
            }
            let promoted = ring_text::promote(text, id).ok_or_else(|| KeyRingError::Unknown { id: id.to_owned() })?;
            Ok(ring_text::note_writes(&promoted, id, SystemClock.now()))
        })
    }

    /// Removes a key from a key file. The current key cannot be removed.
    pub fn remove_key(file: &Path, id: &str, random: &dyn Random) -> Result<(), KeyRingError> {
        edit(file, random, |text| {
            Self::parse(text)?.require_retirable(id)?;
            ring_text::remove(text, id).ok_or_else(|| KeyRingError::Unknown { id: id.to_owned() })
        })?;
        Ok(())
    }

    /// Notes in a key file that keys are permanently lost, so that a database that refers to them is served.
    pub fn note_lost(file: &Path, ids: &[String], random: &dyn Random) -> Result<(), KeyRingError> {
        edit(file, random, |text| Ok(ring_text::note_lost(text, ids))).map(drop)
    }

    /// Notes at the top of a key file that a database was opened with it. Returns whether the note is new.
    pub fn mark_used(file: &Path, random: &dyn Random) -> Result<bool, KeyRingError> {
        edit(file, random, |text| Ok(ring_text::mark_used(text)))
    }

    /// Returns whether a key file notes that a database was opened with it. A file that `keys init` has just made does
    /// not. Returns false if the file cannot be read.
    pub fn is_marked_used(file: &Path) -> bool {
        let read = open_regular(file).map_err(|source| read_error(file, source));
        read.and_then(|open| read_text(file, &open)).is_ok_and(|text| ring_text::is_marked_used(&text))
    }

    /// Refuses the current key, and a key that does not exist.
    pub fn require_retirable(&self, id: &str) -> Result<(), KeyRingError> {
        match self.ids().position(|other| other == id) {
            Some(0) => Err(KeyRingError::Writes { id: id.to_owned() }),
            Some(_) => Ok(()),
            None => Err(KeyRingError::Unknown { id: id.to_owned() }),
        }
    }
}

/// Replaces the text of a key file by the changed text, if they differ. Returns whether they differ. Nothing is written
/// unless the result is a valid ring.
fn edit(file: &Path, random: &dyn Random, change: impl FnOnce(&str) -> Edited) -> Result<bool, KeyRingError> {
    // A symbolic link is kept: its target is replaced.
    let path = fs::canonicalize(file).map_err(|source| read_error(file, source))?;
    open_regular(&path).map_err(|source| read_error(file, source))?;
    let locked = lock(&path).map_err(|source| io_error(file, "locked", source))?;
    check_mode(file, &locked)?;
    let text = read_text(file, &locked)?;
    KeyRing::parse(&text)?;
    let changed = change(&text)?;
    if *changed == *text {
        return Ok(false);
    }
    KeyRing::parse(&changed)?;
    let temporary = temporary_beside(&path, random)?;
    replace(&path, &temporary, &locked, changed.as_bytes()).map_err(|source| io_error(file, "written", source))?;
    Ok(true)
}

/// Opens the file and locks it against other commands: if two commands add a key at the same time, both keys must stay.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let writable = OpenOptions::new().read(true).write(true).open(path);
        // A read-only file can still be replaced through its directory. NFS locks writable files only.
        let file = writable.or_else(|_| File::open(path))?;
        file.lock()?;
        // Another command may have replaced the file before it released the lock.
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// Writes a temporary file beside the file and renames it over the file. If anything fails, the file is unchanged and
/// no temporary file is left.
fn replace(path: &Path, temporary: &Path, old: &File, bytes: &[u8]) -> io::Result<()> {
    let written = write_private(temporary, bytes)
        .and_then(|()| keep_owner(old, temporary))
        .and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        // The first error is more useful than an error of this removal. If the file was not made, there is nothing to
        // remove.
        let _ = fs::remove_file(temporary);
    }
    written?;
    sync_directory(path)
}

/// Keeps the owner of the file: an administrator may rotate the keys of a service that runs as another user, which must
/// still be able to read them.
fn keep_owner(old: &File, temporary: &Path) -> io::Result<()> {
    let (old, new) = (old.metadata()?, fs::metadata(temporary)?);
    if old.uid() == new.uid() { Ok(()) } else { chown(temporary, Some(old.uid()), Some(old.gid())) }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::keys::tests::{RING_A, RING_B};
    use access_tokens_host::SystemRandom;

    fn key_file(text: &str) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        write_private(&path, text.as_bytes()).expect("written");
        (directory, path)
    }

    fn ids(path: &Path) -> Vec<String> {
        KeyRing::read(path).expect("a ring").ids().map(str::to_owned).collect()
    }

    fn alone(directory: &TempDir) -> bool {
        fs::read_dir(directory.path()).expect("a directory").count() == 1
    }

    #[test]
    fn a_rotation_keeps_comments_mode_and_old_keys() {
        let (directory, path) = key_file(&format!("# head\n\n{RING_A}\n# tail\n"));
        let id = KeyRing::add_key(&path, &SystemRandom).expect("added");
        assert_eq!(ids(&path), ["a", &id], "prepared: the old key still writes");
        assert!(KeyRing::read(&path).expect("a ring").is_prepared(&id));
        assert!(KeyRing::promote_key(&path, &id, &SystemRandom).expect("moved"));
        assert_eq!(ids(&path), [&id, "a"]);
        assert!(!KeyRing::promote_key(&path, &id, &SystemRandom).expect("nothing to do"));
        let text = fs::read_to_string(&path).expect("text");
        assert!(
            text.contains(&format!("\n# head\n\n{id} ")) && text.ends_with(&format!("\n{RING_A}\n# tail\n")),
            "{text}"
        );
        let ring = KeyRing::read(&path).expect("a ring");
        assert!(ring.writes_since().is_some() && !ring.is_prepared(&id), "{text}");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);

        KeyRing::remove_key(&path, "a", &SystemRandom).expect("removed");
        assert_eq!(ids(&path), [id]);
        assert!(alone(&directory));
    }

    #[test]
    fn refused_changes_of_the_key_file_leave_it_unchanged() {
        let text = format!("{RING_A}\n{RING_B}\n");
        let (directory, path) = key_file(&text);
        let unknown = KeyRing::promote_key(&path, "x", &SystemRandom).expect_err("refused").to_string();
        assert!(unknown.contains("no key x"), "{unknown}");
        let unknown = KeyRing::remove_key(&path, "x", &SystemRandom).expect_err("refused").to_string();
        assert!(unknown.contains("no key x"), "{unknown}");
        let writes = KeyRing::remove_key(&path, "a", &SystemRandom).expect_err("refused").to_string();
        assert!(writes.contains("new codes are made with key a"), "{writes}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let open = KeyRing::add_key(&path, &SystemRandom).expect_err("refused").to_string();
        assert!(open.contains("chmod 600"), "{open}");
        assert_eq!(fs::read_to_string(&path).expect("text"), text);
        let missing = KeyRing::add_key(&path.with_extension("no"), &SystemRandom).expect_err("refused").to_string();
        assert!(missing.contains("does not exist"), "{missing}");
        assert!(alone(&directory));
    }

    #[test]
    fn a_bad_file_is_not_touched() {
        let (directory, path) = key_file("a not-a-key\n");
        KeyRing::add_key(&path, &SystemRandom).expect_err("refused");
        assert_eq!(fs::read(&path).expect("still there"), b"a not-a-key\n");
        assert!(alone(&directory));
    }

    #[test]
    fn a_failure_leaves_no_copy_of_the_keys_behind() {
        let (directory, path) = key_file(RING_A);
        let (old, temporary) = (File::open(&path).expect("open"), path.with_extension("new"));
        // A rename over a directory fails when everything else is done.
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).expect("a directory");
        replace(&taken, &temporary, &old, RING_B.as_bytes()).expect_err("no rename");
        assert!(!temporary.exists());
        assert_eq!(fs::read_to_string(&path).expect("text"), RING_A);
    }

    #[test]
    fn a_link_stays_a_link() {
        let (directory, path) = key_file(RING_A);
        let link = directory.path().join("link");
        symlink(&path, &link).expect("a link");
        KeyRing::add_key(&link, &SystemRandom).expect("added");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(ids(&path).len(), 2);
    }

    #[test]
    fn of_many_changes_at_once_none_is_lost() {
        let (directory, path) = key_file(RING_A);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| KeyRing::add_key(&path, &SystemRandom).expect("added"));
            }
        });
        assert_eq!(ids(&path).len(), 17);
        assert!(alone(&directory));
    }
}
