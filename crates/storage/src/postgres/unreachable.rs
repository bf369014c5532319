//! Finds the reason why PostgreSQL cannot be reached. A pool retries until its timeout, and then reports only the
//! timeout.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::timeout;

use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError};
use crate::postgres::url::ssl_mode;

/// Maximum time of the connection attempt that finds the cause.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the error for a failed connection, with its cause. The driver's own error is used if there is one; after a
/// timeout of a pool, one more connection is tried outside of it.
pub(crate) async fn explained(options: &DatabaseOptions, error: DbErr) -> SetupError {
    let Ok(place) = PgConnectOptions::from_str(&options.url) else {
        return SetupError::Database(Failure::from(error).to_string());
    };
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(error)) if !matches!(error.as_ref(), sqlx::Error::PoolTimedOut) => {
            return from_sqlx(&place, error);
        }
        DbErr::Conn(RuntimeErr::SqlxError(_)) | DbErr::ConnectionAcquire(_) => {}
        _ => return SetupError::Database(Failure::from(error).to_string()),
    }
    cause(options).await.unwrap_or_else(|| SetupError::Database(Failure::from(error).to_string()))
}

/// Opens one connection and returns the reason why it cannot be opened. `None`: it can be opened.
pub(crate) async fn cause(options: &DatabaseOptions) -> Option<SetupError> {
    let place = PgConnectOptions::from_str(&options.url).ok()?;
    let mode = ssl_mode(&options.url, &place);
    let connecting = place.clone().ssl_mode(mode).disable_statement_logging();
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&connecting)).await {
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
            None
        }
        Ok(Err(error)) => Some(from_sqlx(&place, &error)),
        Err(_) => {
            let message = format!("no answer from {} within {} s", name(&place), CONNECT_TIMEOUT.as_secs());
            Some(unreachable(message, "look at host and port in database.url, and at firewalls and network policies"))
        }
    }
}

/// Reports whether the server answers, but has no connection left for this role.
pub(crate) fn is_exhaustion(error: &SetupError) -> bool {
    matches!(error, SetupError::Unreachable { cause, .. } if cause.ends_with(TOO_MANY_CONNECTIONS))
}

/// End of a cause if the server, the database or the role has reached its connection limit.
const TOO_MANY_CONNECTIONS: &str = "[53300]";

/// The message of PostgreSQL contains names of roles and databases, which are not secret.
fn from_sqlx(place: &PgConnectOptions, error: &sqlx::Error) -> SetupError {
    let at = name(place);
    match error {
        sqlx::Error::Io(error) => of_io(&at, error),
        sqlx::Error::Tls(error) => unreachable(
            format!("TLS to {at} fails: {error}"),
            "let the certificate of PostgreSQL be valid and bear the host of database.url, and name its authority by \
             sslrootcert=FILE; or turn its encryption on (ssl = on)",
        ),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let cure = match code.as_ref() {
                "28P01" => {
                    "mend user and password in database.url, or give the role this password (ALTER ROLE ... PASSWORD)"
                }
                "28000" => {
                    "let the role in by pg_hba.conf of the server, or make it (CREATE ROLE ... LOGIN); or mend the user in \
                            database.url"
                }
                "3D000" => {
                    "mend the database in database.url, or make it: createdb --encoding=UTF8 --template=template0 NAME"
                }
                "42501" => "GRANT CONNECT ON DATABASE name TO role, as the owner of the database",
                "53300" => {
                    "end other sessions, lower database.max_connections of the replicas, or raise max_connections of the server"
                }
                "57P01" | "57P02" | "57P03" => "wait until PostgreSQL has started; its log says what it does",
                _ => "look at the log of PostgreSQL",
            };
            unreachable(format!("{at} refuses: {} [{code}]", error.message()), cure)
        }
        sqlx::Error::Protocol(_) => unreachable(
            format!("what answers at {at} does not speak as PostgreSQL does"),
            "mend host and port in database.url",
        ),
        other => SetupError::Database(Failure::from_sqlx(other).to_string()),
    }
}

fn of_io(at: &str, error: &std::io::Error) -> SetupError {
    match error.kind() {
        ErrorKind::ConnectionRefused => unreachable(
            format!("connection refused by {at}"),
            "start PostgreSQL there, or mend host and port in database.url",
        ),
        ErrorKind::NotFound => unreachable(
            format!("there is no socket at {at}"),
            "start PostgreSQL, or mend the directory in database.url",
        ),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => unreachable(
            format!("no way to {at}: {error}"),
            "look at host and port in database.url, and at firewalls and network policies",
        ),
        // The standard library has no error kind for names that cannot be resolved.
        _ if error.to_string().contains("lookup address") => unreachable(
            format!("no such host: {at}: {error}"),
            "mend the host in database.url, or the name service here",
        ),
        _ => unreachable(format!("the connection to {at} breaks: {error}"), "look at the log of PostgreSQL"),
    }
}

fn unreachable(cause: String, cure: &'static str) -> SetupError {
    SetupError::Unreachable { cause, cure }
}

/// Returns host and port, or the socket.
fn name(place: &PgConnectOptions) -> String {
    match place.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", place.get_host(), place.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_the_system_have_their_own_cure() {
        for (kind, expected) in [
            (ErrorKind::ConnectionRefused, "connection refused by h:1"),
            (ErrorKind::NotFound, "there is no socket at h:1"),
            (ErrorKind::HostUnreachable, "no way to h:1"),
            (ErrorKind::ConnectionReset, "the connection to h:1 breaks"),
        ] {
            let SetupError::Unreachable { cause, cure } = of_io("h:1", &kind.into()) else { panic!("{kind:?}") };
            assert!(cause.contains(expected) && !cure.is_empty(), "{cause}");
        }
        let lookup = std::io::Error::other("failed to lookup address information: Name or service not known");
        let SetupError::Unreachable { cause, .. } = of_io("nowhere:5432", &lookup) else { panic!("another error") };
        assert!(cause.contains("no such host: nowhere:5432"), "{cause}");
    }
}
