//! The databases that this process has open for writing. All of them are closed, however the process ends.
//!
//! A SQLite file is complete only after its last connection is closed. Before that, acknowledged changes may be in the log beside it. Every
//! command opens its database here, so that no command can forget to close it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_storage::{Database, DatabaseOptions, Rights, SetupError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, oneshot};

/// Maximum time that an interrupted command has to end after its database is closed.
const END_TIMEOUT: Duration = Duration::from_secs(1);

static STATE: SyncMutex<State> =
    SyncMutex::new(State { interruption: None, open: Vec::new(), interruptible: false, report: None });
/// Whether the command was asked to stop by a signal.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// Held while a SQLite file is opened and its schema is migrated: a database that is still being opened cannot be closed.
static OPENING: Mutex<()> = Mutex::const_new(());

struct State {
    /// Exit code of a process that a signal ends.
    interruption: Option<u8>,
    open: Vec<Arc<Database>>,
    /// Whether signals are watched as soon as a database is opened.
    interruptible: bool,
    /// The last message of an interrupted command.
    report: Option<Report>,
}

type Report = Box<dyn FnOnce() -> String + Send>;

/// Opens a database and prepares it, such as by migrating its schema. [`close_all`] closes it if it is a SQLite file.
pub(crate) async fn open<E: From<SetupError>>(
    options: &DatabaseOptions,
    prepare: impl AsyncFnOnce(&Database) -> Result<(), E>,
) -> Result<Arc<Database>, E> {
    let opening = if options.is_sqlite() { Some(OPENING.lock().await) } else { None };
    if std::mem::take(&mut state().interruptible) {
        let signals = signals().map_err(|error| SetupError::Database(format!("signals cannot be handled: {error}")))?;
        tokio::spawn(close_on_first_signal(signals));
    }
    let database = Arc::new(access_tokens_storage::connect(options).await?);
    // PostgreSQL rolls back what a connection leaves, so that its databases need no closing.
    if options.is_sqlite() {
        state().open.push(Arc::clone(&database));
    }
    prepare(&database).await?;
    drop(opening);
    Ok(database)
}

/// Returns that this role lacks the right to read the applied steps of the schema, with the cure. None where it has the right.
pub(crate) async fn missing_read_rights(database: &Database) -> Option<String> {
    let rights = database.rights().await.ok().flatten().filter(Rights::hide_the_schema)?;
    let grants = "\"PostgreSQL roles\" in docs/operations.md has the grants";
    Some(format!("the role {} may not read the tables of the service: {grants}", rights.role))
}

/// Closes all open databases, and returns when they are closed. There may be none.
pub(crate) async fn close_all() {
    let _opening = OPENING.lock().await;
    // The databases stay in the list, so that another caller waits for the same end.
    let open = state().open.clone();
    for database in open {
        database.close().await;
    }
}

/// Returns the exit code of this process if a signal ended it while a database was open.
pub(crate) fn interruption() -> Option<u8> {
    state().interruption
}

/// Sets the last message of a process that a signal ends. The function must not wait.
pub(crate) fn set_report(report: impl FnOnce() -> String + Send + 'static) {
    state().report = Some(Box::new(report));
}

/// Removes the last message, because the command has ended by itself.
pub(crate) fn clear_report() {
    state().report = None;
}

/// Takes the last message of an interrupted command.
pub(crate) fn take_report() -> Option<String> {
    let report = state().report.take();
    report.map(|report| report())
}

/// Makes SIGINT and SIGTERM close the databases before the process ends. Until a database is opened, signals end the process at once, as by
/// default.
pub(crate) fn close_on_signals() {
    state().interruptible = true;
}

/// Waits for the first SIGINT or SIGTERM, and returns its exit code. A second signal ends the process at once. A separate task waits for
/// it, so that a command that blocks its thread does not delay it.
pub(crate) async fn interrupted() -> u8 {
    // Without handlers the signals end the process, as by default.
    let Ok((mut interrupt, mut terminate)) = signals() else { return std::future::pending().await };
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let code = first_signal(&mut interrupt, &mut terminate).await;
        STOPPING.store(true, Ordering::Relaxed);
        let _ = sender.send(code);
        let code = first_signal(&mut interrupt, &mut terminate).await;
        std::process::exit(code.into());
    });
    match receiver.await {
        Ok(code) => code,
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// Returns whether [`interrupted`] has received a signal, for loops that block the thread.
pub(crate) fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// Sets the exit code of a command that has stopped because of a signal.
pub(crate) fn set_exit_code(code: u8) {
    state().interruption = Some(code);
}

/// Ends the process at the first signal. The database finishes the running transaction and refuses later ones. The command is not waited
/// for, because it may be blocked in reading its standard input. A second signal ends the process at once.
async fn close_on_first_signal((mut interrupt, mut terminate): (Signal, Signal)) {
    let code = first_signal(&mut interrupt, &mut terminate).await;
    state().interruption = Some(code);
    eprintln!("interrupted: what was acknowledged stays, what is under way is finished or undone as a whole");
    tokio::select! {
        () = async {
            close_all().await;
            tokio::time::sleep(END_TIMEOUT).await;
        } => {}
        _ = first_signal(&mut interrupt, &mut terminate) => {}
    }
    if let Some(report) = take_report() {
        eprintln!("{report}");
    }
    std::process::exit(code.into());
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

/// Returns the exit code that shells give to a process that the signal ends.
async fn first_signal(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
