//! Paths of the port for operators.

/// Paths that are requested regularly. Their requests are not logged.
pub(super) const ROUTINE: [&str; 3] = [LIVEZ, READYZ, METRICS];

/// Whether the process runs.
pub(super) const LIVEZ: &str = "/livez";
/// Whether the process is ready.
pub(super) const READYZ: &str = "/readyz";
/// Metrics for Prometheus.
pub(super) const METRICS: &str = "/metrics";
/// Version and target of the build.
pub(super) const BUILDINFO: &str = "/buildinfo";
