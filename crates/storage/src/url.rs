//! URLs of databases, checked without a connection.

use crate::options::{DatabaseOptions, SetupError};
use crate::{postgres, sqlite};

impl DatabaseOptions {
    /// Refuses a URL with which no database can be opened.
    pub fn check(&self) -> Result<(), SetupError> {
        if sqlite::url::accepts(&self.url) {
            sqlite::url::check_url(&self.url).map(drop)
        } else if postgres::url::accepts(&self.url) {
            postgres::url::check_url(self)
        } else {
            Err(SetupError::Url("expected sqlite://path or postgres://user:password@host/database".to_owned()))
        }
    }

    /// Reports whether the database is a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        sqlite::url::accepts(&self.url)
    }
}
