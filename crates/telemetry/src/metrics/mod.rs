//! Metrics: counts and times in memory, read on request.
//!
//! | Name | Kind | Labels | Value |
//! |---|---|---|---|
//! | `access_tokens_build_info` | gauge | `version` | 1 |
//! | `rpc_server_duration_seconds` | histogram | `rpc_method`, `rpc_grpc_status_code` | duration of the calls of each method, by gRPC and HTTP; `_count` is their number; without health and reflection |
//! | `access_tokens_attempts_total` | counter | `kind`, `outcome` | attempts to present a secret: `right`, `wrong`, or `refused` without a comparison |
//! | `access_tokens_locks_total` | counter | `kind` | locks that were caused by wrong secrets |
//! | `access_tokens_codes_total` | counter | `kind`, `outcome` | requests for a code: `admitted`, or `refused` because there were too many |
//! | `access_tokens_guess_bound` | gauge | `organisation`, `classification` | upper bound on the probability that a secret of an access token is guessed within a day: under the policy of the organisation, with an empty `classification`, and under the policy of each classification that has one |
//! | `access_tokens_guess_bound_dropped` | gauge | | minimum number of bounds that are left out because there are more than 100 |
//! | `access_tokens_guess_limit` | gauge | | bound above which a policy is refused |
//! | `access_tokens_hashing_running` | gauge | `queue` | hashes of pass codes and passwords that are being computed: for `authenticated` calls, for log-ins from networks that the user is known from (`known_login`), and for other log-ins (`anonymous_login`) |
//! | `access_tokens_hashing_waiting` | gauge | `queue` | hashes that wait to be computed |
//! | `access_tokens_hashing_refused_total` | counter | `queue` | hashes that were refused because the queue was full |
//! | `access_tokens_imported_total` | counter | `outcome` | records of imports over gRPC: `created`, `updated`, `unchanged`, `kept` or `failed` |
//! | `access_tokens_tokens` | gauge | `state` | access tokens of all organisations, once they were counted; on PostgreSQL with more than 100,000 of them as its planner believes |
//! | `access_tokens_sessions_released` | gauge | | released sessions that have not expired, as far as this process knows |
//! | `db_client_connection_count` | gauge | `db_client_connection_pool_name`, `db_client_connection_state` | connections to the database that are `idle` or `used` |
//! | `db_client_connection_max` | gauge | `db_client_connection_pool_name` | maximum number of connections to the database |
//! | `access_tokens_reads_total` | counter | `source` | with replicas only: reads with bounded staleness, answered by the `primary` or by a `replica` |
//! | `access_tokens_handshakes_dropped_total` | counter | `listener` | connections that were closed during their handshake, to make room for newer ones |
//! | `access_tokens_tls_reload_failures_total` | counter | `listener` | changes of the certificate of a listener that could not be loaded: the old one stays in use |
//! | `access_tokens_connections_dropped_total` | counter | `listener` | connections without an authenticated call that were closed to make room for newer ones |
//! | `rpc_client_duration_seconds` | histogram | `rpc_method`, `rpc_grpc_status_code` | of `access-tokens gateway` only: duration of calls to the service behind it; `_count` is their number |
//! | `access_tokens_upstream_ready` | gauge | | of `access-tokens gateway` only: 1 while the service behind it reports that it is ready, else 0 |
//! | `access_tokens_certificate_expiry_timestamp_seconds` | gauge | `listener`, `role` | end of the validity of the certificates in a file of the settings, in seconds since 1970. `listener` is `grpc`, `http` or `ops`, or a service that is called: `upstream` or `collector`. `role` is `server` or `client` (presented by this process: the certificate of the chain that expires first) or `authority` (the one that expires last) |
//! | `access_tokens_certificate_start_timestamp_seconds` | gauge | `listener`, `role` | start of the validity of the same certificates |
//! | `access_tokens_key_created_timestamp_seconds` | gauge | | time at which the current key was made, in seconds since 1970, if the key file notes it |
//! | `process_cpu_seconds_total` | counter | | seconds on a CPU, of user and system together |
//! | `process_resident_memory_bytes` | gauge | | memory that is in use |
//! | `process_virtual_memory_bytes` | gauge | | memory that is mapped |
//! | `process_open_fds` | gauge | | file descriptors that are open |
//! | `process_max_fds` | gauge | | file descriptors that may be open |
//! | `process_threads` | gauge | | threads |
//! | `process_start_time_seconds` | gauge | | start of the process, in seconds since 1970 |
//! | `access_tokens_control_floods_total` | counter | `listener` | connections that were closed because their clients sent too many control frames of HTTP/2 |
//! | `access_tokens_exports_failed_total` | counter | `signal` | with a collector only: exports of `traces` or `metrics` that failed |
//! | `access_tokens_sqlite_waiting` | gauge | | SQLite only: write transactions that wait in the queue |
//! | `access_tokens_sqlite_units_total` | counter | | SQLite only: write transactions that were acknowledged |
//! | `access_tokens_sqlite_commits_total` | counter | | SQLite only: commits of write transactions, each of one transaction or several |
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
mod value;

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

/// The kind of attempts and locks of user log-ins, in addition to the kinds of secrets of a token.
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
        let durations = |name, described| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(described);
            histogram.with_boundaries(DURATIONS.to_vec()).build()
        };
        let counter = |name, described| meter.u64_counter(name).with_description(described).build();
        let metrics = Self {
            calls: durations(CALLS, "Duration of calls"),
            upstream_calls: durations(UPSTREAM_CALLS, "Duration of calls to the service behind the gateway"),
            attempts: counter("access_tokens.attempts", "Attempts to present a secret"),
            codes: counter("access_tokens.codes", "Requests for a code"),
            locks: counter("access_tokens.locks", "Locks that were caused by wrong secrets"),
            imported: counter("access_tokens.imported", "Records that were imported over gRPC"),
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
        let gauge = gauge.with_description("Bound above which a policy is refused");
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
        let described = "Always 1, with the version of the program as a label";
        self.observe_gauge("access_tokens.build_info", described, |values| {
            values.observe(1, &[KeyValue::new("version", VERSION)]);
        });
    }

    fn tokens(&self) {
        let counts = Arc::clone(&self.tokens);
        self.observe_gauge("access_tokens.tokens", "Access tokens of all organisations", move |values| {
            for (state, count) in &*known(&counts) {
                values.observe(*count, &[KeyValue::new("state", state.name())]);
            }
        });
    }

    fn guess_bounds(&self) {
        let bounds = Arc::clone(&self.bounds);
        let described = "Upper bound on the probability that a secret of an access token is guessed within a day";
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
        let described = "Minimum number of bounds that are left out";
        let dropped = value::single(move || Some(known(&bounds).dropped));
        self.observe_gauge("access_tokens.guess_bound_dropped", described, dropped);
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
