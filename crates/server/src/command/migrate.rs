//! `migrate`: migrates the schema.

use access_tokens_storage::Database;

use super::context;
use crate::config::Settings;
use crate::databases;

pub(super) async fn run(settings: Settings, new_database: bool) -> anyhow::Result<()> {
    context::refuse_empty_database(&settings, new_database)?;
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
