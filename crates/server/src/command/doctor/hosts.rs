//! Reports the role of each host of PostgreSQL, where there are several.

use access_tokens_storage::{HostReport, HostRole, hosts};

use super::report::Report;
use crate::config::Settings;

const CHECK: &str = "hosts";

pub(super) async fn check(settings: &Settings, report: &mut Report) {
    let options = settings.database.options();
    if !options.is_replicated() {
        return;
    }
    // An invalid URL is a finding of the database.
    let Ok(found) = hosts(&options).await else { return };
    for HostReport { setting, host, role, .. } in &found {
        match role {
            HostRole::Primary => report.ok(CHECK, format!("{setting}: {host} is a primary")),
            HostRole::Standby => report.ok(CHECK, format!("{setting}: {host} is a standby")),
            HostRole::ReadOnly => report.warning(
                CHECK,
                format!("{setting}: {host} is a primary that refuses writes"),
                "ALTER ROLE role RESET default_transaction_read_only, or ALTER DATABASE name RESET it",
            ),
            HostRole::Unreachable { cause, cure } => {
                let cure = cure.as_deref().unwrap_or("look at the log of PostgreSQL");
                report.warning(CHECK, format!("{setting}: {host} cannot be used: {cause}"), cure);
            }
        }
    }
    let mut primaries: Vec<_> = found.iter().filter(|one| is_primary(one)).collect();
    let named = primaries.len();
    // Two names of one server are one server.
    primaries.sort_by(|one, other| one.started.cmp(&other.started));
    primaries.dedup_by(|one, other| one.started == other.started);
    if named > primaries.len() {
        report.warning(CHECK, "database.url names the same server twice", "name each server once");
    }
    let primaries: Vec<_> = primaries.into_iter().map(|one| one.host.as_str()).collect();
    if primaries.len() > 1 {
        report.problem(
            CHECK,
            format!("several hosts are primaries: {}", primaries.join(", ")),
            "remove a server of another cluster from the list; of one cluster, keep the one that was promoted last, which the service uses; stop the others, keep copies of their data \
             directories, and rebuild them as standbys, such as by pg_rewind, which removes their later commits",
        );
    }
}

fn is_primary(host: &HostReport) -> bool {
    host.setting == "database.url" && matches!(host.role, HostRole::Primary | HostRole::ReadOnly)
}
