//! Metrics: counts and times in memory, read on request.
//!
//! | Name | Kind | Labels | What it is |
//! |---|---|---|---|
//! | `access_tokens_build_info` | gauge | `version` | 1 |
//! | `rpc_server_duration_seconds` | histogram | `rpc_method`, `rpc_grpc_status_code` | calls of each method by gRPC and HTTP, and the time until their answer; `_count` counts them; without health and reflection |
//! | `access_tokens_attempts_total` | counter | `kind`, `outcome` | secrets that were presented: `right`, `wrong`, or `refused` without a comparison |
//! | `access_tokens_locks_total` | counter | `kind` | locks that began with a wrong secret |
//! | `access_tokens_codes_total` | counter | `kind`, `outcome` | codes that were asked for: `admitted`, or `refused` as one too many |
//! | `access_tokens_guess_bound` | gauge | `organisation`, `classification` | chance per token and day that somebody guesses a secret, at most: of the organisation's own policy, with an empty `classification`, and of each classification that has one |
//! | `access_tokens_guess_bound_dropped` | gauge | | bounds that are left out, at least, since there are more than 100 |
//! | `access_tokens_guess_limit` | gauge | | the bound above which a policy is refused |
//! | `access_tokens_hashing_running` | gauge | `queue` | pass codes and passwords that are being hashed: for `authenticated` calls, for log-ins from networks that the user is known from (`known_login`), and for other log-ins (`anonymous_login`) |
//! | `access_tokens_hashing_waiting` | gauge | `queue` | those that wait for it |
//! | `access_tokens_hashing_refused_total` | counter | `queue` | those for which there was no room |
//! | `access_tokens_imported_total` | counter | `outcome` | records of imports over gRPC: `created`, `updated`, `unchanged`, `kept` or `failed` |
//! | `access_tokens_tokens` | gauge | `state` | access tokens of all organisations, once they were counted; on PostgreSQL with more than 100,000 of them as its planner believes |
//! | `access_tokens_sessions_released` | gauge | | sessions that were ended and have not expired yet, as this process knows |
//! | `db_client_connection_count` | gauge | `db_client_connection_pool_name`, `db_client_connection_state` | connections to the database that are `idle` or `used` |
//! | `db_client_connection_max` | gauge | `db_client_connection_pool_name` | how many there may be |
//! | `access_tokens_reads_total` | counter | `source` | with replicas only: reads that may be a moment old, answered by the `primary` or by a `replica` |
//! | `access_tokens_handshakes_dropped_total` | counter | `listener` | connections that were closed before their handshake was complete, to make room for newer ones |
//! | `access_tokens_tls_reload_failures_total` | counter | `listener` | changes of the certificate of a listener that could not be used: the old one is shown on |
//! | `access_tokens_connections_dropped_total` | counter | `listener` | connections without an authenticated call that were closed to make room for newer ones |
//! | `rpc_client_duration_seconds` | histogram | `rpc_method`, `rpc_grpc_status_code` | of `access-tokens gateway` only: calls to the service behind it, and the time until their answer; `_count` counts them |
//! | `access_tokens_upstream_ready` | gauge | | of `access-tokens gateway` only: 1 while the service behind it says that it is ready, else 0 |
//! | `access_tokens_certificate_expiry_timestamp_seconds` | gauge | `listener`, `role` | end of the certificates in a file of the settings, in seconds since 1970. `listener` is `grpc`, `http` or `ops`, or a service that is called: `upstream` or `collector`. `role` is `server` or `client` (shown by this process: the first of the chain to end) or `authority` (the last to end) |
//! | `access_tokens_certificate_start_timestamp_seconds` | gauge | `listener`, `role` | begin of the same certificates |
//! | `access_tokens_key_created_timestamp_seconds` | gauge | | when the key that writes was made, in seconds since 1970, where the key file says so |
//! | `process_cpu_seconds_total` | counter | | seconds on a CPU, of user and system together |
//! | `process_resident_memory_bytes` | gauge | | memory that is in use |
//! | `process_virtual_memory_bytes` | gauge | | memory that is mapped |
//! | `process_open_fds` | gauge | | file descriptors that are open |
//! | `process_max_fds` | gauge | | file descriptors that may be open |
//! | `process_threads` | gauge | | threads |
//! | `process_start_time_seconds` | gauge | | start of the process, in seconds since 1970 |
//! | `access_tokens_control_floods_total` | counter | `listener` | connections that were closed since their clients sent too many control frames of HTTP/2 |
//! | `access_tokens_exports_failed_total` | counter | `signal` | with a collector only: exports of `traces` or `metrics` that failed |
//! | `access_tokens_sqlite_waiting` | gauge | | SQLite only: units of work that wait for their turns to write |
//! | `access_tokens_sqlite_units_total` | counter | | SQLite only: units of work that were acknowledged |
//! | `access_tokens_sqlite_commits_total` | counter | | SQLite only: commits that it took, each for one unit or several |
//!
//! A label never contains text that a caller sends, nor the id of a token, an identifier or the name of a user. `kind`
//! is a SecretKind of the contract or PASSWORD (a log-in of a user), `rpc_method` a method of the contract or
//! `unknown`, `rpc_grpc_status_code` a number. Attempts reveal more than an answer does, so this is for operators only.
//!
//! A measurement is an atomic addition. Values that can be looked up are looked up when the metrics are read.

mod certificate_file;
mod guess_bounds;
mod lifetimes;
mod observed;
mod process;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_domain::attempts::SecretKind;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::observer::{AttemptOutcome, Observer};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::{Instrument, MeterProviderBuilder, SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};
use tonic::Code;

pub use certificate_file::CertificateFile;
pub use guess_bounds::GuessBounds;

use crate as telemetry;
use crate::VERSION;

/// The type of [`Metrics::text`].
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const CALLS: &str = "rpc.server.duration";
const UPSTREAM_CALLS: &str = "rpc.client.duration";

/// Maximum number of series of any other instrument. Further ones would be added up as one.
const SERIES: usize = 128;
const _: () = assert!(guess_bounds::MAX_SERIES <= SERIES);

/// The kind of attempts and locks of user log-ins, beside the kinds of secrets of a token.
const PASSWORD: &str = "PASSWORD";

/// Outcomes of a record of an import.
const IMPORTED: [&str; 5] = ["created", "updated", "unchanged", "kept", "failed"];

/// Boundaries of the histograms in seconds, from a look-up in memory to the longest call.
const DURATIONS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of one process. They are passed to the code that measures; there is no global instance.
pub struct Metrics {
    registry: Registry,
    meter: Meter,
    calls: Histogram<f64>,
    upstream_calls: Histogram<f64>,
    attempts: Counter<u64>,
    codes: Counter<u64>,
    locks: Counter<u64>,
    imported: Counter<u64>,
    tokens: Arc<Mutex<Vec<(LifeCycleState, u64)>>>,
    bounds: Arc<Mutex<GuessBounds>>,
    /// Dropping it removes the instruments.
    provider: SdkMeterProvider,
}

impl Metrics {
    /// Makes the metrics of the service, without values, which are read in this process only.
    pub fn new() -> Self {
        Self::of(SdkMeterProvider::builder()).of_service()
    }

    /// Makes the metrics of the service, which are also sent to the collector, if there is one.
    pub fn exported() -> Self {
        Self::exported_of_gateway().of_service()
    }

    /// Makes the metrics of the gateway as its own process, which are also sent to the collector, if there is one.
    pub fn exported_of_gateway() -> Self {
        let Some((reader, resource)) = telemetry::metrics_reader() else {
            return Self::of(SdkMeterProvider::builder());
        };
        let metrics = Self::of(SdkMeterProvider::builder().with_resource(resource).with_reader(reader));
        telemetry::keep_until_finish(&metrics.provider);
        metrics.watch_exports();
        metrics
    }

    /// Adds the metrics that only the service has.
    fn of_service(self) -> Self {
        self.guess_bounds();
        self.tokens();
        self.begin_at_zero();
        self
    }

    fn of(provider: MeterProviderBuilder) -> Self {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .expect("the registry is new, so nothing in it has the same name");
        let provider = provider.with_reader(reader).with_view(few_series).build();
        let meter = provider.meter("access-tokens");
        let described = "Calls, and the seconds until their answer";
        let calls = meter.f64_histogram(CALLS).with_unit("s").with_description(described);
        let described = "Calls to the service behind the gateway, and the seconds until their answer";
        let upstream_calls = meter.f64_histogram(UPSTREAM_CALLS).with_unit("s").with_description(described);
        let attempts = meter.u64_counter("access_tokens.attempts").with_description("Secrets that were presented");
        let codes = meter.u64_counter("access_tokens.codes").with_description("Codes that were asked for");
        let locks = meter.u64_counter("access_tokens.locks").with_description("Locks that began with a wrong secret");
        let imported = meter.u64_counter("access_tokens.imported").with_description("Records of imports over gRPC");
        let metrics = Self {
            calls: calls.with_boundaries(DURATIONS.to_vec()).build(),
            upstream_calls: upstream_calls.with_boundaries(DURATIONS.to_vec()).build(),
            attempts: attempts.build(),
            codes: codes.build(),
            locks: locks.build(),
            imported: imported.build(),
            tokens: Arc::default(),
            bounds: Arc::default(),
            registry,
            meter,
            provider,
        };
        metrics.build_info();
        process::watch(&metrics.meter);
        metrics
    }

    /// Records a call that has ended. `method` is a method of the contract: each makes a series.
    pub fn call(&self, method: &'static str, code: Code, took: Duration) {
        self.calls.record(took.as_secs_f64(), &call_labels(method, code));
    }

    /// Records a call to the service behind the gateway that has ended. `method` is a method of the contract: each
    /// makes a series.
    pub fn upstream_call(&self, method: &'static str, code: Code, took: Duration) {
        self.upstream_calls.record(took.as_secs_f64(), &call_labels(method, code));
    }

    /// Counts records of an import.
    pub fn imported(&self, outcome: &'static str, records: u64) {
        self.imported.add(records, &[KeyValue::new("outcome", outcome)]);
    }

    /// Sets the number of access tokens in each state.
    pub fn set_tokens(&self, counts: Vec<(LifeCycleState, u64)>) {
        *known(&self.tokens) = counts;
    }

    /// Sets the bound above which a policy is refused.
    pub fn set_guess_limit(&self, limit: f64) {
        let gauge = self.meter.f64_observable_gauge("access_tokens.guess_limit");
        let gauge = gauge.with_description("The bound above which a policy is refused");
        gauge.with_callback(move |seen| seen.observe(limit, &[])).build();
    }

    /// Sets the bounds of the stored policies.
    pub fn set_guess_bounds(&self, bounds: GuessBounds) {
        *known(&self.bounds) = bounds;
    }

    /// Returns all metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        // The encoder refuses only metrics without a name or without values, which the registry does not have.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn build_info(&self) {
        let gauge = self.meter.u64_observable_gauge("access_tokens.build_info").with_description("1");
        gauge.with_callback(|seen| seen.observe(1, &[KeyValue::new("version", VERSION)])).build();
    }

    fn tokens(&self) {
        let counts = Arc::clone(&self.tokens);
        let gauge = self.meter.u64_observable_gauge("access_tokens.tokens").with_description("Access tokens");
        let gauge = gauge.with_callback(move |seen| {
            for (state, count) in &*known(&counts) {
                seen.observe(*count, &[KeyValue::new("state", state.name())]);
            }
        });
        gauge.build();
    }

    fn guess_bounds(&self) {
        let bounds = Arc::clone(&self.bounds);
        let described = "Chance per access token and day that somebody guesses a secret, at most";
        let gauge = self.meter.f64_observable_gauge("access_tokens.guess_bound").with_description(described);
        let gauge = gauge.with_callback(move |seen| {
            for ((organisation, classification), chance) in &known(&bounds).series {
                let labels = [
                    KeyValue::new("classification", classification.clone()),
                    KeyValue::new("organisation", organisation.clone()),
                ];
                seen.observe(*chance, &labels);
            }
        });
        gauge.build();
        let bounds = Arc::clone(&self.bounds);
        let gauge = self.meter.u64_observable_gauge("access_tokens.guess_bound_dropped");
        let gauge = gauge.with_description("Bounds that are left out, at least");
        gauge.with_callback(move |seen| seen.observe(known(&bounds).dropped, &[])).build();
    }

    /// Makes all series of counters with the value 0. The first event of a counter that appears with it is invisible to
    /// a query for increases.
    fn begin_at_zero(&self) {
        for outcome in IMPORTED {
            self.imported(outcome, 0);
        }
        for kind in SecretKind::ALL.map(SecretKind::name).into_iter().chain([PASSWORD]) {
            self.count_locks(kind, 0);
            for outcome in AttemptOutcome::ALL {
                self.count_attempts(kind, outcome, 0);
            }
        }
        for kind in SecretKind::ALL {
            for admitted in [true, false] {
                self.count_codes(kind, admitted, 0);
            }
        }
    }

    fn count_locks(&self, kind: &'static str, count: u64) {
        self.locks.add(count, &[KeyValue::new("kind", kind)]);
    }

    fn count_attempts(&self, kind: &'static str, outcome: AttemptOutcome, count: u64) {
        self.attempts.add(count, &[KeyValue::new("kind", kind), KeyValue::new("outcome", outcome.name())]);
    }

    fn count_codes(&self, kind: SecretKind, admitted: bool, count: u64) {
        let outcome = if admitted { "admitted" } else { "refused" };
        self.codes.add(count, &[KeyValue::new("kind", kind.name()), KeyValue::new("outcome", outcome)]);
    }
}

fn call_labels(method: &'static str, code: Code) -> [KeyValue; 2] {
    [KeyValue::new("rpc.grpc.status_code", i64::from(code as i32)), KeyValue::new("rpc.method", method)]
}

/// Limits the series of instruments. The library reserves 2,000 series for each instrument, used or not: two megabytes
/// for all of them. Only calls have many.
fn few_series(instrument: &Instrument) -> Option<Stream> {
    if [CALLS, UPSTREAM_CALLS].contains(&instrument.name()) {
        None
    } else {
        Stream::builder().with_cardinality_limit(SERIES).build().ok()
    }
}

fn known<T>(found: &Mutex<T>) -> MutexGuard<'_, T> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Observer for Metrics {
    fn attempt(&self, kind: SecretKind, outcome: AttemptOutcome) {
        self.count_attempts(kind.name(), outcome, 1);
    }

    fn issue(&self, kind: SecretKind, admitted: bool) {
        self.count_codes(kind, admitted, 1);
    }

    fn locked(&self, kind: SecretKind) {
        self.count_locks(kind.name(), 1);
    }

    fn login(&self, outcome: AttemptOutcome) {
        self.count_attempts(PASSWORD, outcome, 1);
    }

    fn login_locked(&self) {
        self.count_locks(PASSWORD, 1);
    }
}
