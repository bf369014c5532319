//! Purposes of connections to PostgreSQL.

use crate::options::DatabaseOptions;

/// Purpose of a pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Statements that read, or that commit by themselves.
    Statement,
    /// Lookups of tokens.
    Lookup,
    /// All reads from a replica.
    Replica,
    /// Transactions.
    Transaction,
    /// Migration of the schema: one connection, no timeouts.
    Migrate,
    /// Check whether the database answers: one connection.
    Heartbeat,
}

impl Purpose {
    /// Returns the number of connections for a purpose. A quarter of the connections for calls is for transactions. A
    /// third of the rest is for lookups, which share statements. Writes wait for the disk, and many can wait at the
    /// same time.
    pub(crate) fn connections(self, options: &DatabaseOptions) -> u32 {
        let all = options.postgres_connections.max(2);
        let transactions = (all / 4).max(1);
        let lookups = (all - transactions) / 3;
        match self {
            Self::Transaction => transactions,
            Self::Lookup => lookups,
            Self::Statement => all - transactions - lookups,
            Self::Replica => all - transactions,
            Self::Migrate | Self::Heartbeat => 1,
        }
    }

    /// Reports whether the server must be a primary.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::Statement | Self::Lookup | Self::Transaction | Self::Migrate)
    }
}
