//! Checks whether the write-ahead log beside a SQLite file belongs to the file.
//!
//! SQLite applies every log that it finds to the file beside it. If a copy was put in the place of a file whose process
//! was killed, that destroys the copy, or silently undoes its content. Therefore each opening of a completely closed
//! file gives the file a new random number, its generation. The generation is in the header of the file
//! (`user_version`) and in a small file beside it (`-generation`), which is removed when the file is closed completely.
//! A log that exists at a start belongs to the file if the two numbers are equal.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::options::SetupError;
use crate::sqlite::{self, BUSY_TIMEOUT, beside, checkpoint, file_error, has_log, is_at, open_locked};

/// Suffix of the file that holds the generation.
pub(crate) const SUFFIX: &str = "-generation";
/// Size of the header of a log in bytes. A log that is not longer contains no change.
const LOG_HEADER_BYTES: u64 = 32;
/// Number of bytes of the header of a SQLite file that are read here.
const HEADER_BYTES: usize = 64;
/// Offset of the journal version in the header: 1 without a write-ahead log, 2 with one.
const JOURNAL_OFFSET: usize = 18;
/// Offset of `user_version` in the header.
const GENERATION_OFFSET: usize = 60;
/// Maximum size in bytes of the file that holds the generation: two numbers of ten digits and their line ends.
const MAX_FILE_BYTES: u64 = 64;

/// Values of the header of a SQLite file.
struct Header {
    generation: u32,
    /// Whether the file was written with a write-ahead log. A copy by `VACUUM INTO` was not, until it is opened.
    logged: bool,
}

impl Header {
    /// Reads the header. `None`: the file does not exist or is empty.
    fn read(file: &Path) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES];
        match File::open(file).and_then(|mut file| file.read_exact(&mut bytes)) {
            Ok(()) => {}
            Err(error) if [ErrorKind::NotFound, ErrorKind::UnexpectedEof].contains(&error.kind()) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut generation = [0; 4];
        generation.copy_from_slice(&bytes[GENERATION_OFFSET..]);
        Ok(Some(Self { generation: u32::from_be_bytes(generation), logged: bytes[JOURNAL_OFFSET] == 2 }))
    }
}

/// Returns the length of the log beside a file in bytes; 0 if there is none.
fn log_length(file: &Path) -> u64 {
    fs::metadata(beside(file, "-wal")).map_or(0, |log| log.len())
}

/// Refuses a file beside the log of another file. Changes nothing.
pub(crate) fn check(file: &Path) -> Result<(), SetupError> {
    let path = beside(file, SUFFIX);
    let known = match File::open(&path) {
        Ok(mut known) => {
            // Waits while another process writes a new generation.
            known.lock_shared().map_err(|error| file_error("locked", &path, &error))?;
            read(&mut known).map_err(|error| file_error("read", &path, &error))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(file_error("read", &path, &error)),
    };
    compare(file, &known)
}

/// Compares the file with its log. `known` are the generations that the file may have; it is empty if they are not
/// known, as after a crash of a version that wrote none.
fn compare(file: &Path, known: &[u32]) -> Result<(), SetupError> {
    if log_length(file) <= LOG_HEADER_BYTES {
        return Ok(());
    }
    let why = match Header::read(file).map_err(|error| file_error("read", file, &error))? {
        None => "the file is empty or missing, and the log is not",
        Some(Header { logged: false, .. }) => {
            "the file is a copy that was made without a log, and was not opened since"
        }
        Some(header) if !known.is_empty() && !known.contains(&header.generation) => {
            "the file is not the one that the log was written for"
        }
        Some(_) => return Ok(()),
    };
    Err(SetupError::ForeignLog { file: file.to_owned(), why })
}

/// Refuses a file with the log of another file, and gives a completely closed file a new generation. The file must
/// exist; it may be empty. The log of such a file stays until the returned connection is dropped, after the connections
/// of the service are open.
pub(crate) fn begin(file: &Path) -> Result<Option<Connection>, SetupError> {
    let path = beside(file, SUFFIX);
    let mut known = open_locked(&path, |file| file.lock().map_err(|error| file_error("locked", &path, &error)))?;
    let unreadable = |error: io::Error| file_error("written", &path, &error);
    let generations = read(&mut known).map_err(unreadable)?;
    compare(file, &generations)?;
    if has_log(file) {
        // Another process has the file open, or was killed while it was open.
        return Ok(None);
    }
    let failed = |error: rusqlite::Error| sqlite::setup_failure(file, false, &error.into());
    let connection = sqlite::open(file, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT, 0).map_err(failed)?;
    let current = Header::read(file).map_err(|error| file_error("read", file, &error))?;
    let current = current.map_or(0, |header| header.generation);
    let next = generation(&connection, current).map_err(failed)?;
    // Until the checkpoint the file may have either generation.
    write(&mut known, &[current, next]).map_err(unreadable)?;
    match store(&connection, next) {
        Ok(true) => write(&mut known, &[next]).map_err(unreadable)?,
        Ok(false) => {}
        Err(error) => {
            // A file that cannot be written stays unchanged.
            drop(connection);
            let _ = fs::remove_file(&path);
            return Err(failed(error));
        }
    }
    Ok(Some(connection))
}

/// Writes the generation into the header. Returns whether it is in the file itself, and not only in its log.
fn store(connection: &Connection, generation: u32) -> rusqlite::Result<bool> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "user_version", generation.cast_signed())?;
    checkpoint(connection)
}

/// Returns a random number that is neither the current one nor 0. Files that this service has never opened have 0.
fn generation(connection: &Connection, current: u32) -> rusqlite::Result<u32> {
    loop {
        let random: i64 = connection.query_row("SELECT random()", [], |row| row.get(0))?;
        let next = u32::try_from(random.rem_euclid(1 << 32)).unwrap_or_default();
        if next != 0 && next != current {
            return Ok(next);
        }
    }
}

/// Removes the generation of a completely closed file, which this process or the last one of several has closed.
pub(crate) fn end(file: &Path) {
    let path = beside(file, SUFFIX);
    let Ok(known) = File::options().read(true).write(true).open(&path) else { return };
    if known.lock().is_ok() && is_at(&known, &path) && !has_log(file) {
        // A generation that cannot be removed has no effect on a file without a log.
        let _ = fs::remove_file(&path);
    }
}

/// Reports whether a file has tables, including those in its log.
pub fn has_tables(file: &Path) -> Result<bool, SetupError> {
    check(file)?;
    if fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        return Ok(false);
    }
    let log = has_log(file);
    let failed = |error: rusqlite::Error| sqlite::setup_failure(file, log, &error.into());
    let connection = sqlite::open_unchanged(file).map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    Ok(tables > 0)
}

fn read(file: &mut File) -> io::Result<Vec<u32>> {
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    // A line that a power cut has left unfinished is not a number.
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn write(file: &mut File, generations: &[u32]) -> io::Result<()> {
    let text: String = generations.iter().map(|generation| format!("{generation:010}\n")).collect();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sqlite::create_private;

    /// A file in its own directory, with the changes of a killed process in its log.
    fn killed(folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        create_private(&file).expect("made");
        let opening = begin(&file).expect("opened");
        let connection = opening.as_ref().expect("a new generation");
        connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").expect("written");
        let saved: Vec<_> = ["", "-wal", SUFFIX].map(|ending| fs::read(beside(&file, ending)).expect("a file")).into();
        drop(opening);
        for (ending, bytes) in ["", "-wal", SUFFIX].into_iter().zip(saved) {
            fs::write(beside(&file, ending), bytes).expect("written");
        }
        file
    }

    #[test]
    fn a_log_is_played_into_its_own_file_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = killed(folder.path(), "a.db");
        check(&file).expect("its own log");
        assert!(has_tables(&file).expect("readable"), "what is in the log counts");
        drop(begin(&file).expect("its own log"));

        let (file, other) = (killed(folder.path(), "b.db"), killed(folder.path(), "c.db"));
        let log = fs::read(beside(&file, "-wal")).expect("a log");
        fs::copy(&other, &file).expect("copied over");
        for refused in [check(&file).expect_err("foreign"), begin(&file).map(drop).expect_err("foreign")] {
            let said = refused.to_string();
            assert!(said.contains("b.db-wal") && said.contains("is not the one"), "{said}");
        }
        assert_eq!(fs::read(beside(&file, "-wal")).expect("a log"), log, "it is as it was");
        fs::remove_file(beside(&file, "-wal")).expect("as the error says");
        drop(begin(&file).expect("opened"));
    }

    #[test]
    fn a_copy_an_empty_file_and_a_missing_one_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = killed(folder.path(), "a.db");
        let copy = folder.path().join("copy.db");
        Connection::open(&copy).expect("a file").execute_batch("CREATE TABLE u (y)").expect("written");
        // With and without a known generation, as after a crash of an older version.
        for known in [true, false] {
            if !known {
                fs::remove_file(beside(&file, SUFFIX)).expect("removed");
            }
            fs::copy(&copy, &file).expect("copied");
            assert!(check(&file).expect_err("foreign").to_string().contains("made without a log"));
            fs::write(&file, "").expect("emptied");
            assert!(begin(&file).map(drop).expect_err("foreign").to_string().contains("empty or missing"));
        }
        fs::remove_file(&file).expect("removed");
        assert!(check(&file).expect_err("foreign").to_string().contains("empty or missing"));
    }

    #[test]
    fn every_opening_of_a_closed_file_has_a_generation_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.db");
        create_private(&file).expect("made");
        let mut seen = Vec::new();
        for _ in 0..5 {
            let opening = begin(&file).expect("opened");
            assert!(begin(&file).expect("beside it").is_none(), "it is open already");
            let header = Header::read(&file).expect("read").expect("a header");
            assert!(!seen.contains(&header.generation) && header.logged);
            assert_eq!(
                fs::read_to_string(beside(&file, SUFFIX)).expect("text"),
                format!("{:010}\n", header.generation)
            );
            seen.push(header.generation);
            end(&file);
            assert!(beside(&file, SUFFIX).exists(), "it is still open");
            drop(opening);
            end(&file);
            assert!(!beside(&file, SUFFIX).exists());
        }
    }

    #[test]
    fn processes_that_open_it_at_once_agree() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.db");
        create_private(&file).expect("made");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let opening = begin(&file).expect("opened");
                        check(&file).expect("its own log");
                        drop(opening);
                        end(&file);
                    }
                });
            }
        });
        assert!(!beside(&file, SUFFIX).exists() && !beside(&file, "-wal").exists());
    }
}
