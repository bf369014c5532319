//! A scenario, and one run of it.

use std::path::Path;
use std::pin::Pin;

use access_tokens_testkit::postgres::Cluster;
use anyhow::Result;
use tokio::task::block_in_place;

use crate::environment::{Kind, Options, Setup};
use crate::report::Report;

/// A run in progress. Its result is the report.
pub(crate) type ScenarioFuture<'a> = Pin<Box<dyn Future<Output = Result<Report>> + Send + 'a>>;

/// A fault test.
pub(crate) struct Scenario {
    /// Name on the command line and in reports.
    pub(crate) name: &'static str,
    /// Number that the scenario had before it had a name, still accepted on the command line.
    pub(crate) number: Option<&'static str>,
    /// One sentence about the fault.
    pub(crate) title: &'static str,
    /// Databases, each with the number of cycles at size `ci` and at size `soak`.
    pub(crate) sizes: &'static [(Kind, usize, usize)],
    /// The guard that the mutation check removes; empty if the scenario has no mutation check.
    pub(crate) mutation: &'static str,
    /// Runs the scenario.
    pub(crate) execute: for<'a> fn(&'a Run) -> ScenarioFuture<'a>,
}

/// The mutation of most scenarios.
pub(crate) const LYING_PROXY: &str = "a proxy before the service acknowledges writes that it forwards later";

/// One run of a scenario on one database.
pub(crate) struct Run {
    /// The scenario.
    pub(crate) scenario: &'static Scenario,
    /// The database.
    pub(crate) kind: Kind,
    /// Number of cycles.
    pub(crate) cycles: usize,
    /// Whether this is the mutation check: the guard is removed, and the run must fail.
    pub(crate) mutated: bool,
    /// Seed of all random choices.
    pub(crate) seed: u64,
    /// Binary of the service.
    pub(crate) binary: String,
}

impl Run {
    /// Returns the build profile of the binary: the name of its directory.
    pub(crate) fn build(&self) -> &str {
        let directory = Path::new(&self.binary).parent().and_then(Path::file_name);
        directory.and_then(|name| name.to_str()).unwrap_or("unknown")
    }

    /// Returns whether the binary is optimised. Limits of times and memory hold only for optimised builds.
    pub(crate) fn is_optimised(&self) -> bool {
        self.build() != "debug"
    }

    /// Returns the usual setup: one process, a PostgreSQL cluster of its own unless the database is SQLite, and a lying proxy in the
    /// mutation check.
    pub(crate) fn setup(&self) -> Result<Setup> {
        let cluster = match self.kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(block_in_place(Cluster::start)?),
        };
        Ok(Setup { base: self.options(cluster), lying_proxy: self.mutated, ..Setup::default() })
    }

    /// Returns the options of an environment with this binary, on a PostgreSQL cluster or else on SQLite.
    pub(crate) fn options(&self, cluster: Option<Cluster>) -> Options {
        Options { binary: self.binary.clone(), cluster, ..Options::default() }
    }
}
