//! Metrics that are looked up when they are read, and cost nothing otherwise.

use std::sync::Arc;

use access_tokens_domain::ports::HashQueue;
use access_tokens_net::drop_counters::DropCounters;
use access_tokens_net::tls;
use access_tokens_secrets::HashingLoad;
use access_tokens_storage::Connections;
use opentelemetry::KeyValue;

use super::Metrics;
use super::value::{Values, single};
use crate as telemetry;

impl Metrics {
    /// Looks up the load of the hasher at each reading of the metrics.
    pub fn watch_hashing(&self, load: impl Fn() -> [(HashQueue, HashingLoad); 3] + Clone + Send + Sync + 'static) {
        let by_queue = |of: fn(HashingLoad) -> u64| {
            let load = load.clone();
            move |values: Values<'_>| {
                for (queue, load) in load() {
                    values.observe(of(load), &[KeyValue::new("queue", queue.name())]);
                }
            }
        };
        let described = "Hashes of pass codes and passwords that are being computed";
        self.observe_gauge("access_tokens.hashing.running", described, by_queue(|load| load.running as u64));
        let described = "Hashes of pass codes and passwords that wait to be computed";
        self.observe_gauge("access_tokens.hashing.waiting", described, by_queue(|load| load.waiting as u64));
        let described = "Hashes of pass codes and passwords that were refused because the queue was full";
        self.observe_counter("access_tokens.hashing.refused", described, by_queue(|load| load.refused));
    }

    /// Looks up the number of transactions that SQLite has acknowledged, and of its commits, at each reading of the
    /// metrics.
    pub fn watch_sqlite(&self, counts: impl Fn() -> Option<(u64, u64)> + Clone + Send + Sync + 'static) {
        let one = |of: fn((u64, u64)) -> u64| {
            let counts = counts.clone();
            single(move || counts().map(of))
        };
        let described = "Write transactions that were acknowledged";
        self.observe_counter("access_tokens.sqlite.units", described, one(|(units, _)| units));
        let described = "Commits of write transactions, each of one transaction or several";
        self.observe_counter("access_tokens.sqlite.commits", described, one(|(_, commits)| commits));
    }

    /// Looks up the number of transactions that wait to write to SQLite at each reading of the metrics.
    pub fn watch_sqlite_queue(&self, waiting: impl Fn() -> Option<usize> + Send + Sync + 'static) {
        let described = "Write transactions that wait in the queue";
        let waiting = single(move || waiting().map(|count| count as u64));
        self.observe_gauge("access_tokens.sqlite.waiting", described, waiting);
    }

    /// Looks up the number of times that the certificate of a listener changed and could not be used, at each reading
    /// of the metrics.
    pub fn watch_certificate_reloads(&self) {
        let described = "Changes of the certificate of a listener that could not be loaded";
        self.observe_counter("access_tokens.tls.reload_failures", described, |values| {
            for (listener, count) in tls::reload_failures() {
                values.observe(count, &[KeyValue::new("listener", listener)]);
            }
        });
    }

    /// Looks up the numbers of reads that the primary and the replicas have answered, at each reading of the metrics.
    pub fn watch_reads(&self, counts: impl Fn() -> Option<(u64, u64)> + Send + Sync + 'static) {
        let described = "Reads with bounded staleness, where there are replicas";
        self.observe_counter("access_tokens.reads", described, move |values| {
            let Some((primary, replica)) = counts() else { return };
            for (source, count) in [("primary", primary), ("replica", replica)] {
                values.observe(count, &[KeyValue::new("source", source)]);
            }
        });
    }

    /// Looks up the connections to the database at each reading of the metrics.
    pub fn watch_connections(&self, connections: impl Fn() -> Vec<Connections> + Clone + Send + Sync + 'static) {
        let pool = |name: &'static str| KeyValue::new("db.client.connection.pool.name", name);
        let look = connections.clone();
        self.observe_gauge("db.client.connection.count", "Connections to the database", move |values| {
            for Connections { purpose, open, idle, .. } in look() {
                for (state, count) in [("idle", idle), ("used", open - idle)] {
                    values.observe(count.into(), &[pool(purpose), KeyValue::new("db.client.connection.state", state)]);
                }
            }
        });
        let described = "Maximum number of connections to the database";
        self.observe_gauge("db.client.connection.max", described, move |values| {
            connections().iter().for_each(|found| values.observe(found.max.into(), &[pool(found.purpose)]));
        });
    }

    /// Looks up the numbers of connections that listeners have closed, at each reading of the metrics.
    pub fn watch_dropped(&self, dropped: Vec<Arc<DropCounters>>) {
        let dropped: Arc<[Arc<DropCounters>]> = dropped.into();
        let names = [
            (
                "access_tokens.handshakes.dropped",
                "Connections that were closed during their handshake, to make room for newer ones",
            ),
            (
                "access_tokens.connections.dropped",
                "Connections without an authenticated call that were closed to make room for newer ones",
            ),
            (
                "access_tokens.control_floods",
                "Connections that were closed because their clients sent too many control frames",
            ),
        ];
        for (place, (name, described)) in names.into_iter().enumerate() {
            let dropped = Arc::clone(&dropped);
            self.observe_counter(name, described, move |values| {
                for port in dropped.iter() {
                    values.observe(port.counts()[place], &[KeyValue::new("listener", port.listener())]);
                }
            });
        }
    }

    /// Looks up whether the service behind the gateway is ready, at each reading of the metrics.
    pub fn watch_upstream(&self, ready: impl Fn() -> bool + Send + Sync + 'static) {
        let described = "1 while the service behind the gateway reports that it is ready, else 0";
        self.observe_gauge("access_tokens.upstream.ready", described, single(move || Some(ready().into())));
    }

    /// Looks up the number of failed exports at each reading of the metrics.
    pub(super) fn watch_exports(&self) {
        self.observe_counter("access_tokens.exports.failed", "Exports to the collector that failed", |values| {
            for signal in telemetry::exported_signals() {
                values.observe(signal.failed(), &[KeyValue::new("signal", signal.name())]);
            }
        });
    }

    /// Looks up the number of released sessions that have not expired, at each reading of the metrics.
    pub fn watch_released(&self, released: impl Fn() -> usize + Send + Sync + 'static) {
        let described = "Released sessions that have not expired";
        let released = single(move || Some(released() as u64));
        self.observe_gauge("access_tokens.sessions.released", described, released);
    }

    pub(super) fn observe_gauge(
        &self,
        name: &'static str,
        described: &'static str,
        observe: impl Fn(Values<'_>) + Send + Sync + 'static,
    ) {
        self.meter.u64_observable_gauge(name).with_description(described).with_callback(observe).build();
    }

    fn observe_counter(
        &self,
        name: &'static str,
        described: &'static str,
        observe: impl Fn(Values<'_>) + Send + Sync + 'static,
    ) {
        self.meter.u64_observable_counter(name).with_description(described).with_callback(observe).build();
    }
}
