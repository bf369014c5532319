//! The scenarios: the fault of each, its number of cycles, and what must hold.

mod ambiguous_commits;
mod clock_jumps;
mod database_crash;
mod database_unreachable;
mod demoted_primary;
mod disk_full;
mod failover;
mod failover_checks;
mod frame_load;
mod hostile_deadlines;
mod http2_floods;
mod import_beside_changes;
mod kill_under_load;
mod linearizability;
mod login_flood;
mod login_flood_networks;
mod machine;
mod outsiders;
mod overload;
mod patroni;
mod power_cut;
mod probe_streams;
mod released_sessions;
mod shutdown_under_load;
mod silent_connects;
mod single_use_codes;
mod stalled_connections;
mod standby_promotion;
mod steady_caller;
mod unfinished_bodies;

use crate::run::Scenario;

/// All scenarios, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    hostile_deadlines::SCENARIO,
    kill_under_load::SCENARIO,
    database_crash::SCENARIO,
    standby_promotion::SCENARIO,
    failover::SCENARIO,
    demoted_primary::SCENARIO,
    ambiguous_commits::SCENARIO,
    single_use_codes::SCENARIO,
    linearizability::SCENARIO,
    shutdown_under_load::SCENARIO,
    database_unreachable::SCENARIO,
    http2_floods::SCENARIO,
    stalled_connections::SCENARIO,
    login_flood::SCENARIO,
    power_cut::SCENARIO,
    disk_full::SCENARIO,
    clock_jumps::SCENARIO,
    import_beside_changes::SCENARIO,
    login_flood_networks::SCENARIO,
    unfinished_bodies::SCENARIO,
    probe_streams::SCENARIO,
    silent_connects::SCENARIO,
    released_sessions::SCENARIO,
    overload::SCENARIO,
    patroni::SCENARIO,
];

/// Scenarios that measure the speed of the service: each runs alone.
pub(crate) const EXCLUSIVE: &[&str] = &[
    "failover",
    "demoted_primary",
    "patroni",
    "http2_floods",
    "stalled_connections",
    "login_flood",
    "login_flood_networks",
    "unfinished_bodies",
    "probe_streams",
    "silent_connects",
    "released_sessions",
    "overload",
];

/// Scenarios that `ci` leaves out, because they need a quiet machine, or programs that few machines have.
pub(crate) const NOT_IN_CI: &[&str] = &["overload", "patroni"];
