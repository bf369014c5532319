//! The sessions that a key may have signed.

use access_tokens_auth::SESSION_LIFETIME;
use access_tokens_secrets::{KEY_PROPAGATION_TIME, KeyRing};
use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Settings;

/// When the last session that a key may have signed ends, from the time at which the current key began to write. A ring without
/// a note about it has begun to at the last change of its file, at the latest. `None`: the key has signed none, or the ring is a
/// setting and does not say.
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
