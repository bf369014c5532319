//! Checks whether the database can be written, and whether there is room for it.

use std::path::Path;

use access_tokens_storage::{ConnectionCapacity, Database};
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;

use super::database::{cure_of, error_text};
use super::report::Report;
use crate::config::Settings;

const CHECK: &str = "space";

/// Maximum size of the log beside a SQLite file, in bytes. With less free space, writes soon fail.
const MIN_FREE_BYTES: u64 = 64 * 1_024 * 1_024;

/// Checks a SQLite file, its directory, and the free space of the disk.
pub(super) fn check_file(settings: &Settings, report: &mut Report) {
    let Some(file) = settings.database.sqlite_file() else { return };
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        let message = format!("the directory {} of the database does not exist", directory.display());
        return report.problem(
            CHECK,
            message,
            format!("mkdir -p {}, for the user of the service", directory.display()),
        );
    }
    let mut writable = true;
    for (path, what) in [(file, "the database"), (directory, "the directory of the database, where its log has to be")]
    {
        if !path.exists() {
            continue;
        }
        let refused = match access(path, Access::WRITE_OK) {
            Ok(()) => continue,
            Err(error) => error,
        };
        writable = false;
        let (message, shown) = (format!("{what} ({}) cannot be written: {refused}", path.display()), path.display());
        let cure = match refused {
            Errno::ROFS => "mount the file system for writing, or point database.url at another one".to_owned(),
            Errno::PERM => format!("chattr -i {shown}"),
            _ => format!("let the user of the service write it: chown that user {shown}, and chmod u+w {shown}"),
        };
        report.problem(CHECK, message, cure);
    }
    let Ok(disk) = statvfs(directory) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = file.metadata().map_or(0, |file| file.len());
    let message = format!("{} free where the database of {} is", mebibytes(free), mebibytes(size));
    let cure = "make room on that disk, or move the database to a larger one while the service is stopped";
    if free < MIN_FREE_BYTES {
        report.problem(CHECK, format!("{message}: too little for its log, so that writes fail"), cure);
    } else if free < size.saturating_add(MIN_FREE_BYTES) {
        report.warning(CHECK, format!("{message}: too little for a backup beside it"), cure);
    } else if writable {
        report.ok(CHECK, message);
    }
}

/// Compares the connections that PostgreSQL allows with those that the replicas of the service use.
pub(super) async fn check_connections(database: &Database, settings: &Settings, report: &mut Report) {
    const CHECK: &str = "connections";
    let room = match database.connection_capacity().await {
        Ok(Some(room)) => room,
        Ok(None) => return,
        Err(error) => {
            let error = error_text(error);
            let cure = cure_of(&error, report.deep);
            return report.problem(CHECK, format!("they cannot be counted: {error}"), cure);
        }
    };
    let connections = settings.database.max_connections;
    let (running, fit) = (room.processes.max(1), room.processes_that_fit(connections));
    let message = format!(
        "PostgreSQL gives this role {} connections, others use {}; a replica takes up to {}: {fit} replicas fit, and {} run now",
        room.available,
        room.others,
        ConnectionCapacity::per_process(connections),
        room.processes
    );
    let cure = "raise max_connections of the server (or the limit of the role or the database), lower database.max_connections, or \
                run fewer replicas";
    if fit < running {
        report.problem(CHECK, format!("{message}: calls fail when all of them are busy"), cure);
    } else if fit == running {
        report.warning(CHECK, format!("{message}: there is no room for one more during a roll-out"), cure);
    } else {
        report.ok(CHECK, message);
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1_024 * 1_024))
}
