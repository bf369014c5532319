//! `migrate`: migrates the schema.

use access_tokens_storage::Database;
use clap::Args;

use super::context;
use crate::config::Settings;
use crate::databases;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Create an empty SQLite database although the keys were used with another one. Without this option, a missing database beside such
    /// keys counts as lost, and is an error.
    #[arg(long)]
    new_database: bool,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<()> {
    context::refuse_empty_database(&settings, arguments.new_database)?;
    let mut pending = Vec::new();
    let migrated = async |database: &Database| {
        pending = database.pending_migrations().await?;
        anyhow::Ok(database.migrate().await?)
    };
    databases::open(&settings.database.options(), migrated).await?;
    for name in &pending {
        println!("{name}");
    }
    println!("the schema is current; {} migration(s) were pending", pending.len());
    Ok(())
}
