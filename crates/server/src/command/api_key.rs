//! `api-key add`: a key with which a service calls.

use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{AccountStore, ApiKey};
use anyhow::bail;
use clap::{Args, Subcommand};

use super::context::Context;
use super::{examples, permissions};
use crate::authentication::NewApiKey;
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it, once, as the last word.
    ///
    /// The key stands for a technical user of the given name, which has no password; a second key of the same name
    /// stands for the same user.
    #[command(after_help = examples::API_KEY_ADD)]
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the organisation. `organisation add` adds one.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// Name of the technical user, such as the name of the service that calls.
    #[arg(long, value_name = "LABEL")]
    name: String,

    /// Unit that the key works for, by id. It must exist.
    #[arg(long, value_name = "ID")]
    unit: Option<String>,

    /// What the key may do, with commas between: access_tokens.read, access_tokens.write, access_tokens.lookup,
    /// access_tokens.secrets, directory.write, admin.
    #[arg(long, value_name = "LIST", value_parser = permissions)]
    permissions: Permissions,
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let Command::Add(add) = command;
    let context = Context::open(&settings).await?;
    let organisation = context.organisation(&add.organisation).await?;
    let known = context.database.credential_by_username(organisation.key, &add.name).await?;
    if known.is_some_and(|credential| credential.password.is_some()) {
        // The key would be that person, and would change what that person may do.
        bail!("a user of this name logs in with a password: give the key a name of its own");
    }
    let permissions = add.permissions;
    let (_, user) = context.save_user(&organisation, &add.name, permissions, add.unit.as_deref(), None).await?;
    let made = NewApiKey::generate(context.random.as_ref(), context.secrets.as_ref())?;
    let stored = ApiKey { id: made.id, organisation: organisation.key, user, hash: made.hash };
    context.database.add_api_key(&stored, context.clock.now()).await?;
    println!("API key of {} in {}, may: {permissions}; it is shown only now:", add.name, organisation.name);
    println!("{}", made.key.expose());
    Ok(())
}
