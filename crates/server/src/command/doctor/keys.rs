//! Are the keys there, and are they those that the database was written with?

use access_tokens_domain::ports::Clock;
use access_tokens_domain::store::KeyStore;
use access_tokens_storage::Database;

use super::database::told;
use super::report::Report;
use crate::command::context::needed_keys;
use crate::command::keys::{Fit, key_ring};
use crate::config::Settings;
use crate::crypto::{KeyRing, SystemClock};

const CHECK: &str = "keys";

/// So many verification codes are opened: wrong keys show at the first.
const TRIED: u64 = 1_000;

/// What there is of keys.
pub(super) enum Ring {
    Good(KeyRing),
    /// There is no key file: what that means depends on what the database holds.
    Missing(String),
    /// There are none yet, or they are not good, which was reported.
    None,
}

/// Reads the ring.
pub(super) fn ring(settings: &Settings, report: &mut Report) -> Ring {
    let fresh = settings.database.sqlite_file().is_some_and(|file| !file.exists());
    if fresh && settings.keys.ring.expose().is_empty() && !settings.keys.file.exists() {
        report.well(CHECK, "there are none yet: `access-tokens serve` makes them");
        return Ring::None;
    }
    if settings.keys.ring.expose().is_empty() && !settings.keys.file.exists() {
        return Ring::Missing(format!("the key file {} does not exist", settings.keys.file.display()));
    }
    match key_ring(settings) {
        Ok(ring) => {
            let ids: Vec<_> = ring.ids().collect();
            report.well(CHECK, format!("{} key(s): {}; the first one writes", ids.len(), ids.join(", ")));
            Ring::Good(ring)
        }
        Err(error) => {
            let cure =
                "bring the file back from its copy (keys.file, or keys.ring), for the owner of the service alone";
            report.problem(CHECK, format!("{error:#}"), cure);
            Ring::None
        }
    }
}

/// Reports a key file that is missing, with what the database needs of it as far as that can be read.
pub(super) async fn missing(database: Option<&Database>, message: String, report: &mut Report) {
    const RESTORE: &str = "bring the file back from its copy (keys.file), for the owner of the service alone";
    let needed = match database {
        Some(database) => needed_keys(database).await,
        None => return report.problem(CHECK, message, RESTORE),
    };
    match needed {
        Ok(Some(needed)) => report.problem(CHECK, format!("{message}, and the database needs it: {needed}"), RESTORE),
        Ok(None) => report.problem(CHECK, message, "`access-tokens keys init`: nothing in the database needs others"),
        Err(error) => report.problem(CHECK, format!("{message}; what needs it cannot be read: {error:#}"), RESTORE),
    }
}

/// Whether it opens what is stored.
pub(super) async fn check(database: &Database, ring: &KeyRing, report: &mut Report) {
    let uses = match database.key_use(SystemClock.now()).await {
        Ok(uses) => uses,
        Err(error) => {
            return report.problem(CHECK, format!("what needs them cannot be read: {}", told(error)), "see above");
        }
    };
    match Fit::of(database, ring, &uses, Some(TRIED)).await {
        Ok(fit) if fit.is_good() => report.well(CHECK, fit.to_string()),
        Ok(fit) => report.problem(
            CHECK,
            fit.to_string(),
            "put the keys that the database was written with back into the ring, behind those that are there",
        ),
        Err(error) => report.problem(CHECK, format!("what they protect cannot be read: {error:#}"), "see above"),
    }
}
