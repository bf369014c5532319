//! The key ring that the settings name.

use std::path::Path;

use access_tokens_auth::SESSION_LIFETIME;
use access_tokens_secrets::{KEY_PROPAGATION_TIME, KeyRing, KeyRingError};
use anyhow::{Context as _, anyhow};
use chrono::{DateTime, TimeDelta, Utc};

use crate::command::context;
use crate::config::Settings;

/// Returns the key file, for a change.
pub(super) fn key_file(settings: &Settings) -> anyhow::Result<&Path> {
    settings.keys.ring_file().context(
        "the keys come from the setting keys.ring, not from a file: change it where it is set, and start the replicas \
         again one by one",
    )
}

/// Returns the key ring. A missing file is not created.
pub(in crate::command) fn key_ring(settings: &Settings) -> anyhow::Result<KeyRing> {
    match settings.keys.ring_file() {
        Some(file) => KeyRing::read(file).map_err(|error| match error {
            KeyRingError::Missing { .. } => anyhow!("{error}: {}", context::RESTORE_KEY_FILE),
            error => error.into(),
        }),
        None => KeyRing::parse(settings.keys.ring.expose()).context("keys.ring"),
    }
}

/// Returns when the last session ends that a key may have signed, counted from the time at which the current key began to write. Without a
/// note in the ring, that time is at the latest the last change of the file. None where the key signed no session, or the ring is a setting
/// without a note.
pub(super) fn sessions_until(settings: &Settings, ring: &KeyRing, id: &str) -> Option<DateTime<Utc>> {
    if ring.is_prepared(id) {
        return None;
    }
    let changed = || {
        let metadata = std::fs::metadata(settings.keys.ring_file()?).ok()?;
        Some(DateTime::<Utc>::from(metadata.modified().ok()?))
    };
    let since = ring.writes_since().or_else(changed)?;
    Some(since + SESSION_LIFETIME + TimeDelta::from_std(KEY_PROPAGATION_TIME).ok()?)
}
