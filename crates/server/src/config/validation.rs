//! Checks of settings beyond their types: ranges, names, URLs, and settings that do not fit together.
//!
//! Every problem is reported, not only the first. No message repeats a value, because it may be a password in the wrong place.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use access_tokens_gateway::Release;
use access_tokens_secrets::KeyRing;
use access_tokens_telemetry::is_level;

use super::{DatabaseSettings, Listener, Settings};

/// Maximum length of a file name on Linux, in bytes.
const MAX_PATH_BYTES: usize = 4_095;
/// Maximum length of a name that is sent to a collector, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Maximum length of a schema name in PostgreSQL, in bytes.
const MAX_SCHEMA_BYTES: usize = 63;

/// Invalid settings, each with the requirement.
#[derive(Default)]
struct Problems(Vec<(String, String)>);

impl Problems {
    fn add(&mut self, key: &str, what: impl Display) {
        self.0.push((key.to_owned(), what.to_string()));
    }

    fn range(&mut self, key: &str, value: u64, low: u64, high: u64) {
        if !(low..=high).contains(&value) {
            self.add(key, format_args!("must be between {low} and {high}"));
        }
    }

    /// Checks the name of an optional file. Its content is checked when it is read.
    fn file(&mut self, key: &str, path: Option<&Path>) {
        if !path.is_none_or(is_file_name) {
            self.add(key, "must be the name of a file: no directory, no control characters, no blanks around it");
        }
    }
}

impl Settings {
    /// Returns invalid settings as (key, requirement).
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        self.ranges(&mut problems);
        self.files(&mut problems);
        self.database.check(&mut problems);
        for (key, what) in self.notifications.problems(&self.webhooks) {
            problems.add(key, what);
        }
        if !(Release::FIRST..=Release::default()).contains(&self.gateway.release) {
            let (first, last) = (Release::FIRST, Release::default());
            problems.add("gateway.release", format_args!("must be a documented release, from {first} to {last}"));
        }
        if !is_level(&self.log.level) {
            problems.add(
                "log.level",
                "must be a level (off, error, warn, info, debug or trace), or a list such as info,access_tokens=debug",
            );
        }
        let ring = self.keys.ring.expose();
        if !ring.is_empty()
            && let Err(error) = KeyRing::parse(ring)
        {
            problems.add("keys.ring", format_args!("must be a key ring: {error}"));
        }
        let chance = self.policy.max_guess_chance;
        if !(chance > 0.0 && chance <= 1.0) {
            problems.add("policy.max_guess_chance", "must be above 0 and at most 1");
        }
        let listeners = self.listeners();
        problems.0.extend(listeners.iter().flat_map(|one| one.tls.problems(one.tls_section)));
        problems.0.extend(self.gateway.upstream.problems("gateway.upstream"));
        problems.0.extend(self.telemetry.problems());
        if !is_name(&self.telemetry.service_name) {
            problems.add("telemetry.service_name", format_args!("must be a name of at most {MAX_NAME_BYTES} bytes"));
        }
        problems.0
    }

    /// Returns listeners of one process that cannot both be bound, as (key, key of the other): the same port, on one address or on a
    /// wildcard address that covers the other. Port 0 is a free port for each listener. Only the listeners `used` count.
    pub(super) fn shared_ports(&self, used: &[&str]) -> Vec<(&'static str, &'static str)> {
        let all: Vec<_> = self
            .listeners()
            .into_iter()
            .filter(|one| used.contains(&one.listen))
            .filter_map(|one| Some((one.listen, one.address?)))
            .collect();
        let earlier =
            |index: usize, address| all[..index].iter().find(move |(_, other)| are_in_conflict(*other, address));
        let shared = all
            .iter()
            .enumerate()
            .filter_map(|(index, (name, address))| earlier(index, *address).map(|(other, _)| (*name, *other)));
        shared.collect()
    }

    fn ranges(&self, problems: &mut Problems) {
        let (database, grpc, sessions) = (&self.database, &self.grpc, &self.sessions);
        problems.range("sessions.logins_per_second", sessions.logins_per_second.into(), 0, 100_000);
        problems.range("sessions.login_burst", sessions.login_burst.into(), 1, 1_000_000);
        problems.range("database.max_connections", database.max_connections.into(), 2, 100);
        problems.range("database.sqlite_readers", database.sqlite_readers.into(), 1, 100);
        problems.range("database.acquire_timeout_ms", database.acquire_timeout_ms, 1, 60_000);
        problems.range("database.statement_timeout_ms", database.statement_timeout_ms, 1, 600_000);
        problems.range("database.replica_max_lag_ms", database.replica_max_lag_ms, 200, 60_000);
        problems.range("database.lock_timeout_ms", database.lock_timeout_ms, 1, 600_000);
        problems.range("grpc.max_concurrent_requests", grpc.max_concurrent_requests as u64, 1, 100_000);
        problems.range("grpc.max_anonymous_requests", grpc.max_anonymous_requests as u64, 1, 100_000);
        problems.range(
            "grpc.max_anonymous_requests_per_address",
            grpc.max_anonymous_requests_per_address as u64,
            1,
            100_000,
        );
        problems.range("grpc.max_connections", grpc.max_connections as u64, 1, 1_000_000);
        problems.range("grpc.max_connection_age_seconds", grpc.max_connection_age_seconds, 1, 604_800);
        problems.range("grpc.idle_seconds", grpc.idle_seconds, 1, 604_800);
        let per_address = grpc.max_anonymous_connections_per_address as u64;
        problems.range("grpc.max_anonymous_connections_per_address", per_address, 1, 1_000_000);
        problems.range("http.max_connections", self.http.max_connections as u64, 1, 1_000_000);
        let per_address = self.http.max_anonymous_connections_per_address as u64;
        problems.range("http.max_anonymous_connections_per_address", per_address, 1, 1_000_000);
        problems.range("process.workers", self.process.workers as u64, 0, 1_024);
        problems.range("gateway.timeout_ms", self.gateway.timeout_ms, 1, 600_000);
        problems.range("notifications.timeout_seconds", self.notifications.timeout_seconds, 1, 60);
        problems.range("notifications.queue_size", self.notifications.queue_size as u64, 1, 100_000);
    }

    fn files(&self, problems: &mut Problems) {
        for Listener { tls_section, tls, .. } in self.listeners() {
            for (name, file) in [("certificate", &tls.certificate), ("key", &tls.key), ("client_ca", &tls.client_ca)] {
                problems.file(&format!("{tls_section}.{name}"), file.as_deref());
            }
        }
        for (section, upstream) in self.upstreams() {
            let files = [("ca", &upstream.ca), ("certificate", &upstream.certificate), ("key", &upstream.key)];
            for (name, file) in files {
                problems.file(&format!("{section}.{name}"), file.as_deref());
            }
        }
        if self.keys.file.as_os_str().is_empty() {
            if self.keys.ring.expose().is_empty() {
                problems.add("keys.file", "must not be empty while keys.ring is");
            }
        } else {
            problems.file("keys.file", Some(&self.keys.file));
        }
    }
}

impl DatabaseSettings {
    fn check(&self, problems: &mut Problems) {
        if !(self.is_sqlite() || is_postgres(self.url.expose())) {
            problems.add("database.url", "must begin with sqlite:// or postgres://");
        } else if let Err(error) = self.options().check() {
            problems.add("database.url", format_args!("cannot be used: {error}"));
        } else if self.sqlite_file().is_some_and(|file| !is_file_name(file)) {
            problems.add("database.url", "must name a file: no directory, no control characters, no blanks around it");
        }
        if !is_schema(&self.schema) {
            let what = "must be the name of a schema: 1 to 63 bytes, no control character, not beginning with pg_";
            problems.add("database.schema", what);
        }
        let replicas = &self.replica_urls;
        if !replicas.is_empty() && self.is_sqlite() {
            problems.add("database.replica_urls", "must be empty on SQLite");
        } else if !replicas.iter().all(|url| is_postgres(url.expose())) {
            problems.add("database.replica_urls", "must be URLs that begin with postgres://");
        } else {
            for (index, url) in replicas.iter().enumerate() {
                if let Err(error) = self.options().check_replica(url.expose()) {
                    problems.add(
                        "database.replica_urls",
                        format_args!("has an entry ({}) that cannot be used: {error}", index + 1),
                    );
                }
            }
            let mut seen = HashSet::new();
            if !replicas.iter().all(|url| seen.insert(url.expose())) {
                problems.add("database.replica_urls", "must name each replica once");
            }
        }
    }
}

/// Returns whether two sockets of one process cannot both be bound to these addresses. `[::]` accepts IPv4 too where the system allows it,
/// so `[::]` is in conflict with every address, and `0.0.0.0` with those of IPv4 and with `[::]`.
fn are_in_conflict(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |wildcard: IpAddr, address: IpAddr| match wildcard {
        IpAddr::V4(any) => any.is_unspecified() && (address.is_ipv4() || address.is_unspecified()),
        IpAddr::V6(any) => any.is_unspecified(),
    };
    one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

/// Returns whether a schema of the service may have this name.
fn is_schema(name: &str) -> bool {
    (1..=MAX_SCHEMA_BYTES).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.trim() == name
        && !name.starts_with("pg_")
        && name != "information_schema"
}

fn is_postgres(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Returns whether a file may have this name. The name of a directory is refused.
fn is_file_name(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return true };
    let good = (1..=MAX_PATH_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text;
    good && !text.ends_with('/') && path.file_name().is_some()
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_cannot_share_a_port() {
        for (one, other, conflict) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:0", "[::]:0", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "[::1]:1", false),
            ("0.0.0.0:1", "10.0.0.1:1", true),
            ("0.0.0.0:1", "[::ffff:10.0.0.1]:1", true),
            ("[::]:1", "10.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::ffff:0.0.0.0]:1", "10.0.0.1:1", true),
        ] {
            let (one, other) = (one.parse().expect("an address"), other.parse().expect("an address"));
            assert_eq!(
                (are_in_conflict(one, other), are_in_conflict(other, one)),
                (conflict, conflict),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        for good in ["a", "a.db", "/a/b", "./a", "../a", "a b", "\u{3b1}"] {
            assert!(is_file_name(Path::new(good)), "{good}");
        }
        for bad in ["", "/", "a/", ".", "..", "a/..", " a", "a ", "a\nb", "a\0b", &"a".repeat(5_000)] {
            assert!(!is_file_name(Path::new(bad)), "{bad:?}");
        }
    }
}
