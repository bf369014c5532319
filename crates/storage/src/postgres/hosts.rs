//! The hosts of the URLs of a database, each with its role, for operators.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::servers::{Server, Servers, UrlUse};
use super::session::SessionState;
use super::url;
use crate::options::{DatabaseOptions, SetupError};

/// A host of a database URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// The setting that names it.
    pub setting: &'static str,
    /// Host and port, or the socket.
    pub host: String,
    /// Its role now.
    pub role: HostRole,
    /// Start time of the server, which tells servers apart. `None`: it does not answer.
    pub started: Option<String>,
}

/// Role of a server of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRole {
    /// It is a primary that accepts writes.
    Primary,
    /// It is a primary, and refuses writes by `default_transaction_read_only`.
    ReadOnly,
    /// It follows a primary.
    Standby,
    /// It cannot be used.
    Unreachable {
        /// The cause.
        cause: String,
        /// Action that fixes it.
        cure: Option<String>,
    },
}

/// Asks each host of the options for its role, all at the same time: those of the URL first, then those of the replicas.
/// None on SQLite.
pub async fn hosts(options: &DatabaseOptions) -> Result<Vec<HostReport>, SetupError> {
    let mut all: Vec<(&'static str, Arc<Server>)> = Vec::new();
    if url::accepts(&options.url) {
        let servers = Servers::parse(&options.url, UrlUse::Primary)?;
        all.extend(servers.iter().map(|server| ("database.url", Arc::clone(server))));
    }
    for url in &options.replica_urls {
        let servers = Servers::parse(url, UrlUse::Replica)?;
        all.extend(servers.iter().map(|server| ("database.replica_urls", Arc::clone(server))));
    }
    let mut asking = JoinSet::new();
    for (index, (setting, server)) in all.into_iter().enumerate() {
        asking.spawn(async move {
            let (role, started) = role_of(&server).await;
            (index, HostReport { setting, host: server.name.clone(), role, started })
        });
    }
    let mut reports = asking.join_all().await;
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

async fn role_of(server: &Server) -> (HostRole, Option<String>) {
    match server.open("").await {
        Ok((_, state)) => {
            let role = match state {
                SessionState { in_recovery: true, .. } => HostRole::Standby,
                SessionState { read_only: true, .. } => HostRole::ReadOnly,
                _ => HostRole::Primary,
            };
            (role, Some(state.started))
        }
        Err(reason) => {
            let (cause, cure) = reason.explained(&server.name).parts();
            (HostRole::Unreachable { cause, cure }, None)
        }
    }
}
