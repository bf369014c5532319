//! URLs of SQLite files.

use std::path::PathBuf;
use std::str::FromStr;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use crate::options::SetupError;

/// Is this a SQLite URL?
pub(crate) fn accepts(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// The file of a URL. Refuses what cannot work before a driver sees it.
pub(crate) fn check_url(url: &str) -> Result<PathBuf, SetupError> {
    let wrong = |what: &str| Err(SetupError::Url(what.to_owned()));
    match SqliteConnectOptions::from_str(url) {
        Err(_) => wrong("expected sqlite://path"),
        Ok(options) if options.get_filename().as_os_str().is_empty() => wrong("it names no file"),
        // Every connection would have a database of its own.
        Ok(_) if url.contains(":memory:") || url.contains("mode=memory") => wrong("SQLite in memory is not supported"),
        Ok(options) => Ok(options.get_filename().to_owned()),
    }
}
