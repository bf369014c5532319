//! `keys re-encrypt`: moves verification codes to the key that writes.

use access_tokens_domain::Reason;
use access_tokens_domain::service::reencrypt;
use access_tokens_domain::store::{KeyStore, KeyUse};
use anyhow::{Context as _, bail};
use indicatif::ProgressBar;

use super::super::context::{self, Context};
use super::super::errors::to_anyhow;
use super::super::progress::style;
use super::source::{key_file, key_ring};
use super::{ring, usage};
use crate::config::Settings;

/// Maximum number of attempts for a batch that conflicts with changes of others.
const MAX_ATTEMPTS: u32 = 5;

/// The sums over all batches.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    moved: u64,
    changed: u64,
    unreadable: u64,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let keys = key_ring(settings)?;
    if let Ok(file) = key_file(settings) {
        // Servers must be able to read the values that are written here.
        ring::wait_until_settled(file).await?;
    }
    let current = keys.ids().next().context("the key ring is empty")?;
    let context = Context::with_database(context::database(settings).await?, &keys);
    // The bar is drawn on a terminal only.
    let bar = ProgressBar::new(to_move(&key_use(&context).await?, current))
        .with_style(style("{bar:40} {percent:>3}% {pos}/{len}, {eta} left"));
    let counts = reencrypt_all(&context, current, &bar).await;
    bar.finish_and_clear();
    let counts = counts.context("stopped; what was moved is moved, and running it again is safe")?;
    println!("{}", summary(counts, current, &key_use(&context).await?));
    if counts.unreadable > 0 {
        bail!(
            "verification codes that cannot be opened: {}; their key is missing (`access-tokens keys list`), or they \
             were damaged",
            counts.unreadable
        );
    }
    Ok(())
}

async fn reencrypt_all(context: &Context, current: &str, bar: &ProgressBar) -> anyhow::Result<Counts> {
    let (mut counts, mut after, mut attempts) = (Counts::default(), None, 0);
    loop {
        let batch = reencrypt::batch(context.database.as_ref(), context.secrets.as_ref(), current, after.as_ref());
        let progress = match batch.await {
            Ok(Some(progress)) => progress,
            Ok(None) => return Ok(counts),
            Err(error) if error.reason() == Reason::Conflict && attempts < MAX_ATTEMPTS => {
                attempts += 1;
                continue;
            }
            Err(error) => return Err(to_anyhow(error)),
        };
        counts.moved += progress.moved;
        counts.changed += progress.changed;
        counts.unreadable += progress.unreadable;
        bar.inc(progress.moved + progress.changed + progress.unreadable);
        (after, attempts) = (Some(progress.last), 0);
    }
}

async fn key_use(context: &Context) -> anyhow::Result<Vec<KeyUse>> {
    context.database.key_use(context.clock.now()).await.map_err(to_anyhow)
}

fn to_move(uses: &[KeyUse], current: &str) -> u64 {
    let other = |one: &&KeyUse| one.what == "verification codes" && one.key.as_deref() != Some(current);
    uses.iter().filter(other).map(|one| one.rows).sum()
}

fn summary(counts: Counts, current: &str, uses: &[KeyUse]) -> String {
    let Counts { moved, changed, .. } = counts;
    let left = match usage::describe_other_keys(uses, current) {
        Some(need) => format!("other keys are still needed for {need}"),
        None => "nothing needs other keys".to_owned(),
    };
    format!("{moved} verification codes moved to key {current}, {changed} had changed meanwhile; {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_done_and_the_remaining_work() {
        let needed = |what, key: Option<&str>, rows| KeyUse { what, key: key.map(str::to_owned), rows };
        let uses = [
            needed("pass codes", Some("old"), 17),
            needed("pass codes", None, 2),
            needed("verification codes", Some("new"), 40),
            needed("verification codes", Some("old"), 3),
        ];
        assert_eq!(to_move(&uses, "new"), 3);
        let counts = Counts { moved: 40, changed: 2, unreadable: 3 };
        assert_eq!(
            summary(counts, "new", &uses),
            "40 verification codes moved to key new, 2 had changed meanwhile; other keys are still needed for \
             pass codes: 17 (each moves when it is used), \
             verification codes: 3 (`access-tokens keys re-encrypt` moves them)"
        );
        let nothing = summary(Counts::default(), "new", &uses[2..3]);
        assert_eq!(nothing, "0 verification codes moved to key new, 0 had changed meanwhile; nothing needs other keys");
    }
}
