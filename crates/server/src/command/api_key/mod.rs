//! `api-key`: manages the keys with which services call.

mod add;
mod date;
mod list;

use access_tokens_auth::NewApiKey;
use chrono::TimeDelta;
use clap::{Args, Subcommand};

use self::date::shown;
use super::context::{Context, operator};
use super::errors::to_anyhow;
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key and print it, once, as the last word.
    ///
    /// The key belongs to a technical user of the given name, which has no password. A second key with the same name belongs to the same
    /// user. Each key has its own permissions, unit and expiry.
    Add(add::Add),
    /// List the keys of an organisation, without their secrets.
    List(list::List),
    /// Revoke a key at once, and end the sessions that it opened.
    ///
    /// Every server refuses the key within a second. Revoking a key twice is not an error.
    Revoke(Revoke),
    /// Replace a key: print a new one, once, as the last word, and let the old one expire later.
    ///
    /// The new key has the user, the permissions, the unit and the expiry of the old one. Configure the service with it while both are
    /// accepted.
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// Id of the key, as `api-key list` shows it.
    #[arg(value_name = "ID", value_parser = key_id)]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// Seconds for which the old key is still accepted, 0 to 604800.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(0..=604_800))]
    overlap: u32,

    /// Id of the old key, as `api-key list` shows it.
    #[arg(value_name = "ID", value_parser = key_id)]
    id: String,
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let context = Context::open(&settings).await?;
    match command {
        Command::Add(add) => add::run(&context, add).await,
        Command::List(list) => list::run(&context, &list).await,
        Command::Revoke(revoke) => {
            let organisation = context.organisation(&revoke.organisation).await?;
            let done = context
                .administration()
                .revoke_api_key(&operator(&organisation), &revoke.id)
                .await
                .map_err(to_anyhow)?;
            let what = if done { "is revoked" } else { "was revoked before, nothing changed" };
            println!("API key {} of {} {what}", revoke.id, organisation.name);
            Ok(())
        }
        Command::Rotate(rotate) => {
            let organisation = context.organisation(&rotate.organisation).await?;
            let made = NewApiKey::generate(context.random.as_ref(), context.secrets.as_ref())?;
            let overlap = TimeDelta::seconds(rotate.overlap.into());
            let ends = context
                .administration()
                .rotate_api_key(&operator(&organisation), &rotate.id, (&made.id, &made.hash), overlap)
                .await
                .map_err(to_anyhow)?;
            println!(
                "API key {} of {} ends at {}; the new key is {} and is shown only now:",
                rotate.id,
                organisation.name,
                shown(ends),
                made.id
            );
            println!("{}", made.key.expose());
            Ok(())
        }
    }
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
}
