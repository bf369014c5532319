//! Metrics that are looked up when they are read, and cost nothing otherwise.

use std::sync::Arc;

use access_tokens_domain::ports::HashQueue;
use access_tokens_net::drop_counters::DropCounters;
use access_tokens_net::tls;
use access_tokens_secrets::HashingLoad;
use access_tokens_storage::Connections;
use opentelemetry::KeyValue;

use super::Metrics;
use crate as telemetry;

impl Metrics {
    /// Looks up the load of the hasher at each reading of the metrics.
    pub fn watch_hashing(&self, load: impl Fn() -> [(HashQueue, HashingLoad); 3] + Clone + Send + Sync + 'static) {
        let gauge = |name, described, of: fn(HashingLoad) -> usize| {
            let load = load.clone();
            let gauge = self.meter.u64_observable_gauge(name).with_description(described);
            let look = move || load().map(|(queue, load)| (of(load) as u64, [KeyValue::new("queue", queue.name())]));
            gauge
                .with_callback(move |seen| look().iter().for_each(|(count, queue)| seen.observe(*count, queue)))
                .build();
        };
        gauge("access_tokens.hashing.running", "Hashes of pass codes and passwords that are being computed", |load| {
            load.running
        });
        gauge("access_tokens.hashing.waiting", "Hashes of pass codes and passwords that wait to be computed", |load| {
            load.waiting
        });
        let counter = self.meter.u64_observable_counter("access_tokens.hashing.refused");
        let counter =
            counter.with_description("Hashes of pass codes and passwords that were refused because the queue was full");
        let look = move || load().map(|(queue, load)| (load.refused, [KeyValue::new("queue", queue.name())]));
        counter.with_callback(move |seen| look().iter().for_each(|(count, queue)| seen.observe(*count, queue))).build();
    }

    /// Looks up the number of transactions that SQLite has acknowledged, and of its commits, at each reading of the
    /// metrics.
    pub fn watch_sqlite(&self, counts: impl Fn() -> Option<(u64, u64)> + Clone + Send + Sync + 'static) {
        let counter = |name, described, of: fn((u64, u64)) -> u64| {
            let counts = counts.clone();
            let counter = self.meter.u64_observable_counter(name).with_description(described);
            let look = move || counts().map(of);
            counter.with_callback(move |seen| look().iter().for_each(|count| seen.observe(*count, &[]))).build();
        };
        counter("access_tokens.sqlite.units", "Write transactions that were acknowledged", |(units, _)| units);
        counter(
            "access_tokens.sqlite.commits",
            "Commits of write transactions, each of one transaction or several",
            |(_, commits)| commits,
        );
    }

    /// Looks up the number of transactions that wait to write to SQLite at each reading of the metrics.
    pub fn watch_sqlite_queue(&self, waiting: impl Fn() -> Option<usize> + Send + Sync + 'static) {
        let gauge = self.meter.u64_observable_gauge("access_tokens.sqlite.waiting");
        let gauge = gauge.with_description("Write transactions that wait in the queue");
        gauge.with_callback(move |seen| waiting().iter().for_each(|count| seen.observe(*count as u64, &[]))).build();
    }

    /// Looks up the number of times that the certificate of a listener changed and could not be used, at each reading
    /// of the metrics.
    pub fn watch_certificate_reloads(&self) {
        let counter = self.meter.u64_observable_counter("access_tokens.tls.reload_failures");
        let counter = counter.with_description("Changes of the certificate of a listener that could not be loaded");
        let look = || tls::reload_failures().map(|(listener, count)| (count, [KeyValue::new("listener", listener)]));
        counter.with_callback(move |seen| look().for_each(|(count, listener)| seen.observe(count, &listener))).build();
    }

    /// Looks up the numbers of reads that the primary and the replicas have answered, at each reading of the metrics.
    pub fn watch_reads(&self, counts: impl Fn() -> Option<(u64, u64)> + Send + Sync + 'static) {
        let counter = self.meter.u64_observable_counter("access_tokens.reads");
        let counter = counter.with_description("Reads with bounded staleness, where there are replicas");
        let counter = counter.with_callback(move |seen| {
            let Some((primary, replica)) = counts() else { return };
            for (source, count) in [("primary", primary), ("replica", replica)] {
                seen.observe(count, &[KeyValue::new("source", source)]);
            }
        });
        counter.build();
    }

    /// Looks up the connections to the database at each reading of the metrics.
    pub fn watch_connections(&self, connections: impl Fn() -> Vec<Connections> + Clone + Send + Sync + 'static) {
        let pool = |name: &'static str| KeyValue::new("db.client.connection.pool.name", name);
        let gauge = self.meter.u64_observable_gauge("db.client.connection.count");
        let gauge = gauge.with_description("Connections to the database");
        let look = connections.clone();
        let gauge = gauge.with_callback(move |seen| {
            for Connections { purpose, open, idle, .. } in look() {
                for (state, count) in [("idle", idle), ("used", open - idle)] {
                    seen.observe(count.into(), &[pool(purpose), KeyValue::new("db.client.connection.state", state)]);
                }
            }
        });
        gauge.build();
        let gauge = self.meter.u64_observable_gauge("db.client.connection.max");
        let gauge = gauge.with_description("Maximum number of connections to the database");
        let gauge = gauge.with_callback(move |seen| {
            connections().iter().for_each(|found| seen.observe(found.most.into(), &[pool(found.purpose)]));
        });
        gauge.build();
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
            let counter = self.meter.u64_observable_counter(name).with_description(described);
            let counter = counter.with_callback(move |seen| {
                for port in dropped.iter() {
                    seen.observe(port.counts()[place], &[KeyValue::new("listener", port.listener())]);
                }
            });
            counter.build();
        }
    }

    /// Looks up whether the service behind the gateway is ready, at each reading of the metrics.
    pub fn watch_upstream(&self, ready: impl Fn() -> bool + Send + Sync + 'static) {
        let gauge = self.meter.u64_observable_gauge("access_tokens.upstream.ready");
        let gauge = gauge.with_description("1 while the service behind the gateway reports that it is ready, else 0");
        gauge.with_callback(move |seen| seen.observe(u64::from(ready()), &[])).build();
    }

    /// Looks up the number of failed exports at each reading of the metrics.
    pub(super) fn watch_exports(&self) {
        let counter = self.meter.u64_observable_counter("access_tokens.exports.failed");
        let counter = counter.with_description("Exports to the collector that failed");
        let counter = counter.with_callback(|seen| {
            for signal in telemetry::exported_signals() {
                seen.observe(signal.failed(), &[KeyValue::new("signal", signal.name())]);
            }
        });
        counter.build();
    }

    /// Looks up the number of released sessions that have not expired, at each reading of the metrics.
    pub fn watch_released(&self, released: impl Fn() -> usize + Send + Sync + 'static) {
        let gauge = self.meter.u64_observable_gauge("access_tokens.sessions.released");
        let gauge = gauge.with_description("Released sessions that have not expired");
        gauge.with_callback(move |seen| seen.observe(released() as u64, &[])).build();
    }
}
