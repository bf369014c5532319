//! `organisation`: adds, lists and renames organisations.

use access_tokens_domain::store::{AccountStore, StoreError};
use access_tokens_domain::text;
use anyhow::bail;
use clap::Subcommand;

use super::context::Context;
use super::errors::to_anyhow;
use super::organisation_name::check_name;
use super::output::print;
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an organisation. An existing name is an error.
    Add {
        /// Name of the new organisation: 1 to 256 characters.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the organisations: one line for each, with its id and its name.
    List,
    /// Rename an organisation.
    ///
    /// Log-ins and settings (grpc.tls.identities) use the name: with the old name they fail from now on. Sessions, API keys, tokens and
    /// their numbers do not change.
    Rename {
        /// Current name of the organisation.
        #[arg(value_name = "OLD")]
        old: String,

        /// New name of the organisation: 1 to 256 characters. No other organisation may have it.
        #[arg(value_name = "NEW")]
        new: String,
    },
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let context = Context::open(&settings).await?;
    match command {
        Command::Add { name } => {
            let (organisation, created) = context.create_organisation(&name).await?;
            if !created {
                bail!("there is an organisation {name:?} already, id {}", organisation.id);
            }
            println!("organisation {name} added, id {}", organisation.id);
        }
        Command::List => {
            let all = context.database.organisations().await.map_err(to_anyhow)?;
            let lines: Vec<_> = all.iter().map(|one| format!("{}  {}\n", one.id, one.name)).collect();
            print(&lines.concat())?;
        }
        Command::Rename { old, new } => {
            check_name(&new)?;
            let organisation = context.organisation(&old).await?;
            match context.database.rename_organisation(organisation.key, &text::nfc(&new)).await {
                Err(StoreError::Duplicate(_)) => bail!("there is an organisation {new:?} already"),
                renamed => renamed.map_err(to_anyhow)?,
            }
            println!("organisation {old} renamed to {new}, id {}", organisation.id);
        }
    }
    Ok(())
}
