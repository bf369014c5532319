//! Changes the key file.

use std::path::Path;

use access_tokens_domain::ports::Clock;
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_secrets::{KEY_PROPAGATION_TIME, KeyRing};
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};

use super::source::sessions_until;
use super::usage;
use crate::config::Settings;

pub(super) fn init(file: &Path) -> anyhow::Result<()> {
    let (_, created) = KeyRing::read_or_create(file, &SystemRandom)?;
    if !created {
        bail!("{} exists; it was left as it is", file.display());
    }
    println!("made {}: keep a copy of it, apart from copies of the database", file.display());
    Ok(())
}

/// Adds a key, and lets it write after every server has had time to read it: a key that writes too early would fail calls.
pub(super) async fn rotate(file: &Path, prepare: bool) -> anyhow::Result<()> {
    let id = KeyRing::add_key(file, &SystemRandom)?;
    if prepare {
        println!("made key {id}, which reads and does not write yet: when every replica has it, `rotate --to {id}`");
        return Ok(());
    }
    eprintln!("made key {id}; waiting {} seconds, for servers to read it", KEY_PROPAGATION_TIME.as_secs());
    tokio::time::sleep(KEY_PROPAGATION_TIME).await;
    KeyRing::promote_key(file, &id, &SystemRandom)
        .with_context(|| format!("key {id} is in the ring and does not write yet: `rotate --to {id}`"))?;
    done(&id);
    Ok(())
}

pub(super) async fn rotate_to(file: &Path, id: &str) -> anyhow::Result<()> {
    wait_until_settled(file).await?;
    if KeyRing::promote_key(file, id, &SystemRandom)? {
        done(id);
    } else {
        println!("new codes are made with key {id} already");
    }
    Ok(())
}

fn done(id: &str) {
    println!(
        "new codes are made with key {id}: keep a new copy of the file, then `re-encrypt`; `list` shows what is left"
    );
}

/// Removes a key that is not needed, by stored values and by sessions unless these may end.
pub(super) async fn retire(settings: &Settings, file: &Path, id: &str, end_sessions: bool) -> anyhow::Result<()> {
    // This check comes first: the id may be unknown, or that of the key that writes.
    let ring = KeyRing::read(file)?;
    ring.require_retirable(id)?;
    if let Some(need) = usage::describe_key(&usage::read_usage(settings).await?, id) {
        bail!(
            "key {id} is needed, for {need}; `access-tokens keys withdraw {id}` ends what is not used any more; with --force the \
             key goes, and so do they"
        );
    }
    let until = sessions_until(settings, &ring, id).filter(|until| *until > SystemClock.now());
    if let Some(until) = until.filter(|_| !end_sessions) {
        let until = until.format("%Y-%m-%d %H:%M:%S UTC");
        bail!(
            "sessions that key {id} has signed may live until {until}: wait until then, or end them with --end-sessions"
        );
    }
    remove(file, id)
}

/// Removes a key without a check of its usage, and notes that it is lost.
pub(super) fn retire_by_force(settings: &Settings, file: &Path, id: &str) -> anyhow::Result<()> {
    remove(file, id)?;
    super::context::note_lost_keys(settings, &[id.to_owned()]);
    Ok(())
}

fn remove(file: &Path, id: &str) -> anyhow::Result<()> {
    KeyRing::remove_key(file, id, &SystemRandom)?;
    println!("removed key {id}: what it protects cannot be read without it, in older copies of the database either");
    Ok(())
}

/// Waits until every server has had time to read the current file.
pub(super) async fn wait_until_settled(file: &Path) -> anyhow::Result<()> {
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    let modified = DateTime::<Utc>::from(modified.with_context(|| file.display().to_string())?);
    let age = SystemClock.now().signed_duration_since(modified).to_std().unwrap_or_default();
    tokio::time::sleep(KEY_PROPAGATION_TIME.saturating_sub(age)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    fn ids(file: &Path) -> Vec<String> {
        KeyRing::read(file).expect("a ring").ids().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_reads_before_it_writes() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("keys");
        init(&file).expect("made");
        assert!(init(&file).is_err(), "it exists");
        let old = ids(&file);

        let start = Instant::now();
        let rotation = rotate(&file, false);
        tokio::pin!(rotation);
        assert!(futures::poll!(&mut rotation).is_pending());
        let prepared = ids(&file);
        assert_eq!((prepared.len(), &prepared[0]), (2, &old[0]), "the old key still writes");
        rotation.await.expect("rotated");
        assert!(start.elapsed() >= KEY_PROPAGATION_TIME);
        assert_eq!(ids(&file), [prepared[1].clone(), prepared[0].clone()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prepared_key_writes_after_rotate_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("keys");
        init(&file).expect("made");
        rotate(&file, true).await.expect("prepared");
        let prepared = ids(&file);
        let start = Instant::now();
        rotate_to(&file, &prepared[1]).await.expect("moved");
        assert!(start.elapsed() + std::time::Duration::from_secs(1) >= KEY_PROPAGATION_TIME, "the file was new");
        assert_eq!(ids(&file), [prepared[1].clone(), prepared[0].clone()]);
        rotate_to(&file, &prepared[1]).await.expect("nothing to do");
        let text = fs::read_to_string(&file).expect("text");
        assert!(text.contains("# Keys of access-tokens"), "{text}");
        assert!(rotate_to(&file, "unknown").await.is_err());
    }
}
