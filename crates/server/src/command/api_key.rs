//! `api-key`: manages the keys with which services call.

use std::fmt::Write as _;

use access_tokens_auth::NewApiKey;
use access_tokens_domain::administration::NewKey;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{AccountStore, KeyDetails};
use access_tokens_domain::time::{self, Timestamp};
use anyhow::bail;
use chrono::TimeDelta;
use clap::{Args, Subcommand};

use super::context::{Context, operator};
use super::errors::to_anyhow;
use super::output::{print, shown};
use super::permissions::{permissions, shown_permissions};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key and print it, once, as the last word.
    ///
    /// The key belongs to a technical user of the given name, which has no password. A second key with the same name belongs to the same
    /// user. Each key has its own permissions, unit and expiry.
    Add(Add),
    /// List the keys of an organisation, without their secrets.
    List {
        /// Name of the organisation.
        #[arg(long, value_name = "NAME")]
        organisation: String,
    },
    /// Revoke a key at once, and end the sessions that it opened.
    ///
    /// Every server refuses the key within a second. Revoking a key twice is not an error.
    Revoke {
        /// Name of the organisation.
        #[arg(long, value_name = "NAME")]
        organisation: String,

        /// Id of the key, as `api-key list` shows it.
        #[arg(value_name = "ID", value_parser = key_id)]
        id: String,
    },
    /// Replace a key: print a new one, once, as the last word, and let the old one expire later.
    ///
    /// The new key has the user, the permissions, the unit and the expiry of the old one. Configure the service with it while both are
    /// accepted.
    Rotate {
        /// Name of the organisation.
        #[arg(long, value_name = "NAME")]
        organisation: String,

        /// Seconds for which the old key is still accepted, 0 to 604800.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(0..=604_800))]
        overlap: u32,

        /// Id of the old key, as `api-key list` shows it.
        #[arg(value_name = "ID", value_parser = key_id)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
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

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let context = Context::open(&settings).await?;
    match command {
        Command::Add(arguments) => add(&context, arguments).await?,
        Command::List { organisation } => list(&context, &organisation).await?,
        Command::Revoke { organisation, id } => {
            let organisation = context.organisation(&organisation).await?;
            let revoked = context.administration().revoke_api_key(&operator(&organisation), &id).await;
            let what = match revoked.map_err(to_anyhow)? {
                true => "is revoked",
                false => "was revoked before, nothing changed",
            };
            println!("API key {id} of {} {what}", organisation.name);
        }
        Command::Rotate { organisation, overlap, id } => {
            let organisation = context.organisation(&organisation).await?;
            let (administration, caller) = (context.administration(), operator(&organisation));
            let made = NewApiKey::generate(context.random.as_ref(), context.secrets.as_ref())?;
            let overlap = TimeDelta::seconds(overlap.into());
            let rotated = administration.rotate_api_key(&caller, &id, (&made.id, &made.hash), overlap).await;
            let ends = shown(rotated.map_err(to_anyhow)?);
            let name = &organisation.name;
            println!("API key {id} of {name} ends at {ends}; the new key is {} and is shown only now:", made.id);
            println!("{}", made.key.expose());
        }
    }
    Ok(())
}

async fn add(context: &Context, add: Add) -> anyhow::Result<()> {
    let organisation = context.organisation(&add.organisation).await?;
    let caller = operator(&organisation);
    let administration = context.administration();
    // These checks come first, so that a wrong argument creates no user.
    administration.check_terms(&caller, add.unit.as_deref(), add.expires).await.map_err(to_anyhow)?;
    let permissions = add.permissions;
    let known = context.database.credential_by_username(organisation.key, &add.name).await?;
    let user = match known {
        Some(credential) => {
            // The key would act as that person, and the command would change that person's permissions.
            if credential.password.is_some() {
                bail!("a user of this name logs in with a password: give the key a name of its own");
            }
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

async fn list(context: &Context, organisation: &str) -> anyhow::Result<()> {
    let organisation = context.organisation(organisation).await?;
    let (administration, caller) = (context.administration(), operator(&organisation));
    let now = context.clock.now();
    let mut after: Option<String> = None;
    loop {
        let page = administration.list_api_keys(&caller, after.as_deref()).await.map_err(to_anyhow)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let mut text = String::new();
        for key in &page {
            let _ = writeln!(text, "{}", line(key, now));
        }
        print(&text)?;
    }
}

/// Returns the line of a key: id, name, state, permissions, and further attributes.
fn line(key: &KeyDetails, now: Timestamp) -> String {
    let state = match (key.terms.revoked, key.terms.expires) {
        (Some(revoked), _) => format!("revoked {}", shown(revoked)),
        (None, Some(expires)) if expires <= now => format!("expired {}", shown(expires)),
        _ if key.user_disabled => "user disabled".to_owned(),
        (None, Some(expires)) => format!("valid until {}", shown(expires)),
        (None, None) => "valid".to_owned(),
    };
    let mut text = format!("{}  {}  {state}", key.id, key.name.as_deref().unwrap_or("-"));
    let _ = write!(text, "  may: {}", shown_permissions(key.permissions));
    if let Some(unit) = &key.terms.unit {
        let _ = write!(text, "  unit {unit}");
    }
    let _ = write!(text, "  made {}", shown(key.created));
    match key.last_used {
        Some(used) => _ = write!(text, "  used {}", shown(used)),
        None => text.push_str("  never used"),
    }
    if let Some(new) = &key.rotated_to {
        let _ = write!(text, "  replaced by {new}");
    }
    text
}

/// Reads the id of a key: 16 hex digits, with or without the prefix of keys. A whole key is refused, because other users of the machine can
/// see command lines.
fn key_id(text: &str) -> Result<String, String> {
    let id = text.strip_prefix("atk_").unwrap_or(text);
    if id.len() == 16 && id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
        return Ok(id.to_owned());
    }
    Err("the id of a key is the 16 hex digits that `api-key list` shows".to_owned())
}

/// Reads a date of the command line: `2027-01-31`, which is midnight UTC, or a form of import files.
fn date(text: &str) -> Result<Timestamp, String> {
    time::parse(text)
        .ok_or_else(|| "is not a date such as 2027-01-31, 2027-01-31T12:00:00Z or 2027-01-31T12:00:00+02:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_command_line() {
        assert_eq!(key_id("0123456789abcdef").as_deref(), Ok("0123456789abcdef"));
        assert_eq!(key_id("atk_0123456789abcdef").as_deref(), Ok("0123456789abcdef"));
        let key = format!("atk_{}_{}", "0".repeat(16), "A".repeat(43));
        for bad in ["", "0123456789ABCDEF", "0123456789abcde", key.as_str()] {
            let error = key_id(bad).expect_err("refused");
            assert!(bad.is_empty() || !error.contains(bad), "a key is repeated");
        }
    }

    #[test]
    fn dates_of_the_command_line() {
        let midnight = date("2027-01-31").expect("a date");
        assert_eq!(shown(midnight), "2027-01-31T00:00:00Z");
        assert_eq!(date("2027-01-31T02:00:00+02:00"), Ok(midnight));
        for bad in ["", "tomorrow", "2027-02-30", "31.1.2027"] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }
}
