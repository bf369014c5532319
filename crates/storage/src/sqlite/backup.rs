//! Copies of a SQLite file: a backup while it is served, and a restore into its place.
//!
//! A copy appears complete and durable, or not at all; no file is overwritten. A copy contains one state of the
//! database, later than everything that was acknowledged before the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::oneshot;

use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError};
use crate::sqlite::generation;
use crate::sqlite::url;
use crate::sqlite::{self, BUSY_TIMEOUT, Claim, beside};

/// Time between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Number of bytes that are read at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Suffixes of the files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Reason why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database is not a SQLite file.
    #[error("the database is not a SQLite file")]
    NotSqlite,
    /// The name of the target exists.
    #[error("{} exists; it was left as it is", .0.display())]
    Exists(PathBuf),
    /// A process serves the file, or works on it.
    #[error("{} is in use: stop the server or command that holds it first", .0.display())]
    InUse(PathBuf),
    /// The source was made by copying the file of a database in use, without the content of its log.
    #[error("{} has a log beside it ({}): it is no finished copy; `access-tokens backup` makes one", .0.display(), .1)]
    Unfinished(PathBuf, &'static str),
    /// A file cannot be read or written.
    #[error("{path} cannot be {action}: {source}")]
    Io {
        /// The path.
        path: String,
        /// `read`, `written` and the like.
        action: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// SQLite refused the copy.
    #[error("SQLite cannot copy the database: {0}")]
    Database(String),
    /// The caller asked to stop. The target was not created.
    #[error("stopped")]
    Stopped,
    /// The URL is not valid, or the file is served.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

type Result<T, E = CopyError> = std::result::Result<T, E>;

/// Receives the number of copied bytes, and the total number of bytes as far as it is known.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// A copy under a temporary name. It is deleted on drop.
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
}

/// The path of a database that no process can serve until this is dropped.
pub struct RestoreTarget {
    file: PathBuf,
    _claim: Claim,
}

/// Returns the file of a SQLite database.
pub fn sqlite_file(options: &DatabaseOptions) -> Result<PathBuf> {
    if !url::accepts(&options.url) {
        return Err(CopyError::NotSqlite);
    }
    Ok(url::check_url(&options.url)?)
}

/// Copies a database, which may be in use, to a draft of `target`, and makes it durable.
///
/// While SQLite reads the database it cannot empty the log, so that the log grows by all concurrent writes.
pub async fn backup(options: &DatabaseOptions, target: &Path, progress: Progress<'_>) -> Result<Draft> {
    let file = sqlite_file(options)?;
    if target.symlink_metadata().is_ok() {
        return Err(CopyError::Exists(target.to_owned()));
    }
    // The last connection that closes moves the log into the file.
    generation::check(&file)?;
    let draft = Draft::new(target)?;
    let path = draft.path.to_str().ok_or_else(|| SetupError::Url(format!("{} is not UTF-8", draft.path.display())))?;
    let (total, mut copy) = CopyThread::start(&file, path.to_owned())?;
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            // An error means that the thread has ended.
            done = &mut copy.done => {
                done.map_err(|_| CopyError::Database("the copy broke off".to_owned()))??;
                break;
            }
            _ = ticks.tick() => progress(fs::metadata(&draft.path).map_or(0, |draft| draft.len()).min(total), total),
        }
    }
    drop(copy);
    draft.sync()?;
    Ok(draft)
}

/// A copy that runs on its own thread. On drop it is interrupted and its connection is closed: a connection that is not
/// closed leaves a log beside the file.
struct CopyThread {
    done: oneshot::Receiver<Result<()>>,
    interrupt: InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

impl CopyThread {
    /// Starts the thread. Returns the size of the source in bytes, and the copy.
    fn start(file: &Path, target: String) -> Result<(u64, Self)> {
        let refused = |error: rusqlite::Error| CopyError::Database(Failure::from(error).to_string());
        let connection = open(file).map_err(refused)?;
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(refused);
        let total = number("page_count")?.unsigned_abs().saturating_mul(number("page_size")?.unsigned_abs());
        let (interrupt, (send, done)) = (connection.get_interrupt_handle(), oneshot::channel());
        let copy = move || {
            let copied = connection.execute("VACUUM INTO ?1", [target]).map(drop);
            let closed = connection.close().map_err(|(_, error)| error);
            let _ = send.send(copied.and(closed).map_err(refused));
        };
        let thread = std::thread::Builder::new().name("sqlite-copy".to_owned()).spawn(copy);
        let thread = thread.map_err(|error| CopyError::Database(format!("no thread to copy with: {error}")))?;
        Ok((total, Self { done, interrupt, thread: Some(thread) }))
    }
}

impl Drop for CopyThread {
    fn drop(&mut self) {
        self.interrupt.interrupt();
        // Takes milliseconds: SQLite checks for an interruption all the time.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Refuses a file that is only a part of a database: its log may contain acknowledged commits.
pub fn require_finished(file: &Path) -> Result<()> {
    let log = COMPANIONS.iter().find(|ending| fs::metadata(beside(file, ending)).is_ok_and(|log| log.len() > 0));
    match log {
        Some(ending) => Err(CopyError::Unfinished(file.to_owned(), ending)),
        None => Ok(()),
    }
}

impl Draft {
    fn new(target: &Path) -> Result<Self> {
        let path = beside(target, &format!(".{}.new", std::process::id()));
        sqlite::create_new(&path).map_err(|error| failed(&path, "created", error))?;
        Ok(Self { path, target: target.to_owned() })
    }

    /// Copies a finished copy unchanged. Ends early, with an error, when `stop` returns `true`.
    pub fn of(source: &Path, target: &Path, progress: Progress<'_>, stop: &dyn Fn() -> bool) -> Result<Self> {
        let mut from = File::open(source).map_err(|error| failed(source, "read", error))?;
        let total = from.metadata().map_err(|error| failed(source, "read", error))?.len();
        let draft = Self::new(target)?;
        let written = |error| failed(&draft.path, "written", error);
        let mut to = OpenOptions::new().write(true).open(&draft.path).map_err(written)?;
        let (mut chunk, mut done) = (vec![0; CHUNK_BYTES], 0);
        loop {
            let bytes = from.read(&mut chunk).map_err(|error| failed(source, "read", error))?;
            if bytes == 0 {
                break;
            }
            to.write_all(&chunk[..bytes]).map_err(written)?;
            done += bytes as u64;
            progress(done, total);
            if stop() {
                return Err(CopyError::Stopped);
            }
        }
        drop(to);
        draft.sync()?;
        Ok(draft)
    }

    /// Returns the temporary path, for checks of the copy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn sync(&self) -> Result<()> {
        let synced = File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|error| failed(&self.path, "written", error))
    }

    /// Gives the copy its name. It uses a hard link, which fails if the name exists; a rename would overwrite the file.
    pub fn publish(self) -> Result<()> {
        match fs::hard_link(&self.path, &self.target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(CopyError::Exists(self.target.clone())),
            linked => {
                linked.and_then(|()| sync_directory(&self.target)).map_err(|e| failed(&self.target, "written", e))
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl RestoreTarget {
    /// Claims the path, so that no process can serve it. Refuses the path of a file that is served.
    pub fn claim(options: &DatabaseOptions) -> Result<Self> {
        let file = sqlite_file(options)?;
        let claim = Claim::new(&file)?;
        Ok(Self { file, _claim: claim })
    }

    /// Returns the path of the file, which need not exist.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reports whether the file exists.
    pub fn is_taken(&self) -> bool {
        self.file.symlink_metadata().is_ok()
    }

    /// Renames the existing file, with all files that belong to it, to a name that ends in `.<suffix>`. Returns that
    /// name, or `None` if no file existed.
    ///
    /// The log is moved first, because SQLite would apply a log that is left to the next file with this name.
    pub fn clear(&self, suffix: &str) -> Result<Option<PathBuf>> {
        let aside = beside(&self.file, &format!(".{suffix}"));
        if aside.symlink_metadata().is_ok() {
            return Err(CopyError::Exists(aside));
        }
        // A damaged file is often the reason for a restore: it is moved unchanged. So is a file beside the log of
        // another file.
        let own_log = generation::check(&self.file).is_ok();
        match self.is_taken() && own_log {
            true if checkpoint_log(&self.file) == Some(false) => return Err(CopyError::InUse(self.file.clone())),
            true => generation::end(&self.file),
            false => {}
        }
        for ending in COMPANIONS.into_iter().chain([generation::SUFFIX]) {
            let (from, to) = (beside(&self.file, ending), beside(&aside, ending));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(|error| failed(&from, "renamed", error))?,
            }
        }
        let moved = self.is_taken();
        if moved {
            fs::rename(&self.file, &aside).map_err(|error| failed(&self.file, "renamed", error))?;
        }
        sync_directory(&self.file).map_err(|error| failed(&self.file, "renamed", error))?;
        Ok(moved.then_some(aside))
    }
}

/// Moves the content of the log into the file. `Some(false)`: another connection uses the file. `None`: the file cannot
/// be read.
fn checkpoint_log(file: &Path) -> Option<bool> {
    let connection = open(file).ok()?;
    let emptied = sqlite::checkpoint(&connection).ok()?;
    connection.close().ok()?;
    Some(emptied)
}

/// Opens a connection that changes nothing by itself. It is opened for writing, because a file in use is read through
/// shared memory.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    sqlite::open(file, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT, 0)
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> CopyError {
    CopyError::Io { path: path.display().to_string(), action, source }
}

/// Makes a name durable by flushing its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
