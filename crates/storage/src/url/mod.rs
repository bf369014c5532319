//! URLs of databases: which database one names, and what is wrong with one, without a connection.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use crate::options::{DatabaseOptions, SetupError};

impl DatabaseOptions {
    /// Refuses a URL with which no database can be opened, without a connection to it.
    pub fn check(&self) -> Result<(), SetupError> {
        if sqlite::accepts(&self.url) {
            sqlite::check_url(&self.url).map(drop)
        } else if postgres::accepts(&self.url) {
            postgres::check_url(self)
        } else {
            Err(SetupError::Url("expected sqlite://path or postgres://user:password@host/database".to_owned()))
        }
    }

    /// Is the database a SQLite file?
    pub fn is_sqlite(&self) -> bool {
        sqlite::accepts(&self.url)
    }
}
