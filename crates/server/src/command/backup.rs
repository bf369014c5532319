//! `backup`: copies a SQLite database while it is served.

use std::path::Path;
use std::process::ExitCode;

use access_tokens_storage::backup;
use anyhow::Context as _;
use tempfile::TempPath;

use super::copy::{check, other_tools, until_interrupted};
use super::keys::source::key_ring;
use super::progress::Progress;
use super::signature;
use crate::config::Settings;

/// Instructions for PostgreSQL.
const POSTGRES: &str = r#"The database is PostgreSQL, which has better tools. Nothing was copied.

One state of the database, to be restored into an empty one by `pg_restore`:

  pg_dump --format=custom --no-owner --file=access-tokens.dump "$ACCESS_TOKENS__DATABASE__URL"

The whole server, to be brought to any moment by replaying its log (archive_mode, archive_command):

  pg_basebackup --pgdata=/backups/base --wal-method=stream --checkpoint=fast

The keys are in neither: keep a copy of the key file (keys.file), apart from copies of the database.
"#;

pub(super) async fn run(settings: &Settings, target: &Path) -> anyhow::Result<ExitCode> {
    if !settings.database.is_sqlite() {
        return other_tools(POSTGRES);
    }
    let ring = key_ring(settings);
    let progress = Progress::new("copying");
    let (options, tell) = (settings.database.options(), |done, total| progress.update(done, total));
    let copying = async {
        let draft = backup::backup(&options, target, &tell).await?;
        progress.set_message("reading the copy");
        let copy = check(draft.path()).await.context("the copy was thrown away")?;
        let counts = copy.counts.clone();
        copy.close().await;
        let signed = match &ring {
            Ok(ring) => Some(signature::write(draft.path(), target, ring)?),
            Err(_) => None,
        };
        draft.publish()?;
        signed.map(TempPath::keep).transpose()?;
        anyhow::Ok(counts)
    };
    // Dropping the future removes the unfinished copy.
    let counts = until_interrupted(copying, "there is no copy").await?;
    drop(progress);
    println!("{}: {counts}", target.display());
    match &ring {
        Ok(_) => {
            println!("{} proves that it was made here: keep it beside the copy", signature::path(target).display())
        }
        // A backup job may run without access to the keys.
        Err(error) => {
            eprintln!("warning: the copy is not signed, and `restore` needs --accept-unsigned for it: {error:#}")
        }
    }
    println!("the keys are not in it: keep a copy of {}, apart from this one", settings.keys.file.display());
    Ok(ExitCode::SUCCESS)
}
