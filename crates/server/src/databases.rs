//! The databases that this process has open for writing, so that all of them are closed however it ends.
//!
//! A SQLite file is complete by itself only after its last connection was closed: until then, acknowledged changes may be
//! in the log beside it. Every command opens its database here, so that none of them can forget to close it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_storage::{Database, DatabaseOptions, Rights, SetupError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, oneshot};

/// Maximum time that an interrupted command gets to end by itself, after its database was closed.
const END_TIMEOUT: Duration = Duration::from_secs(1);

static STATE: SyncMutex<State> =
    SyncMutex::new(State { interruption: None, open: Vec::new(), interruptible: false, report: None });
/// Whether a signal has asked the command to stop.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// Held while a SQLite file is opened and its schema brought up to date: what is half open cannot be closed.
static OPENING: Mutex<()> = Mutex::const_new(());

struct State {
    /// The exit code of a process that a signal ends.
    interruption: Option<u8>,
    open: Vec<Arc<Database>>,
    /// Whether signals are to be watched from the moment on in which a database is opened.
    interruptible: bool,
    /// What an interrupted command says last.
    report: Option<Report>,
}

type Report = Box<dyn FnOnce() -> String + Send>;

/// Opens a database, which [`close_all`] closes if it is a SQLite file, and prepares it, such as by bringing its schema up to date.
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
    // PostgreSQL rolls back what a connection leaves, and there is nothing to wait for.
    if options.is_sqlite() {
        state().open.push(Arc::clone(&database));
    }
    prepare(&database).await?;
    drop(opening);
    Ok(database)
}

/// Says that this role may not read which steps of the schema were applied, and the cure. `None`: it may.
pub(crate) async fn missing_read_rights(database: &Database) -> Option<String> {
    let rights = database.rights().await.ok().flatten().filter(Rights::hide_the_schema)?;
    let grants = "\"PostgreSQL roles\" in docs/operations.md has the grants";
    Some(format!("the role {} may not read the tables of the service: {grants}", rights.role))
}

/// Closes the databases that were opened. Returns when they are closed; there may have been none.
pub(crate) async fn close_all() {
    let _opening = OPENING.lock().await;
    // They stay in the list: another caller waits for the same end.
    let open = state().open.clone();
    for database in open {
        database.close().await;
    }
}

/// The exit code of this process, if a signal has ended it while a database was open.
pub(crate) fn interruption() -> Option<u8> {
    state().interruption
}

/// Sets what the process says last when a signal ends it. It must not wait for anything.
pub(crate) fn set_report(report: impl FnOnce() -> String + Send + 'static) {
    state().report = Some(Box::new(report));
}

/// Forgets what the process would say last: the command has ended by itself.
pub(crate) fn clear_report() {
    state().report = None;
}

/// Takes what an interrupted command says last.
pub(crate) fn take_report() -> Option<String> {
    let report = state().report.take();
    report.map(|report| report())
}

/// Makes SIGINT and SIGTERM close the databases before the process ends. Until a database is opened they end the process at
/// once, as they do by default.
pub(crate) fn close_on_signals() {
    state().interruptible = true;
}

/// Waits for the first of SIGINT and SIGTERM, and returns the exit code for it. A second signal ends the process at once: a task of
/// its own waits for it, so that a command that blocks its thread does not delay it.
pub(crate) async fn interrupted() -> u8 {
    // Without handlers the signals end the process, as they do by default.
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

/// Returns whether [`interrupted`] has received a signal. For loops that block the thread.
pub(crate) fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// Sets the exit code of a command that has stopped because of a signal.
pub(crate) fn stopped_with(code: u8) {
    state().interruption = Some(code);
}

/// Ends the process at the first signal: the database finishes the transaction that runs and refuses later ones. Does not wait for
/// the command, which may be blocked in reading its standard input. A second signal ends the process at once.
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

/// Answers the exit code that shells give to a process which the signal has ended.
async fn first_signal(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
