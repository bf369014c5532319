//! Finds the reason why PostgreSQL cannot be reached. A pool retries until its timeout, and then reports only the
//! timeout.

use std::io::ErrorKind;

use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{DbErr, RuntimeErr};

use super::role::{CLOSED_CONNECTION, Unsuitable, is_unknown_name};
use super::servers::{NotFound, Server};
use crate::error::Failure;
use crate::options::SetupError;

/// Returns the error for a failed connection to a server, with its cause. The driver's own error is used if there is
/// one; after a timeout of a pool, one more connection is tried outside of it.
pub(crate) async fn explained(server: &Server, error: DbErr) -> SetupError {
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(error)) if !matches!(error.as_ref(), sqlx::Error::PoolTimedOut) => {
            return from_sqlx(&server.name, error);
        }
        DbErr::Conn(RuntimeErr::SqlxError(_)) | DbErr::ConnectionAcquire(_) => {}
        _ => return SetupError::Database(Failure::from(error).to_string()),
    }
    cause(server).await.unwrap_or_else(|| SetupError::Database(Failure::from(error).to_string()))
}

/// Opens one connection and returns the reason why it cannot be opened. `None`: it can be opened.
pub(crate) async fn cause(server: &Server) -> Option<SetupError> {
    match server.open("").await {
        Ok((connection, _)) => {
            let _ = connection.close().await;
            None
        }
        Err(reason) => Some(reason.explained(&server.name)),
    }
}

impl NotFound {
    /// Returns the error with the cause of each host.
    pub(crate) fn explained(&self) -> SetupError {
        if let [(server, reason)] = self.0.as_slice() {
            return reason.explained(&server.name);
        }
        let causes: Vec<_> = self.0.iter().map(|(server, reason)| reason.sentence(&server.name)).collect();
        let causes = causes.join("; ");
        if self.0.iter().any(|(_, reason)| reason.is_role()) {
            let read_only = self.0.iter().find(|(_, reason)| matches!(reason, Unsuitable::ReadOnly));
            let cure = read_only.and_then(|(_, reason)| reason.cure()).unwrap_or(NO_PRIMARY);
            return SetupError::NoPrimary {
                cause: format!("no host is a primary that can be written: {causes}"),
                cure,
            };
        }
        let cure = self.0.iter().find_map(|(_, reason)| reason.cure());
        SetupError::Unreachable { cause: causes, cure: cure.unwrap_or(LOOK_AT_LOG) }
    }
}

const NO_PRIMARY: &str = "promote a standby, or start the primary; pg_is_in_recovery() is false on a primary";
const LOOK_AT_LOG: &str = "look at the log of PostgreSQL";
const LOOK_AT_NETWORK: &str = "look at host and port in database.url, and at firewalls and network policies";

impl Unsuitable {
    /// Returns the reason as a sentence about the server.
    pub(crate) fn sentence(&self, server: &str) -> String {
        match self {
            Self::Primary => format!("{server} is a primary"),
            Self::Standby => format!("{server} is a standby (in recovery)"),
            Self::ReadOnly => format!("{server} is read-only (default_transaction_read_only = on)"),
            other => other.explained(server).parts().0,
        }
    }

    /// Returns the error for a server that is not the wanted one.
    pub(crate) fn explained(&self, server: &str) -> SetupError {
        let cure = match self {
            Self::Primary => "name a standby in database.replica_urls",
            Self::Standby => {
                "name its primary in database.url, or all servers that can become the primary: postgres://host1,host2/database"
            }
            Self::ReadOnly => {
                "ALTER ROLE role RESET default_transaction_read_only, or ALTER DATABASE name RESET it; a provider may have set it \
                 because the disk is full"
            }
            Self::Failed(error) => return from_sqlx(server, error),
            Self::Silent(time) => {
                return unreachable(
                    format!("no answer from {server} within {} s", time.as_secs_f32()),
                    LOOK_AT_NETWORK,
                );
            }
        };
        SetupError::NoPrimary { cause: self.sentence(server), cure }
    }

    fn cure(&self) -> Option<&'static str> {
        match self.explained("") {
            SetupError::Unreachable { cure, .. } | SetupError::NoPrimary { cure, .. } => Some(cure),
            _ => None,
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
fn from_sqlx(at: &str, error: &sqlx::Error) -> SetupError {
    match error {
        sqlx::Error::Io(error) => of_io(at, error),
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
                _ => LOOK_AT_LOG,
            };
            unreachable(format!("{at} refuses: {} [{code}]", error.message()), cure)
        }
        sqlx::Error::Protocol(text) if text.starts_with(CLOSED_CONNECTION) => unreachable(
            format!("{at} closes the connection"),
            "look for the server of this proxy, and at the log of PostgreSQL",
        ),
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
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            unreachable(format!("no way to {at}: {error}"), LOOK_AT_NETWORK)
        }
        _ if is_unknown_name(error) => unreachable(
            format!("no such host: {at}: {error}"),
            "mend the host in database.url, or the name service here",
        ),
        _ => unreachable(format!("the connection to {at} breaks: {error}"), LOOK_AT_LOG),
    }
}

fn unreachable(cause: String, cure: &'static str) -> SetupError {
    SetupError::Unreachable { cause, cure }
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
