//! `api-key add`: creates a key with which a service calls.

use access_tokens_auth::NewApiKey;
use access_tokens_domain::administration::NewKey;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use anyhow::bail;
use clap::Args;

use super::date::{date, shown};
use crate::command::context::{Context, operator};
use crate::command::errors::to_anyhow;
use crate::command::permissions::permissions;

#[derive(Debug, Args)]
pub(in crate::command) struct Add {
    /// Name of the organisation. `organisation add` adds one.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// Name of the technical user, such as the name of the calling service.
    #[arg(long, value_name = "LABEL")]
    name: String,

    /// Id of the unit that the key works for. The unit must exist.
    #[arg(long, value_name = "ID")]
    unit: Option<String>,

    /// Permissions of the key, with commas between: access_tokens.read, access_tokens.write, access_tokens.lookup, access_tokens.secrets,
    /// directory.write, admin.
    #[arg(long, value_name = "LIST", value_parser = permissions)]
    permissions: Permissions,

    /// Expiry of the key: 2027-01-31 (midnight UTC), or with a time and a zone. Without it the key does not expire.
    #[arg(long, value_name = "DATE", value_parser = date)]
    expires: Option<Timestamp>,
}

pub(super) async fn run(context: &Context, add: Add) -> anyhow::Result<()> {
    let organisation = context.organisation(&add.organisation).await?;
    let caller = operator(&organisation);
    let administration = context.administration();
    // These checks come first, so that a wrong argument creates no user.
    administration.check_terms(&caller, add.unit.as_deref(), add.expires).await.map_err(to_anyhow)?;
    let permissions = add.permissions;
    let known = context.database.credential_by_username(organisation.key, &add.name).await?;
    let user = match known {
        Some(credential) => {
            refuse_person(credential.password.is_some())?;
            if context.database.account(organisation.key, &credential.user).await?.is_none() {
                bail!("the user of this name is disabled: enable the user first, or give the key another name");
            }
            credential.user
        }
        None => context.save_user(&organisation, &add.name, permissions, add.unit.as_deref(), None).await?.1,
    };
    let made = NewApiKey::generate(context.random.as_ref(), context.secrets.as_ref())?;
    let (unit, expires) = (add.unit, add.expires);
    let key = NewKey { id: made.id, hash: made.hash, user, permissions, unit, expires };
    administration.add_api_key(&caller, key).await.map_err(to_anyhow)?;
    let until = expires.map(|expires| format!(", until {}", shown(expires))).unwrap_or_default();
    println!("API key of {} in {}, may: {permissions}{until}; it is shown only now:", add.name, organisation.name);
    println!("{}", made.key.expose());
    Ok(())
}

/// Refuses the name of a user with a password. The key would act as that person, and the command would change that person's permissions.
fn refuse_person(has_password: bool) -> anyhow::Result<()> {
    if has_password {
        bail!("a user of this name logs in with a password: give the key a name of its own");
    }
    Ok(())
}
