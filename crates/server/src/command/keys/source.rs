//! Reads the keys of an installation.

use std::path::Path;

use access_tokens_secrets::{KeyRing, KeyRingError};
use anyhow::{Context as _, anyhow, bail};

use crate::command::context;
use crate::config::Settings;

/// Returns the key file, for a change.
pub(super) fn key_file(settings: &Settings) -> anyhow::Result<&Path> {
    if !settings.keys.ring.expose().is_empty() {
        bail!(
            "the keys come from the setting keys.ring, not from a file: change it where it is set, and start the \
             replicas again one by one"
        );
    }
    Ok(&settings.keys.file)
}

/// Returns the key ring. A missing file is not created.
pub(in crate::command) fn key_ring(settings: &Settings) -> anyhow::Result<KeyRing> {
    match settings.keys.ring.expose() {
        "" => KeyRing::read(&settings.keys.file).map_err(|error| match error {
            KeyRingError::Missing { .. } => anyhow!("{error}: {}", context::RESTORE_KEY_FILE),
            error => error.into(),
        }),
        ring => KeyRing::parse(ring).context("keys.ring"),
    }
}
