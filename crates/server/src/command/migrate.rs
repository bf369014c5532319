//! `migrate`: the schema, brought up to date.

use access_tokens_storage::connect;

use crate::config::Settings;

pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    let database = connect(&settings.database.options()).await?;
    let pending = database.pending_migrations().await?;
    database.migrate().await?;
    for name in &pending {
        println!("{name}");
    }
    println!("the schema is current; {} migration(s) were pending", pending.len());
    Ok(())
}
