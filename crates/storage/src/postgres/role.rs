//! Roles of servers of PostgreSQL: the one that is wanted, and why a server is not suitable.

use std::io::ErrorKind;
use std::time::Duration;

use sea_orm::sqlx;

/// The server that a search wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A primary that can be written.
    Primary,
    /// A primary, or any other server if there is none.
    Any,
    /// A standby.
    Standby,
}

/// The reason why a server is not the wanted one.
#[derive(Debug)]
pub(crate) enum Unsuitable {
    /// It is a primary, and a standby is wanted.
    Primary,
    /// It is a standby.
    Standby,
    /// It refuses writes by `default_transaction_read_only`.
    ReadOnly,
    /// It cannot be used.
    Failed(sqlx::Error),
    /// It has not answered.
    Silent(Duration),
}

/// Beginning of the error of the driver when a connection is closed in place of an answer to the request for TLS: it reads
/// a zero.
pub(crate) const CLOSED_CONNECTION: &str = "unexpected response from SSLRequest: 0x00";

/// SQLSTATEs with which a server refuses a connection: it starts or stops, the password, the role and the address, the
/// database.
const REFUSALS: [&str; 4] = ["57P03", "28P01", "28000", "3D000"];

/// Reports whether the name of a host is unknown. The standard library has no error kind for it.
pub(crate) fn is_unknown_name(error: &std::io::Error) -> bool {
    error.to_string().contains("lookup address")
}

impl Unsuitable {
    /// Reports whether the server answers, and has the wrong role.
    pub(crate) fn is_role(&self) -> bool {
        matches!(self, Self::Primary | Self::Standby | Self::ReadOnly)
    }

    /// Reports whether no connection is possible, for a reason that is not load: nothing listens, the name is unknown, a
    /// forwarder that has no server closes the connection, a server starts or stops, or it refuses the role, the database
    /// or the encryption.
    pub(crate) fn is_refusal(&self) -> bool {
        use ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
        match self {
            Self::Failed(sqlx::Error::Io(error)) => {
                matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
                    || is_unknown_name(error)
            }
            Self::Failed(sqlx::Error::Protocol(text)) => text.starts_with(CLOSED_CONNECTION),
            Self::Failed(sqlx::Error::Tls(_)) => true,
            _ => REFUSALS.iter().any(|code| self.has_code(code)),
        }
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.code().as_deref() == Some(code))
    }
}
