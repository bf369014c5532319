//! `user`: manages users that may log in, their networks and locks.

use std::fmt::Write as _;
use std::io::BufRead;

use access_tokens_domain::import::{Outcome, from_value};
use access_tokens_domain::login::Network;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{AccountStore, LoginStore, Unlocked, UserDetails};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::context::{Context, operator};
use super::errors::to_anyhow;
use super::output::{print, shown};
use super::permissions::{permissions, shown_permissions};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user, or give an existing one a new password and permissions.
    Add(Add),

    /// Add networks from which an existing user logs in. Wrong passwords from other networks never lock the user out on them.
    Network {
        #[command(flatten)]
        user: Named,

        /// Network, such as 192.0.2.0/24 or 2001:db8::/64; may be given several times. It is kept until the user is deleted.
        #[arg(long = "network", value_name = "CIDR", value_parser = networks, required = true)]
        networks: Vec<Block>,
    },
    /// End the locks of a user's log-ins: wrong passwords lock a user on the network that they come from.
    Unlock(Named),
    /// Give a user a new password. The sessions of the user end within a second on every server.
    Password {
        #[command(flatten)]
        user: Named,

        /// Read the password from standard input: the first line.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Disable a user: it cannot log in, and its sessions and API keys end within a second on every server.
    ///
    /// The last enabled user with the permission admin cannot be disabled. Disabling a user twice is not an error.
    Disable(Named),
    /// Enable a disabled user, with its earlier password.
    Enable(Named),
    /// List the users of an organisation that have a password or permissions.
    List {
        /// Name of the organisation.
        #[arg(long, value_name = "NAME")]
        organisation: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the organisation. `organisation add` adds one.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// User name for log-ins.
    #[arg(long, value_name = "NAME")]
    username: String,

    /// Read the password from standard input: the first line. It has 12 to 256 characters, and is neither the user name nor a common
    /// password. There is no other way, because other users of the machine can see command lines.
    #[arg(long, required = true)]
    password_stdin: bool,

    /// Id of the unit for log-ins that name none. The unit must exist.
    #[arg(long, value_name = "ID")]
    unit: Option<String>,

    /// Permissions of the user, with commas between: access_tokens.read, access_tokens.write, access_tokens.lookup, access_tokens.secrets,
    /// directory.write, admin.
    #[arg(long, value_name = "LIST", value_parser = permissions)]
    permissions: Permissions,

    /// Network from which the user logs in, such as 192.0.2.0/24 or 2001:db8::/64; may be given several times. Wrong passwords from other
    /// networks never lock the user out on it. It is kept until the user is deleted.
    #[arg(long = "network", value_name = "CIDR", value_parser = networks)]
    networks: Vec<Block>,
}

/// A user by organisation and user name.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// Name of the user.
    #[arg(long, value_name = "NAME")]
    username: String,
}

/// The networks of one CIDR block.
#[derive(Debug, Clone)]
pub(super) struct Block(Vec<Network>);

fn networks(text: &str) -> Result<Block, String> {
    Network::of_block(text).map(Block)
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    // A missing password is refused before the database is opened.
    let password = match &command {
        Command::Add(_) | Command::Password { .. } => first_line(std::io::stdin().lock())?,
        _ => Zeroizing::default(),
    };
    let context = Context::open(&settings).await?;
    match command {
        Command::Add(arguments) => add(&context, arguments, &password).await,
        Command::Network { user, networks } => enter_networks(&context, user, networks).await,
        Command::Unlock(user) => unlock(&context, user).await,
        Command::Password { user, .. } => set_password(&context, user, &password).await,
        Command::Disable(user) => disable(&context, user).await,
        Command::Enable(user) => enable(&context, user).await,
        Command::List { organisation } => list(&context, &organisation).await,
    }
}

async fn add(context: &Context, add: Add, password: &str) -> anyhow::Result<()> {
    let organisation = context.organisation(&add.organisation).await?;
    let permissions = add.permissions;
    let (outcome, id) =
        context.save_user(&organisation, &add.username, permissions, add.unit.as_deref(), Some(password)).await?;
    let networks: Vec<_> = add.networks.into_iter().flat_map(|block| block.0).collect();
    context.database.enter_networks(organisation.key, &id, &networks).await.map_err(to_anyhow)?;
    let done = match outcome {
        Outcome::Created => "added",
        // The password is set in each of these cases.
        Outcome::Updated | Outcome::Unchanged | Outcome::Kept => "changed",
    };
    println!("user {} of {} {done}, id {id}, may: {permissions}", add.username, organisation.name);
    Ok(())
}

async fn enter_networks(context: &Context, user: Named, networks: Vec<Block>) -> anyhow::Result<()> {
    let Named { organisation: name, username } = user;
    let (organisation, user) = context.user(&name, &username).await?;
    let networks: Vec<_> = networks.into_iter().flat_map(|block| block.0).collect();
    context.database.enter_networks(organisation.key, &user, &networks).await.map_err(to_anyhow)?;
    println!("user {username} of {name} logs in from {} network(s) more, id {user}", networks.len());
    Ok(())
}

async fn unlock(context: &Context, Named { organisation: name, username }: Named) -> anyhow::Result<()> {
    let (organisation, user) = context.user(&name, &username).await?;
    let unlocked = context.database.unlock_logins(organisation.key, &user, context.clock.now()).await;
    let done = match unlocked.map_err(to_anyhow)? {
        Unlocked::Locked => "unlocked",
        Unlocked::Counted => "was not locked; the attempts that were counted no longer count",
        Unlocked::Nothing => "was not locked, nothing changed",
    };
    println!("user {username} of {name} {done}, id {user}");
    Ok(())
}

/// Replaces the password of a user that has one. The import behind it ends the sessions of the user.
async fn set_password(context: &Context, user: Named, password: &str) -> anyhow::Result<()> {
    let Named { organisation, username } = &user;
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

async fn disable(context: &Context, Named { organisation, username }: Named) -> anyhow::Result<()> {
    let organisation = context.organisation(&organisation).await?;
    let done = context.administration().disable_user(&operator(&organisation), &username).await.map_err(to_anyhow)?;
    let what =
        if done { "is disabled; the sessions of the user have ended" } else { "was disabled before, nothing changed" };
    println!("user {username} of {} {what}", organisation.name);
    Ok(())
}

async fn enable(context: &Context, Named { organisation, username }: Named) -> anyhow::Result<()> {
    let organisation = context.organisation(&organisation).await?;
    let done = context.administration().enable_user(&operator(&organisation), &username).await.map_err(to_anyhow)?;
    let what = if done { "is enabled" } else { "was not disabled, nothing changed" };
    println!("user {username} of {} {what}", organisation.name);
    Ok(())
}

async fn list(context: &Context, organisation: &str) -> anyhow::Result<()> {
    let organisation = context.organisation(organisation).await?;
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
        (Some(disabled), _) => format!("disabled {}", shown(disabled)),
        (None, true) => "enabled".to_owned(),
        (None, false) => "no password".to_owned(),
    };
    let permissions = shown_permissions(user.permissions);
    let unit = user.default_unit.as_ref().map(|unit| format!("  unit {unit}")).unwrap_or_default();
    format!("{}  {}  {state}  may: {permissions}{unit}", user.id, user.username.as_deref().unwrap_or("-"))
}

fn first_line(mut input: impl BufRead) -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    input.read_line(&mut line).context("the password cannot be read from standard input")?;
    let password = Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned());
    if password.is_empty() {
        bail!("the password on standard input is empty");
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_with_its_blanks() {
        for (input, password) in [("a b \n", "a b "), ("x\r\ny", "x"), ("x", "x")] {
            assert_eq!(first_line(input.as_bytes()).expect("a password").as_str(), password);
        }
        for empty in ["", "\n", "\r\n"] {
            assert!(first_line(empty.as_bytes()).is_err());
        }
    }
}
