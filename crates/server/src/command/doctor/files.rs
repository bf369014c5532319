//! Checks that other users cannot read the files of the service.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use access_tokens_host::files::mode_open_to_others;
use access_tokens_storage::backup::sqlite_file;

use super::report::Report;
use crate::config::Settings;

const CHECK: &str = "files";

/// Mode bits of the group and of other users.
const GROUP_AND_OTHERS: u32 = 0o077;
/// Mode bits of other users.
const OTHERS: u32 = 0o007;
/// Mode bit of a directory in which other users may exchange files, unless it is sticky.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Suffixes of the files of a SQLite database.
const SQLITE_SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

pub(super) fn check(settings: &Settings, report: &mut Report) {
    let (mut looked, mut bad) = (0, 0);
    let mut look = |path: &Path, mask: u32, what: &str, mode: &str, report: &mut Report| {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        looked += 1;
        if permissions(&metadata) & mask != 0 {
            bad += 1;
            let path = path.display();
            let message = format!("others can reach {what} {path} (mode {:04o})", permissions(&metadata));
            report.problem(CHECK, message, format!("chmod {mode} {path}"));
        }
    };
    if let Ok(file) = sqlite_file(&settings.database.options()) {
        for ending in SQLITE_SUFFIXES {
            let mut path = file.as_os_str().to_owned();
            path.push(ending);
            look(Path::new(&path), GROUP_AND_OTHERS, "the database", "600", report);
        }
        check_directory(&file, report);
    }
    // The mode of the key ring is checked when it is read.
    if settings.keys.ring.expose().is_empty() {
        check_directory(&settings.keys.file, report);
    }
    // The group may read private keys: Kubernetes and several services share certificates in this way.
    for key in tls_keys(settings) {
        look(&key, OTHERS, "the private key", "640", report);
    }
    if bad == 0 {
        report.ok(CHECK, format!("no other user can read secret files: {looked} file(s)"));
    }
}

/// Returns whether other users may read or write a file.
pub(super) fn others_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| mode_open_to_others(&metadata).is_some())
}

fn check_directory(file: &Path, report: &mut Report) {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(metadata) = std::fs::metadata(directory) else { return };
    let mode = permissions(&metadata);
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let (file, directory) = (file.display(), directory.display());
        let message = format!("other users can replace {file}: {directory} has mode {mode:04o}");
        report.problem(CHECK, message, format!("chmod o-w {directory}"));
    }
}

fn tls_keys(settings: &Settings) -> Vec<PathBuf> {
    let listeners = settings.listeners().map(|listener| &listener.tls.key);
    let upstreams = settings.upstreams().map(|(_, upstream)| &upstream.key);
    let mut keys: Vec<_> = listeners.into_iter().chain(upstreams).flatten().cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

fn permissions(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}
