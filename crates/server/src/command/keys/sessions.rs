//! The lifetime of sessions that a key signed.

use access_tokens_auth::SESSION_LIFETIME;
use access_tokens_secrets::{KEY_PROPAGATION_TIME, KeyRing};
use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Settings;

/// Returns when the last session ends that a key may have signed, counted from the time at which the current key began to write. Without a
/// note in the ring, that time is at the latest the last change of the file. None where the key signed no session, or the ring is a setting
/// without a note.
pub(super) fn sessions_until(settings: &Settings, ring: &KeyRing, id: &str) -> Option<DateTime<Utc>> {
    if ring.is_prepared(id) {
        return None;
    }
    let changed = || {
        let file = Some(&settings.keys.file).filter(|_| settings.keys.ring.expose().is_empty())?;
        Some(DateTime::<Utc>::from(std::fs::metadata(file).ok()?.modified().ok()?))
    };
    let since = ring.writes_since().or_else(changed)?;
    Some(since + SESSION_LIFETIME + TimeDelta::from_std(KEY_PROPAGATION_TIME).ok()?)
}
