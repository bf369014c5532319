//! `user password`, `disable`, `enable` and `list`: manages existing users.

use std::fmt::Write as _;

use access_tokens_domain::import::from_value;
use access_tokens_domain::store::{AccountStore, UserDetails};
use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::context::{Context, operator};
use super::errors::to_anyhow;
use super::output::print;

/// A user by organisation and user name.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    pub(super) organisation: String,

    /// Name of the user.
    #[arg(long, value_name = "NAME")]
    pub(super) username: String,
}

#[derive(Debug, Args)]
pub(super) struct Password {
    #[command(flatten)]
    user: Named,

    /// Read the password from standard input: the first line.
    #[arg(long, required = true)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,
}

/// Replaces the password of a user that has one. The import behind it ends the sessions of the user.
pub(super) async fn password(context: &Context, arguments: &Password, password: &str) -> anyhow::Result<()> {
    let Named { organisation, username } = &arguments.user;
    let organisation = context.organisation(organisation).await?;
    let known = context.database.credential_by_username(organisation.key, username).await?;
    let Some(credential) = known else { bail!("there is no user of this name that could log in") };
    let user = json!({"user": {"id": credential.user, "username": username, "password": password}});
    context.import(&organisation, from_value(user).map_err(to_anyhow)?).await?;
    let now = context.database.credential_by_username(organisation.key, username).await?;
    if now.is_some_and(|now| now.password == credential.password) {
        println!(
            "user {username} of {} has this password already, and the sessions of the user stay open",
            organisation.name
        );
    } else {
        println!("user {username} of {} has a new password; the sessions of the user have ended", organisation.name);
    }
    Ok(())
}

pub(super) async fn disable(context: &Context, user: &Named) -> anyhow::Result<()> {
    let organisation = context.organisation(&user.organisation).await?;
    let caller = operator(&organisation);
    let done = context.administration().disable_user(&caller, &user.username).await.map_err(to_anyhow)?;
    let what =
        if done { "is disabled; the sessions of the user have ended" } else { "was disabled before, nothing changed" };
    println!("user {} of {} {what}", user.username, organisation.name);
    Ok(())
}

pub(super) async fn enable(context: &Context, user: &Named) -> anyhow::Result<()> {
    let organisation = context.organisation(&user.organisation).await?;
    let caller = operator(&organisation);
    let done = context.administration().enable_user(&caller, &user.username).await.map_err(to_anyhow)?;
    let what = if done { "is enabled" } else { "was not disabled, nothing changed" };
    println!("user {} of {} {what}", user.username, organisation.name);
    Ok(())
}

pub(super) async fn list(context: &Context, list: &List) -> anyhow::Result<()> {
    let organisation = context.organisation(&list.organisation).await?;
    let (administration, caller) = (context.administration(), operator(&organisation));
    let mut after: Option<String> = None;
    loop {
        let page = administration.list_users(&caller, after.as_deref()).await.map_err(to_anyhow)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let mut text = String::new();
        for user in &page {
            let _ = writeln!(text, "{}", line(user));
        }
        print(&text)?;
    }
}

/// Returns the line of a user: id, name, state, permissions.
fn line(user: &UserDetails) -> String {
    let state = match (user.disabled, user.has_password) {
        (Some(disabled), _) => format!("disabled {}", disabled.format("%Y-%m-%dT%H:%M:%SZ")),
        (None, true) => "enabled".to_owned(),
        (None, false) => "no password".to_owned(),
    };
    let permissions = match user.permissions.to_string() {
        none if none.is_empty() => "nothing".to_owned(),
        some => some,
    };
    let unit = user.default_unit.as_ref().map(|unit| format!("  unit {unit}")).unwrap_or_default();
    format!("{}  {}  {state}  may: {permissions}{unit}", user.id, user.username.as_deref().unwrap_or("-"))
}
