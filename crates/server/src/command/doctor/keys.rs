//! Checks whether the keys exist, and are those that the database was written with.

use std::io::ErrorKind;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::store::KeyStore;
use access_tokens_host::SystemClock;
use access_tokens_secrets::{KeyRing, KeyRingError};
use access_tokens_storage::Database;

use super::database::report_unreadable;
use super::report::Report;
use crate::command::context::{RESTORE_KEY_FILE, needed_keys};
use crate::config::Settings;
use crate::key_fit::{KeyRingFit, describe_by_key};

const CHECK: &str = "keys";

/// Maximum number of verification codes that are opened. A wrong key shows at the first code.
const MAX_OPENED_CODES: u64 = 1_000;

const ADD_KEYS_AGAIN: &str = "put the keys that the database was written with back into the ring, behind those that are there, from \
                        the newest copy of its key file";

/// The key ring, as far as it can be read.
pub(super) enum RingState {
    Good(KeyRing),
    /// The key file does not exist. The content of the database decides whether that is a problem.
    Missing(String),
    /// There are no keys yet, or they are invalid, which was reported.
    None,
}

/// Reads the key ring and reports on it.
pub(super) fn read_ring(settings: &Settings, report: &mut Report) -> RingState {
    let (file, text) = (&settings.keys.file, settings.keys.ring.expose());
    let from_file = text.is_empty();
    let fresh = settings.database.sqlite_file().is_some_and(|file| !file.exists());
    if from_file && fresh && !file.exists() {
        report.ok(CHECK, "there are none yet: `access-tokens serve` makes them");
        return RingState::None;
    }
    let read = if from_file { KeyRing::read(file) } else { KeyRing::parse(text) };
    let (message, cure) = match read {
        Ok(ring) => {
            let ids: Vec<_> = ring.ids().collect();
            report.ok(CHECK, format!("{} key(s): {}; the first one writes", ids.len(), ids.join(", ")));
            return RingState::Good(ring);
        }
        Err(error @ KeyRingError::Missing { .. }) => return RingState::Missing(error.to_string()),
        Err(KeyRingError::Permissions { path, mode }) => {
            (format!("the key file {path} has mode {mode:04o}: others can read it"), format!("chmod 600 {path}"))
        }
        Err(error @ KeyRingError::Io { .. }) => {
            let kind = if let KeyRingError::Io { source, .. } = &error { Some(source.kind()) } else { None };
            let cure = match kind {
                Some(ErrorKind::PermissionDenied) => {
                    format!(
                        "let the user of the service read it, and no other: chown that user {0} && chmod 600 {0}",
                        file.display()
                    )
                }
                Some(ErrorKind::IsADirectory | ErrorKind::InvalidInput) => {
                    format!("move {} away, and {RESTORE_KEY_FILE}", file.display())
                }
                _ => RESTORE_KEY_FILE.to_owned(),
            };
            (error.to_string(), cure)
        }
        Err(error) if from_file => (format!("{}: {error}", file.display()), RESTORE_KEY_FILE.to_owned()),
        Err(error) => (format!("keys.ring: {error}"), "set keys.ring to the ring again, from its copy".to_owned()),
    };
    report.problem(CHECK, message, cure);
    RingState::None
}

/// Reports a missing key file, with the values in the database that need it.
pub(super) async fn check_missing(database: Option<&Database>, message: String, report: &mut Report) {
    let needed = match database {
        Some(database) => needed_keys(database).await,
        None => return report.problem(CHECK, message, RESTORE_KEY_FILE),
    };
    match needed.map(|uses| describe_by_key(&uses)) {
        Ok(Some(needed)) => {
            report.problem(CHECK, format!("{message}, and the database needs it: {needed}"), RESTORE_KEY_FILE)
        }
        Ok(None) => {
            report.problem(CHECK, format!("{message}; nothing in the database needs it"), "access-tokens keys init")
        }
        Err(error) => {
            report.problem(CHECK, format!("{message}; what needs it cannot be read: {error:#}"), RESTORE_KEY_FILE)
        }
    }
}

/// Checks whether the ring opens the stored values.
pub(super) async fn check(database: &Database, ring: &KeyRing, report: &mut Report) {
    let fit = match database.key_use(SystemClock.now()).await {
        Ok(uses) => KeyRingFit::compare(database, ring, &uses, Some(MAX_OPENED_CODES)).await,
        Err(error) => Err(error),
    };
    let fit = match fit {
        Ok(fit) => fit,
        Err(error) => {
            return report_unreadable(CHECK, "what needs them cannot be read", error, report);
        }
    };
    if fit.is_good() {
        report.ok(CHECK, fit.to_string());
    } else if fit.is_foreign() {
        report.problem(CHECK, fit.to_string(), ADD_KEYS_AGAIN);
    } else {
        let cure = "ResetVerificationCode makes new codes for the tokens; other codes under these keys are good, so that they \
                    were damaged: look at what else is said of the database";
        report.problem(CHECK, fit.to_string(), cure);
    }
    if let Some(lost) = fit.lost() {
        let cure = "give the users new passwords (`access-tokens user password`), callers new API keys (`access-tokens api-key \
                    add`) and tokens new codes (ResetPassCode, ResetVerificationCode); or put the keys back into the ring";
        report.warning(CHECK, format!("keys are missing: {lost}; they are accepted as lost"), cure);
    }
}
