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

impl Unsuitable {
    /// Reports whether the server answers, and has the wrong role.
    pub(crate) fn is_role(&self) -> bool {
        matches!(self, Self::Primary | Self::Standby | Self::ReadOnly)
    }

    /// Reports whether nothing listens, a forwarder that has no server closes the connection, or a server starts or stops.
    pub(crate) fn is_refusal(&self) -> bool {
        use ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
        let nothing = |error: &std::io::Error| {
            matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
        };
        matches!(self, Self::Failed(sqlx::Error::Io(error)) if nothing(error)) || self.has_code("57P03")
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.code().as_deref() == Some(code))
    }
}
