//! URLs of databases, checked without a connection.

use crate::options::{DatabaseOptions, SetupError};
use crate::postgres::servers::UrlUse;
use crate::{postgres, sqlite};

impl DatabaseOptions {
    /// Refuses a URL with which no database can be opened.
    pub fn check(&self) -> Result<(), SetupError> {
        if sqlite::url::accepts(&self.url) {
            sqlite::url::check_url(&self.url).map(drop)
        } else if postgres::url::accepts(&self.url) {
            postgres::url::check_url(self, UrlUse::Primary)
        } else {
            Err(SetupError::Url("expected sqlite://path or postgres://user:password@host/database".to_owned()))
        }
    }

    /// Refuses the URL of a replica with which none can be opened.
    pub fn check_replica(&self, url: &str) -> Result<(), SetupError> {
        if !postgres::url::accepts(url) {
            return Err(SetupError::Url("expected postgres://user:password@host/database of a replica".to_owned()));
        }
        postgres::url::check_url(&Self { url: url.to_owned(), ..self.clone() }, UrlUse::Replica)
    }

    /// Returns whether another server of PostgreSQL may take over: the URL names several hosts, or there are replicas.
    pub fn is_replicated(&self) -> bool {
        !self.replica_urls.is_empty() || postgres::url::host_count(&self.url) > 1
    }

    /// Reports whether the database is a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        sqlite::url::accepts(&self.url)
    }
}
