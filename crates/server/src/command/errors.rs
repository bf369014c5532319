//! Errors of commands, with all their causes.

use access_tokens_domain::{Error, Reason};
use anyhow::anyhow;

/// Returns an error with all its causes, including the text of the driver. Only operators run commands, so that it may be shown.
pub(super) fn with_causes(error: &Error) -> String {
    format!("{} {}", error.reason().name(), error.with_causes())
}

/// Returns whether the message of a driver reports a damaged SQLite file.
pub(super) fn is_damage_message(text: &str) -> bool {
    ["disk image is malformed", "malformed database schema", "not a database"].iter().any(|sign| text.contains(sign))
}

/// The cure of a damaged database.
pub(super) const RESTORE_DATABASE: &str =
    "stop the service, keep a copy of all files of the database, and `access-tokens restore --replace` the last backup";

/// Converts an error of the domain or of the store, with its causes, and with the cure of a damaged database.
pub(super) fn to_anyhow(error: impl Into<Error>) -> anyhow::Error {
    let error = error.into();
    let text = with_causes(&error);
    if error.reason() == Reason::Internal && is_damage_message(&text) {
        anyhow!("{text}; the database is damaged: {RESTORE_DATABASE}")
    } else {
        anyhow!("{text}")
    }
}
