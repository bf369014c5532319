//! Code that `backup` and `restore` share: the check of a copy, and the hint at the tools of PostgreSQL.

use std::path::Path;
use std::process::ExitCode;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::store::KeyStore;
use access_tokens_host::SystemClock;
use access_tokens_secrets::KeyRing;
use access_tokens_storage::{Database, DatabaseOptions, connect_read_only};
use anyhow::{Context as _, bail, ensure};

use super::errors::to_anyhow;
use super::output::print;
use crate::databases;
use crate::key_fit::KeyRingFit;

/// Exit code for a database that is copied by its own tools.
const EXIT_OTHER_TOOLS: u8 = 4;

/// A copy that was checked completely.
pub(super) struct CheckedCopy {
    database: Database,
    /// Description of the content.
    pub(super) counts: String,
    /// Migrations that the next start applies.
    pub(super) pending: Vec<String>,
}

/// Reads all of a copy, and refuses one that is damaged or not of this service. Changes nothing.
pub(super) async fn check(file: &Path) -> anyhow::Result<CheckedCopy> {
    let database = connect_read_only(&DatabaseOptions::read_only_file(file)?).await?;
    let faults = database.faults().await.map_err(to_anyhow).context("the copy is damaged")?;
    ensure!(faults.is_empty(), "the copy is damaged: {}", faults.join("; "));
    let schema = database.schema().await.map_err(to_anyhow)?;
    ensure!(schema.applied > 0, "it is no database of access-tokens");
    if !schema.unknown.is_empty() {
        let unknown = schema.unknown.join(", ");
        bail!("a newer version of access-tokens made it ({unknown}), which this one does not understand");
    }
    let faults = database.schema_faults().await.map_err(to_anyhow)?;
    ensure!(faults.is_empty(), "its schema is not what access-tokens makes: {}", faults.join("; "));
    let counts = database.counts().await.map_err(to_anyhow)?;
    let counts: Vec<_> = counts.iter().map(|(what, rows)| format!("{what}: {rows}")).collect();
    Ok(CheckedCopy { database, counts: counts.join(", "), pending: schema.pending })
}

impl CheckedCopy {
    /// Compares a ring with all values in the copy.
    pub(super) async fn fit(&self, ring: &KeyRing) -> anyhow::Result<KeyRingFit> {
        let uses = self.database.key_use(SystemClock.now()).await.map_err(to_anyhow)?;
        KeyRingFit::compare(&self.database, ring, &uses, None).await.map_err(to_anyhow)
    }

    /// Closes the file.
    pub(super) async fn close(self) {
        self.database.close().await;
    }
}

/// Prints the instructions for the tools of PostgreSQL.
pub(super) fn other_tools(recipe: &str) -> anyhow::Result<ExitCode> {
    print(recipe)?;
    Ok(ExitCode::from(EXIT_OTHER_TOOLS))
}

/// Runs an operation to its end, or drops it at a signal. `outcome` describes the effect of the dropped operation.
pub(super) async fn until_interrupted<T>(
    operation: impl Future<Output = anyhow::Result<T>>,
    outcome: &str,
) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        code = databases::interrupted() => {
            databases::set_exit_code(code);
            bail!("stopped; {outcome}")
        }
        done = operation => done,
    }
}
