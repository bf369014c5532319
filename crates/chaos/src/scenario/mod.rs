//! The scenarios: what is broken, how often, and what must hold.

mod import_beside_changes;
mod login_flood_networks;
mod machine;
mod overload;
mod probe_streams;
mod released_sessions;
mod silent_connects;
mod steady;
mod strangers;
mod t01;
mod t02;
mod t03;
mod t05;
mod t05_promotion;
mod t06;
mod t08;
mod t12;
mod t14;
mod t15;
mod t20;
mod t22;
mod t23;
mod t25;
mod t29;
mod unfinished_bodies;
mod volley;

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

/// All of them, in their order.
pub(crate) const ALL: &[Scenario] = &[
    t01::SCENARIO,
    t02::SCENARIO,
    t05::SCENARIO,
    t05_promotion::SCENARIO,
    t06::SCENARIO,
    t08::SCENARIO,
    t12::SCENARIO,
    t14::SCENARIO,
    t15::SCENARIO,
    t20::SCENARIO,
    t22::SCENARIO,
    t23::SCENARIO,
    t03::SCENARIO,
    t25::SCENARIO,
    t29::SCENARIO,
    import_beside_changes::SCENARIO,
    login_flood_networks::SCENARIO,
    unfinished_bodies::SCENARIO,
    probe_streams::SCENARIO,
    silent_connects::SCENARIO,
    released_sessions::SCENARIO,
    overload::SCENARIO,
];

/// Those that measure how fast the service is: nothing else runs meanwhile.
pub(crate) const ALONE: &[&str] = &[
    "t20",
    "t22",
    "t23",
    "login_flood_networks",
    "unfinished_bodies",
    "probe_streams",
    "silent_connects",
    "released_sessions",
    "overload",
];

/// What is not part of `ci`: its promise is not kept yet.
pub(crate) const OPEN: &[&str] = &["overload"];

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
    /// How the binary was built, as far as its folder tells.
    pub(crate) fn build(&self) -> &'static str {
        if self.binary.contains("/release/") { "release" } else { "debug" }
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
