//! The servers of a database URL, and the search for the one that is wanted: the primary, or a standby.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{ConnectOptions as _, Connection as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::host_list::{HostList, SessionAttributes};
use super::role::{Unsuitable, Wanted};
use super::session::{self, SessionState};
use super::ssl_mode::ssl_mode;
use crate::options::SetupError;

/// Name of a connection in PostgreSQL's views. Version 0.2.0 and earlier leave the version out.
const APPLICATION_NAME: &str = concat!("access-tokens ", env!("CARGO_PKG_VERSION"));

/// Maximum time to connect to one host. A `connect_timeout` of the URL can only shorten it.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time after which the next host is tried beside one that has not answered.
const NEXT_HOST_DELAY: Duration = Duration::from_millis(100);
/// Maximum time to wait for hosts that have not answered, after another host has. A promotion is found by the next
/// search.
const REMAINING_HOSTS_TIMEOUT: Duration = Duration::from_millis(500);

/// Use of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UrlUse {
    /// `database.url`: one of its servers is the primary.
    Primary,
    /// An entry of `database.replica_urls`.
    Replica,
}

/// One server: options for its connections, and its name.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// Host and port, or the socket.
    pub(crate) name: String,
    connect_timeout: Duration,
}

/// The servers of a URL.
#[derive(Debug)]
pub(crate) struct Servers {
    list: Vec<Arc<Server>>,
    /// Index of the server that is tried first: the one that was found last.
    first: AtomicUsize,
}

/// A server that a search has found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) server: Arc<Server>,
    pub(crate) connection: PgConnection,
    pub(crate) state: SessionState,
}

/// The result of a search without success: each server with its reason.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) Vec<(Arc<Server>, Unsuitable)>);

impl NotFound {
    /// Returns the reason of one server.
    pub(crate) fn reason_of(&self, server: &Arc<Server>) -> Option<&Unsuitable> {
        self.0.iter().find(|(one, _)| Arc::ptr_eq(one, server)).map(|(_, reason)| reason)
    }

    /// Reports whether each server has refused: no host can be a slow primary.
    pub(crate) fn is_refusal(&self) -> bool {
        self.0.iter().all(|(_, reason)| reason.is_role() || reason.is_refusal())
    }

    /// Reports whether each server may be starting.
    pub(crate) fn is_starting(&self) -> bool {
        self.0.iter().all(|(_, reason)| reason.is_refusal() || reason.has_code("53300"))
    }
}

impl Servers {
    /// Reads the servers of a URL. Refuses URLs for which the driver's error message would contain the URL, and so the
    /// password.
    pub(crate) fn parse(url: &str, url_use: UrlUse) -> Result<Self, SetupError> {
        let list = HostList::parse(url).map_err(SetupError::Url)?;
        check_attributes(list.attributes, url_use)?;
        let connect_timeout = list.connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT);
        let servers: Result<Vec<_>, SetupError> = list
            .urls
            .iter()
            .map(|url| {
                let Ok(parsed) = PgConnectOptions::from_str(url) else {
                    return Err(SetupError::Url("expected postgres://user:password@host/database".to_owned()));
                };
                let mode = ssl_mode(url, &parsed);
                let options = parsed.ssl_mode(mode).application_name(APPLICATION_NAME).disable_statement_logging();
                let name = name(&options);
                Ok(Arc::new(Server { options, name, connect_timeout }))
            })
            .collect();
        let list_length = list.urls.len() as u64;
        let first = if list.random { (RandomState::new().hash_one(url) % list_length) as usize } else { 0 };
        Ok(Self { list: servers?, first: AtomicUsize::new(first) })
    }

    /// Returns the servers, in the order of the URL.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the server that is tried first.
    pub(crate) fn first(&self) -> &Arc<Server> {
        &self.list[self.first.load(Ordering::Relaxed) % self.list.len()]
    }

    /// Makes the next search begin with this server.
    pub(crate) fn begin_with(&self, server: &Arc<Server>) {
        if let Some(index) = self.list.iter().position(|one| Arc::ptr_eq(one, server)) {
            self.first.store(index, Ordering::Relaxed);
        }
    }

    /// Makes the next search begin with the server after the first one.
    pub(crate) fn skip_first(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }

    /// Searches for a server, beginning with the one that was found last. The next server is tried when one is not
    /// suitable, and beside one that does not answer. `settings` are the statements that set up a session.
    pub(crate) async fn find(&self, settings: &str, wanted: Wanted) -> Result<Found, NotFound> {
        let (count, first) = (self.list.len(), self.first.load(Ordering::Relaxed));
        let mut next = (0..count).map(|step| (first + step) % count);
        let (mut attempts, mut reasons, mut fallback) = (JoinSet::new(), Vec::new(), None);
        let mut open: Vec<usize> = Vec::new();
        loop {
            if let Some(index) = next.next() {
                let (server, settings) = (Arc::clone(&self.list[index]), settings.to_owned());
                open.push(index);
                attempts.spawn(async move { (index, server.open(&settings).await) });
            } else if attempts.is_empty() {
                break;
            }
            let wait = match (next.len(), reasons.is_empty()) {
                (1.., _) => NEXT_HOST_DELAY,
                (0, false) => REMAINING_HOSTS_TIMEOUT,
                (0, true) => CONNECT_TIMEOUT,
            };
            let (index, opened) = match timeout(wait, attempts.join_next()).await {
                Ok(Some(Ok(attempt))) => attempt,
                // The attempt was dropped with its runtime.
                Ok(_) => continue,
                Err(_) if next.len() > 0 => continue,
                Err(_) => break,
            };
            open.retain(|one| *one != index);
            let server = Arc::clone(&self.list[index]);
            let unsuitable = match opened {
                Ok((connection, state)) => match state.unsuitable(wanted) {
                    None => {
                        self.first.store(index, Ordering::Relaxed);
                        return Ok(Found { server, connection, state });
                    }
                    Some(reason) => {
                        if wanted == Wanted::Any && fallback.is_none() {
                            fallback = Some(Found { server: Arc::clone(&server), connection, state });
                        }
                        reason
                    }
                },
                Err(failed) => failed,
            };
            reasons.push((index, unsuitable));
        }
        if let Some(found) = fallback {
            return Ok(found);
        }
        reasons.extend(open.into_iter().map(|index| (index, Unsuitable::Silent(REMAINING_HOSTS_TIMEOUT))));
        reasons.sort_by_key(|(index, _)| *index);
        let reasons = reasons.into_iter().map(|(index, reason)| (Arc::clone(&self.list[index]), reason));
        Err(NotFound(reasons.collect()))
    }
}

impl Server {
    /// Opens a connection and sets up its session.
    pub(crate) async fn open(&self, settings: &str) -> Result<(PgConnection, SessionState), Unsuitable> {
        let opening = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let state = session::begin(&mut connection, settings).await?;
            Ok((connection, state))
        };
        match timeout(self.connect_timeout, opening).await {
            Ok(opened) => opened.map_err(Unsuitable::Failed),
            Err(_) => Err(Unsuitable::Silent(self.connect_timeout)),
        }
    }
}

/// Refuses an attribute that contradicts the use of the URL.
fn check_attributes(attributes: Option<SessionAttributes>, url_use: UrlUse) -> Result<(), SetupError> {
    use SessionAttributes::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    let refusal = match (url_use, attributes) {
        (_, None | Some(Any))
        | (UrlUse::Primary, Some(ReadWrite | Primary))
        | (UrlUse::Replica, Some(ReadOnly | Standby | PreferStandby)) => return Ok(()),
        (UrlUse::Primary, _) => {
            "target_session_attrs must be read-write, primary or any in database.url, because the service writes; a standby \
             belongs in database.replica_urls"
        }
        (UrlUse::Replica, _) => {
            "target_session_attrs must be standby, prefer-standby, read-only or any in database.replica_urls; the primary \
             belongs in database.url"
        }
    };
    Err(SetupError::Url(refusal.to_owned()))
}

/// Returns host and port, or the socket.
fn name(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, url_use: UrlUse) -> Result<Vec<String>, String> {
        let servers = Servers::parse(url, url_use).map_err(|error| error.to_string())?;
        Ok(servers.iter().map(|server| server.name.clone()).collect())
    }

    #[test]
    fn each_host_has_a_name() {
        let url = "postgres://u:p@h1:1,[::1]:2,%2Fvar%2Frun/d?port=7";
        assert_eq!(checked(url, UrlUse::Primary).expect("valid"), ["h1:7", "[::1]:7", "/var/run"]);
    }

    #[tokio::test]
    async fn a_forwarder_without_a_server_refuses() {
        for mode in ["prefer", "disable"] {
            let forwarder = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = forwarder.local_addr().expect("an address");
            tokio::spawn(async move {
                loop {
                    let (mut client, _) = forwarder.accept().await.expect("a connection");
                    // The request is read first: otherwise the connection would be reset.
                    let _ = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 1024]).await;
                }
            });
            let url = format!("postgres://u@{address}/d?sslmode={mode}");
            let servers = Servers::parse(&url, UrlUse::Primary).expect("valid");
            let not_found = servers.find("", Wanted::Primary).await.expect_err("there is no server");
            assert!(not_found.is_refusal(), "{mode}: {not_found:?}");
        }
    }

    #[test]
    fn the_attributes_of_a_session_fit_the_use_of_the_url() {
        for (attributes, primary, replica) in [
            ("any", true, true),
            ("read-write", true, false),
            ("primary", true, false),
            ("read-only", false, true),
            ("standby", false, true),
            ("prefer-standby", false, true),
        ] {
            let url = format!("postgres://u:hunter2@h1,h2/d?target_session_attrs={attributes}");
            for (url_use, accepted, setting) in
                [(UrlUse::Primary, primary, "database.url"), (UrlUse::Replica, replica, "database.replica_urls")]
            {
                match checked(&url, url_use) {
                    Ok(_) => assert!(accepted, "{attributes} {url_use:?}"),
                    Err(refusal) => {
                        assert!(!accepted && refusal.contains(setting) && !refusal.contains("hunter2"), "{refusal}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_random_host_is_the_first_one_if_the_url_says_so() {
        let first = |parameter: &str| {
            let url = format!("postgres://{}h/d?load_balance_hosts={parameter}", "h,".repeat(15));
            Servers::parse(&url, UrlUse::Replica).expect("valid").first.load(Ordering::Relaxed)
        };
        assert!((0..20).all(|_| first("disable") == 0));
        assert!((0..20).any(|_| first("random") > 0));
    }
}
