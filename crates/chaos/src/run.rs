//! What a scenario is, and one run of it.

use std::path::Path;
use std::pin::Pin;

use access_tokens_testkit::postgres::Cluster;
use anyhow::Result;
use tokio::task::block_in_place;

use crate::report::Report;
use crate::stage::{Kind, Plan};

/// A scenario on one database: in the work, its report.
pub(crate) type Playing<'a> = Pin<Box<dyn Future<Output = Result<Report>> + Send + 'a>>;

/// A scenario.
pub(crate) struct Scenario {
    /// By which it is called.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) title: &'static str,
    /// On which databases, and how often at size ci and at size soak.
    pub(crate) sizes: &'static [(Kind, usize, usize)],
    /// What its red mode switches off; empty when there is none.
    pub(crate) red: &'static str,
    /// Plays it.
    pub(crate) play: for<'a> fn(&'a Run) -> Playing<'a>,
}

/// The red mode that most scenarios have.
pub(crate) const LIAR: &str = "a proxy before the service acknowledges writes that it passes on later";

/// One run of a scenario on one database.
pub(crate) struct Run {
    /// Which one.
    pub(crate) scenario: &'static Scenario,
    /// Where.
    pub(crate) kind: Kind,
    /// How often.
    pub(crate) cycles: usize,
    /// With the guard off.
    pub(crate) red: bool,
    /// Where chance begins.
    pub(crate) seed: u64,
    /// The binary of the service.
    pub(crate) binary: String,
}

impl Run {
    /// Returns how the binary was built: the name of its folder.
    pub(crate) fn build(&self) -> &str {
        let folder = Path::new(&self.binary).parent().and_then(Path::file_name);
        folder.and_then(|name| name.to_str()).unwrap_or("unknown")
    }

    /// Returns whether the binary is one for use, not for development. Numbers are stated for those.
    pub(crate) fn is_optimised(&self) -> bool {
        self.build() != "debug"
    }

    /// The usual stage: one process, a cluster of its own where it is PostgreSQL, and a liar in red mode.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let cluster = match self.kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(block_in_place(Cluster::start)?),
        };
        Ok(Plan { binary: self.binary.clone(), cluster, replicas: 1, liar: self.red, ..Plan::default() })
    }
}
