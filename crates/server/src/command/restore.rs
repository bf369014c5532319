//! `restore`: replaces the database by a copy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use access_tokens_domain::ports::Clock;
use access_tokens_host::SystemClock;
use access_tokens_secrets::KeyRing;
use access_tokens_storage::SetupError;
use access_tokens_storage::backup::{CopyError, Draft, RestoreTarget, require_finished};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::copy::{CheckedCopy, check, other_tools, until_interrupted};
use super::keys::source::key_ring;
use super::progress::Progress;
use super::{context, signature};
use crate::config::Settings;
use crate::databases;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The copy. It is not changed.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// Only check whether the copy could be restored. Nothing is written, and a server may run.
    #[arg(long)]
    verify: bool,

    /// Rename an existing database; its new name ends with .replaced-<time>. Without this option an existing database is an error.
    #[arg(long, conflicts_with = "verify")]
    replace: bool,

    /// Restore the copy although keys are missing: the pass codes, passwords and codes under them are useless until those keys are in the
    /// ring again.
    #[arg(long)]
    accept_missing_keys: bool,

    /// Restore the copy although nothing proves that it was made with the keys of this installation, such as a copy of an older version, or
    /// one that was made without access to the keys.
    #[arg(long)]
    accept_unsigned: bool,
}

/// Instructions for PostgreSQL.
const POSTGRES: &str = r#"The database is PostgreSQL, which has better tools. Nothing was restored.

Stop the service, make an empty database, and restore a dump into it:

  createdb --encoding=UTF8 --template=template0 access_tokens
  pg_restore --no-owner --exit-on-error --single-transaction --dbname="$ACCESS_TOKENS__DATABASE__URL" access-tokens.dump

Then `access-tokens doctor` tells whether the keys open what is in it. A copy of the whole server by pg_basebackup is
started in its own directory, with restore_command and recovery_target_time where a certain moment is wanted.
"#;

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<ExitCode> {
    if !settings.database.is_sqlite() {
        return other_tools(POSTGRES);
    }
    // Dropping the future removes the draft. The steps that exchange the files have no await between them, so that they run to their end.
    until_interrupted(restore(settings, &arguments), "nothing was restored").await?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(settings: &Settings, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { source, verify, .. } = arguments;
    require_finished(source)?;
    let ring = key_ring(settings).context("a database is useless without its keys; nothing was restored")?;
    if *verify {
        let (copy, _) = check_restorable(source, &ring, arguments).await?;
        println!("{} can be restored: {}", source.display(), copy.counts);
        copy.close().await;
        return Ok(());
    }
    let place = RestoreTarget::claim(&settings.database.options()).map_err(|error| match error {
        CopyError::Setup(SetupError::Served(file)) => anyhow!(
            "a server or another command holds {}: stop it first, such as with `systemctl stop access-tokens`, restore, and start it \
             again; nothing was restored",
            file.display()
        ),
        error => error.into(),
    })?;
    if place.is_taken() && !arguments.replace {
        bail!("{} exists; with --replace it gets another name", place.file().display());
    }
    let progress = Progress::new("copying");
    let told = |done, total| progress.update(done, total);
    let draft = match Draft::of(source, place.file(), &told, &databases::is_stopping) {
        // `run` handles the signal.
        Err(CopyError::Stopped) => return std::future::pending().await,
        draft => draft?,
    };
    progress.set_message("reading the copy");
    // A signal during the copying is handled here.
    tokio::task::yield_now().await;
    // The copy of the copy is checked, because nothing can exchange it any more: the checked content is the served content.
    let (copy, lost) = check_restorable(draft.path(), &ring, arguments).await?;
    let (counts, pending) = (copy.counts.clone(), copy.pending.clone());
    copy.close().await;
    let aside = place.clear(&SystemClock.now().format("replaced-%Y%m%dT%H%M%SZ").to_string())?;
    draft.publish().with_context(|| match &aside {
        Some(aside) => format!("the database of before is {} now", aside.display()),
        None => "nothing was restored".to_owned(),
    })?;
    drop(progress);
    context::note_lost_keys(settings, &lost);
    println!("{}: {counts}", place.file().display());
    if let Some(aside) = aside {
        println!("the database of before is {} now: remove it when it is not needed any more", aside.display());
    }
    if !pending.is_empty() {
        println!("it is of an older version: the next start of `serve` applies {}", pending.join(", "));
    }
    Ok(())
}

/// Returns a copy that may be restored, and the ids of missing keys that are accepted as lost.
async fn check_restorable(
    file: &Path,
    ring: &KeyRing,
    arguments: &Arguments,
) -> anyhow::Result<(CheckedCopy, Vec<String>)> {
    let copy = check(file).await.with_context(|| arguments.source.display().to_string())?;
    let fit = copy.fit(ring).await.with_context(|| arguments.source.display().to_string())?;
    if fit.is_good() {
        println!("{fit}");
    } else if arguments.accept_missing_keys {
        eprintln!("warning: {fit}");
    } else {
        bail!("{fit}; bring the keys back (keys.file), or --accept-missing-keys");
    }
    match signature::check(file, &arguments.source, ring) {
        Ok(()) => {}
        Err(error) if arguments.accept_unsigned => eprintln!("warning: {error:#}"),
        Err(error) => bail!("{error:#}; where you know who made it: --accept-unsigned"),
    }
    Ok((copy, fit.missing_ids().to_vec()))
}
