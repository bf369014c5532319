//! The targets and the measured values.

use crate::contestants::{Contestant, Loop, Results, Sample, Subject};
use crate::scenario::Scenario;

/// A target: a ratio or an amount, and its limit.
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) measured: Option<f64>,
    /// The limit; `None`: the value is only reported.
    pub(crate) limit: Option<f64>,
    /// Whether the limit is a minimum.
    pub(crate) at_least: bool,
    pub(crate) unit: &'static str,
}

impl Target {
    /// Returns whether the target was reached; `None` without a measurement or a limit.
    pub(crate) fn reached(&self) -> Option<bool> {
        let (measured, limit) = self.measured.zip(self.limit)?;
        Some(if self.at_least { measured >= limit } else { measured <= limit })
    }
}

/// Eight concurrent callers: the number of connections of the database.
pub(crate) const EIGHT_CALLERS: Loop = Loop::Closed(8);
/// More concurrent callers than connections of the database.
pub(crate) const MANY_CALLERS: Loop = Loop::Closed(64);
/// The rate of one busy client.
pub(crate) const STEADY_RATE: Loop = Loop::Open(1_000);

/// Returns the subjects on PostgreSQL, contestants side by side.
pub(crate) fn on_postgres(peer: bool) -> Vec<Subject> {
    use Contestant::{Empty, Peer, RememberingPeer, Service, Sql};
    use Scenario::{Create, GatewayShow, PassCode, Show, ShowBesideHashing, ShowFields};
    let all = [
        (Show, EIGHT_CALLERS, Service),
        (Show, EIGHT_CALLERS, Empty),
        (Show, EIGHT_CALLERS, Peer),
        (Show, EIGHT_CALLERS, RememberingPeer),
        (Show, EIGHT_CALLERS, Sql),
        (ShowFields, EIGHT_CALLERS, Service),
        (GatewayShow, EIGHT_CALLERS, Service),
        (Show, MANY_CALLERS, Service),
        (Show, MANY_CALLERS, Peer),
        (Show, MANY_CALLERS, RememberingPeer),
        (Show, STEADY_RATE, Service),
        (Show, STEADY_RATE, Peer),
        (Show, STEADY_RATE, RememberingPeer),
        (ShowBesideHashing, STEADY_RATE, Service),
        (Create, EIGHT_CALLERS, Service),
        (Create, EIGHT_CALLERS, Peer),
        (Create, EIGHT_CALLERS, RememberingPeer),
        (Create, EIGHT_CALLERS, Sql),
        (Create, MANY_CALLERS, Service),
        (PassCode, EIGHT_CALLERS, Service),
        (PassCode, EIGHT_CALLERS, Sql),
    ];
    all.into_iter().filter(|(_, _, who)| peer || ![Peer, RememberingPeer].contains(who)).collect()
}

/// The subjects on SQLite.
pub(crate) const ON_SQLITE: [Subject; 5] = [
    (Scenario::Show, EIGHT_CALLERS, Contestant::Service),
    (Scenario::Show, EIGHT_CALLERS, Contestant::Empty),
    (Scenario::Show, EIGHT_CALLERS, Contestant::Sql),
    (Scenario::ShowFields, EIGHT_CALLERS, Contestant::Service),
    (Scenario::Create, MANY_CALLERS, Contestant::Service),
];

/// Measurements that are not in [`Results`].
#[derive(Default)]
pub(crate) struct Amounts {
    /// Milliseconds from the start of the process to the first answer.
    pub(crate) first_call: Option<f64>,
    /// Resident memory of the idle service, in MiB.
    pub(crate) idle: Option<f64>,
    /// Highest resident memory under load, in MiB.
    pub(crate) loaded: Option<f64>,
    /// Imported cards per second.
    pub(crate) imported: Option<f64>,
}

/// Returns all targets.
pub(crate) fn all(postgres: &Results, sqlite: &Results, amounts: &Amounts) -> Vec<Target> {
    use Contestant::{Empty, Peer, RememberingPeer, Service, Sql};
    use Scenario::{Create, GatewayShow, PassCode, Show, ShowBesideHashing, ShowFields};
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
    let rate = |subject| postgres.median(subject, |sample| sample.rate);
    let server = |subject| postgres.median(subject, |sample| sample.server);
    let total = |subject| postgres.median(subject, total);
    let file = |who| sqlite.median((Show, EIGHT_CALLERS, who), |sample| sample.server + sample.database);
    let late = |who, quantile| postgres.latency((Show, STEADY_RATE, who), quantile);
    let hashing = postgres.latency((ShowBesideHashing, STEADY_RATE, Service), 0.99);
    let at_least = |what, measured, limit| Target { what, measured, limit: Some(limit), at_least: true, unit: "×" };
    let at_most = |what, measured, limit, unit| Target { what, measured, limit: Some(limit), at_least: false, unit };
    let beside = |what, measured| Target { what, measured, limit: None, at_least: false, unit: "×" };
    let show = (Show, EIGHT_CALLERS, Service);
    let create = (Create, EIGHT_CALLERS, Service);
    vec![
        at_least("show: rate to pgbench, 8 at once", ratio(rate(show), rate((Show, EIGHT_CALLERS, Sql))), 0.75),
        at_least(
            "show: rate at 64 at once to pgbench at 8",
            ratio(rate((Show, MANY_CALLERS, Service)), rate((Show, EIGHT_CALLERS, Sql))),
            1.1,
        ),
        at_most(
            "show: CPU of server and database to that of the Go peer",
            ratio(total(show), total((Show, EIGHT_CALLERS, Peer))),
            0.25,
            "×",
        ),
        beside(
            "the same to that of the peer that remembers",
            ratio(total(show), total((Show, EIGHT_CALLERS, RememberingPeer))),
        ),
        at_most(
            "show: CPU of the server to that of the empty call",
            ratio(server(show), server((Show, EIGHT_CALLERS, Empty))),
            3.0,
            "×",
        ),
        at_most(
            "show-fields: CPU of server and database to show",
            ratio(total((ShowFields, EIGHT_CALLERS, Service)), total(show)),
            0.5,
            "×",
        ),
        at_least(
            "create: rate to pgbench's insert, 8 at once",
            ratio(rate(create), rate((Create, EIGHT_CALLERS, Sql))),
            0.6,
        ),
        at_least(
            "create: rate to the Go peer, 8 at once",
            ratio(rate(create), rate((Create, EIGHT_CALLERS, Peer))),
            2.5,
        ),
        beside(
            "the same to the peer that remembers",
            ratio(rate(create), rate((Create, EIGHT_CALLERS, RememberingPeer))),
        ),
        at_most("show: p50 to the Go peer at 1,000/s", ratio(late(Service, 0.5), late(Peer, 0.5)), 0.6, "×"),
        beside("the same to the peer that remembers", ratio(late(Service, 0.5), late(RememberingPeer, 0.5))),
        at_most("show: p99 to the Go peer at 1,000/s", ratio(late(Service, 0.99), late(Peer, 0.99)), 0.6, "×"),
        beside("the same to the peer that remembers", ratio(late(Service, 0.99), late(RememberingPeer, 0.99))),
        at_most(
            "gateway-show: CPU of the server to show over gRPC",
            ratio(server((GatewayShow, EIGHT_CALLERS, Service)), server(show)),
            1.4,
            "×",
        ),
        at_most(
            "pass-code: CPU of the server to one Argon2id hash",
            ratio(server((PassCode, EIGHT_CALLERS, Service)), server((PassCode, EIGHT_CALLERS, Sql))),
            1.1,
            "×",
        ),
        at_most("show: p99 at 1,000/s beside pass codes to p99 alone", ratio(hashing, late(Service, 0.99)), 2.0, "×"),
        at_most(
            "SQLite show: CPU beyond the empty call, in raw joins",
            file(Service).zip(file(Empty)).zip(file(Sql)).map(|((service, empty), join)| (service - empty) / join),
            2.5,
            "×",
        ),
        Target { unit: "/s", ..at_least("import: cards without pass codes", amounts.imported, 20_000.0) },
        at_most("memory, idle", amounts.idle, 16.0, "MiB"),
        at_most("memory, 64 callers at once", amounts.loaded, 24.0, "MiB"),
        at_most("first answer after the start", amounts.first_call, 100.0, "ms"),
    ]
}

/// Returns the CPU time of the server and its database.
pub(crate) fn total(sample: &Sample) -> f64 {
    sample.server + sample.database
}
