//! URLs of SQLite files.

use std::path::PathBuf;
use std::str::FromStr;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use crate::options::SetupError;

/// Reports whether this is a SQLite URL.
pub(crate) fn accepts(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Returns the file of a URL. Refuses URLs that cannot work before the driver sees them.
pub(crate) fn check_url(url: &str) -> Result<PathBuf, SetupError> {
    let wrong = |what: &str| Err(SetupError::Url(what.to_owned()));
    match SqliteConnectOptions::from_str(url) {
        Err(_) => wrong("expected sqlite://path"),
        Ok(options) if options.get_filename().as_os_str().is_empty() => wrong("it names no file"),
        // Each connection would have its own database.
        Ok(_) if url.contains(":memory:") || url.contains("mode=memory") => wrong("SQLite in memory is not supported"),
        Ok(options) => Ok(options.get_filename().to_owned()),
    }
}
