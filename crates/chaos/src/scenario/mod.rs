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

use crate::run::Scenario;

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
