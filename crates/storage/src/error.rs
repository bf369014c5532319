//! Errors of the database drivers, translated. They are classified by the codes of the driver: sea-orm knows only two
//! of them.

use access_tokens_domain::store::{StoreError, Unique};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// Cause of an error, as text for the log. It consists of the driver's message only: the driver's details repeat values
/// of the row, and those may be codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

impl Cause {
    /// Returns the SQLSTATE, with which the text of an error of PostgreSQL ends in brackets.
    pub(crate) fn sql_state(&self) -> Option<&str> {
        self.0.strip_suffix(']')?.rsplit_once('[').map(|(_, state)| state)
    }
}

/// Error of the database. Unlike [`StoreError`] it is `Clone`, so that several waiters can receive it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("duplicate {0}")]
    Duplicate(Unique),
    #[error(transparent)]
    Unavailable(Cause),
    #[error(transparent)]
    Conflict(Cause),
    #[error(transparent)]
    Fault(Cause),
}

impl Failure {
    pub(crate) fn fault(cause: impl Into<String>) -> Self {
        Self::Fault(Cause(cause.into()))
    }

    pub(crate) fn unavailable(cause: impl Into<String>) -> Self {
        Self::Unavailable(Cause(cause.into()))
    }

    pub(crate) fn from_sqlx(error: &sqlx::Error) -> Self {
        use sqlx::Error;
        let cause = Cause(message_of(error));
        match error {
            Error::Database(error) => Self::of_driver(error.as_ref(), cause),
            Error::Io(_)
            | Error::Tls(_)
            // The peer is not a database, for instance a proxy whose server went away before its first message.
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => Self::Unavailable(cause),
            _ => Self::Fault(cause),
        }
    }

    /// The low byte of `code` is the primary code, the other bytes refine it.
    fn of_sqlite(code: i32, message: &str, cause: Cause) -> Self {
        if [1_555, 2_067].contains(&code) {
            return Self::Duplicate(unique(&sqlite_index(message)));
        }
        match code & 0xff {
            // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT (the database is being closed), IOERR, FULL, CANTOPEN
            5..=10 | 13 | 14 => Self::Unavailable(cause),
            _ => Self::Fault(cause),
        }
    }

    fn of_driver(error: &dyn DatabaseError, cause: Cause) -> Self {
        let code = error.code().unwrap_or_default();
        let cause = Cause(format!("{cause} [{code}]"));
        if error.try_downcast_ref::<SqliteError>().is_some() {
            Self::of_sqlite(code.parse().unwrap_or(0), error.message(), cause)
        } else {
            match code.as_ref() {
                "23505" => Self::Duplicate(unique(error.constraint().unwrap_or_default())),
                // Serialisation failure, deadlock, lock not available in time.
                "40001" | "40P01" | "55P03" => Self::Conflict(cause),
                // Idle in transaction for too long, or a server that has become a read-only standby.
                "25P03" | "25006" => Self::Unavailable(cause),
                // Classes: connection, resources, operator intervention, system.
                _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Self::Unavailable(cause),
                _ => Self::Fault(cause),
            }
        }
    }
}

impl From<&DbErr> for Failure {
    fn from(error: &DbErr) -> Self {
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => Self::from_sqlx(error),
            DbErr::ConnectionAcquire(_) => Self::unavailable(error.to_string()),
            _ => Self::fault(error.to_string()),
        }
    }
}

/// rusqlite is used for SQLite without the driver of sea-orm.
impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let cause = Cause(error.to_string());
        match error {
            rusqlite::Error::SqliteFailure(error, message) => {
                Self::of_sqlite(error.extended_code, &message.unwrap_or_default(), cause)
            }
            _ => Self::Fault(cause),
        }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::from(&error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Duplicate(unique) => Self::Duplicate(unique),
            Failure::Unavailable(cause) => Self::Unavailable(Box::new(cause)),
            Failure::Conflict(cause) => Self::Conflict(Box::new(cause)),
            Failure::Fault(cause) => Self::Fault(Box::new(cause)),
        }
    }
}

/// Returns the message of a driver error for people. The driver of PostgreSQL would add the line of PostgreSQL's source
/// code that raised the error.
fn message_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) if error.try_downcast_ref::<SqliteError>().is_none() => {
            format!("error returned from database: {}", error.message())
        }
        _ => error.to_string(),
    }
}

/// For `map_err`: the orphan rule prevents a conversion by `?`.
pub(crate) fn store_error(error: DbErr) -> StoreError {
    Failure::from(error).into()
}

/// Returns the name of a unique index. SQLite names only the columns, as in `UNIQUE constraint failed:
/// unit.organisation_key, unit.id`; the last column identifies the index.
fn sqlite_index(message: &str) -> String {
    let column = message.rsplit([' ', ',']).next().unwrap_or_default();
    format!("{}_key", column.replace('.', "_"))
}

fn unique(index: &str) -> Unique {
    match index {
        "access_token_id_key" => Unique::TokenId,
        "access_token_number_key" => Unique::TokenNumber,
        "access_token_authentication_code_key" => Unique::AuthenticationCode,
        "access_token_identifier_key" => Unique::Identifier,
        other => Unique::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_columns_give_the_names_of_the_indexes() {
        let message = "UNIQUE constraint failed: access_token.organisation_key, access_token.authentication_code";
        assert_eq!(unique(&sqlite_index(message)), Unique::AuthenticationCode);
        assert_eq!(sqlite_index("UNIQUE constraint failed: organisation.name"), "organisation_name_key");
    }

    #[test]
    fn nonsense_from_the_other_side_is_no_fault_of_ours() {
        let error = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned());
        let error = DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        assert!(matches!(Failure::from(error), Failure::Unavailable(_)));
    }

    #[test]
    fn a_full_pool_is_no_fault() {
        let error = DbErr::ConnectionAcquire(sea_orm::error::ConnAcquireErr::Timeout);
        assert!(matches!(Failure::from(error), Failure::Unavailable(_)));
    }
}
