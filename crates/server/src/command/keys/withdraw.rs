//! `keys withdraw`: withdraws unused secrets under an old key, so that the key can be retired.
//!
//! A secret moves to the key that writes when its owner presents it. A secret that is still under an old key was therefore not used
//! since that key stopped writing. Only its owner can move it, because the database has a hash of it.

use std::fmt::Write as _;

use access_tokens_domain::store::{KeyStore, Unused, Withdrawal, Withdrawn};
use access_tokens_domain::time::Timestamp;
use anyhow::bail;
use chrono::TimeDelta;
use clap::Args;

use super::super::context::Context;
use super::super::errors::to_anyhow;
use super::source::key_ring;
use super::usage;
use crate::config::Settings;

/// Number of tokens whose pass codes are withdrawn in one transaction.
const BATCH_SIZE: u32 = 500;

#[derive(Debug, Args)]
pub(in crate::command) struct Withdraw {
    /// Id of the key. It must not be the one that writes.
    #[arg(value_name = "ID")]
    id: String,

    /// Withdraw passwords of users, also of disabled ones: such a user cannot log in until `user password` sets a new one.
    #[arg(long)]
    passwords: bool,

    /// Withdraw pass codes of tokens, with their one-time passwords: such a token needs ResetPassCode.
    #[arg(long)]
    pass_codes: bool,

    /// Revoke API keys.
    #[arg(long)]
    api_keys: bool,

    /// Withdraw only secrets that were neither used nor changed for this number of days, as far as that is recorded: for users the last
    /// log-in and the last change of the password, for tokens the last change, for API keys the last use.
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    unused_days: u32,

    /// With --passwords: include users for whom neither a log-in nor a change is recorded. Older versions recorded neither.
    #[arg(long, requires = "passwords")]
    undated: bool,
}

pub(super) async fn run(settings: &Settings, withdraw: &Withdraw) -> anyhow::Result<()> {
    let Withdraw { id, passwords, pass_codes, api_keys, unused_days, .. } = withdraw;
    if !(*passwords || *pass_codes || *api_keys) {
        bail!("say what is to be withdrawn: --passwords, --pass-codes, --api-keys");
    }
    key_ring(settings)?.require_retirable(id)?;
    let context = Context::open(settings).await?;
    let now = context.clock.now();
    let unused = Unused { key: id, since: now - TimeDelta::days(i64::from(*unused_days)) };
    let mut done = withdraw_credentials(&context, withdraw, unused, now).await?;
    if *pass_codes {
        let place = usize::from(*passwords);
        done.insert(place, format!("pass codes: {}", withdraw_pass_codes(&context, unused).await?));
    }
    let uses = context.database.key_use(context.clock.now()).await.map_err(to_anyhow)?;
    let left = match usage::describe_key(&uses, id) {
        Some(left) => format!("still needed for {left}"),
        None => "nothing needs it any more".to_owned(),
    };
    println!("withdrawn from key {id}: {}; {left}", done.join(", "));
    Ok(())
}

/// Withdraws passwords and API keys in one transaction, so that an organisation cannot lose its last administrator by both together.
/// Returns a description of the withdrawn secrets.
async fn withdraw_credentials(
    context: &Context,
    withdraw: &Withdraw,
    unused: Unused<'_>,
    now: Timestamp,
) -> anyhow::Result<Vec<String>> {
    let Withdraw { passwords, api_keys, undated, .. } = *withdraw;
    if !(passwords || api_keys) {
        return Ok(Vec::new());
    }
    let no_key =
        api_keys.then(|| context.administration().unusable_hash("withdrawn")).transpose().map_err(to_anyhow)?;
    let withdrawal = Withdrawal { passwords, undated, api_keys: no_key.as_ref() };
    let (users, left_out, keys) = match context
        .database
        .withdraw_credentials(unused, withdrawal, now)
        .await
        .map_err(to_anyhow)?
    {
        Withdrawn::Done { users, undated, api_keys } => (users, undated, api_keys),
        Withdrawn::LastAdmin(users) => bail!(
            "LAST_ADMIN nothing is withdrawn: no enabled administrator who can log in or has a valid API key would be left \
                 without the {} of {}; give one of them a new password with `access-tokens user password`, or a new key with \
                 `access-tokens api-key add` or `api-key rotate`, first",
            match (passwords, api_keys) {
                (true, true) => "passwords and API keys",
                (true, false) => "password",
                (false, _) => "API key",
            },
            users.join(", ")
        ),
    };
    let mut done = Vec::new();
    if passwords {
        let mut text = match users.as_slice() {
            [] => "passwords: 0".to_owned(),
            users => format!("passwords: {} (users {})", users.len(), users.join(", ")),
        };
        if left_out > 0 {
            let _ = write!(
                text,
                " (left out: {left_out} of users for whom neither a log-in nor a change is recorded; --undated takes them too)"
            );
        }
        done.push(text);
    }
    if api_keys {
        done.push(format!("API keys: {keys}"));
    }
    Ok(done)
}

async fn withdraw_pass_codes(context: &Context, unused: Unused<'_>) -> anyhow::Result<u64> {
    let (mut all, mut after) = (0, None);
    while let Some((withdrawn, last)) =
        context.database.withdraw_pass_codes(unused, after.as_ref(), BATCH_SIZE).await.map_err(to_anyhow)?
    {
        all += withdrawn;
        after = Some(last);
    }
    Ok(all)
}
