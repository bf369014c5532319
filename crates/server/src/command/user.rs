//! `user`: adds users that may log in, and manages their networks and locks.

use std::io::BufRead;

use access_tokens_domain::import::Outcome;
use access_tokens_domain::login::Network;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{LoginStore, Unlocked};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::context::Context;
use super::errors::to_anyhow;
use super::permissions::permissions;
use super::users;
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user, or give an existing one a new password and permissions.
    Add(Add),

    /// Add networks from which an existing user logs in. Wrong passwords from other networks never lock the user out on them.
    Network(NetworkOf),
    /// End the locks of a user's log-ins: wrong passwords lock a user on the network that they come from.
    Unlock(users::Named),
    /// Give a user a new password. The sessions of the user end within a second on every server.
    Password(users::Password),
    /// Disable a user: it cannot log in, and its sessions and API keys end within a second on every server.
    ///
    /// The last enabled user with the permission admin cannot be disabled. Disabling a user twice is not an error.
    Disable(users::Named),
    /// Enable a disabled user, with its earlier password.
    Enable(users::Named),
    /// List the users of an organisation that have a password or permissions.
    List(users::List),
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

#[derive(Debug, Args)]
pub(super) struct NetworkOf {
    #[command(flatten)]
    user: users::Named,

    /// Network, such as 192.0.2.0/24 or 2001:db8::/64; may be given several times. It is kept until the user is deleted.
    #[arg(long = "network", value_name = "CIDR", value_parser = networks, required = true)]
    networks: Vec<Block>,
}

/// The networks of one CIDR block.
#[derive(Debug, Clone)]
struct Block(Vec<Network>);

fn networks(text: &str) -> Result<Block, String> {
    Network::of_block(text).map(Block)
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add(arguments) => add(settings, arguments).await,
        Command::Network(arguments) => enter_networks(settings, arguments).await,
        Command::Unlock(arguments) => unlock(settings, arguments).await,
        Command::Password(arguments) => {
            let password = first_line(std::io::stdin().lock())?;
            users::password(&Context::open(&settings).await?, &arguments, &password).await
        }
        Command::Disable(user) => users::disable(&Context::open(&settings).await?, &user).await,
        Command::Enable(user) => users::enable(&Context::open(&settings).await?, &user).await,
        Command::List(arguments) => users::list(&Context::open(&settings).await?, &arguments).await,
    }
}

async fn add(settings: Settings, add: Add) -> anyhow::Result<()> {
    let password = first_line(std::io::stdin().lock())?;
    let context = Context::open(&settings).await?;
    let organisation = context.organisation(&add.organisation).await?;
    let permissions = add.permissions;
    let (outcome, id) = context
        .save_user(&organisation, &add.username, permissions, add.unit.as_deref(), Some(password.as_str()))
        .await?;
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

async fn enter_networks(settings: Settings, arguments: NetworkOf) -> anyhow::Result<()> {
    let NetworkOf { user: users::Named { organisation: name, username }, networks } = arguments;
    let context = Context::open(&settings).await?;
    let (organisation, user) = context.user(&name, &username).await?;
    let networks: Vec<_> = networks.into_iter().flat_map(|block| block.0).collect();
    context.database.enter_networks(organisation.key, &user, &networks).await.map_err(to_anyhow)?;
    println!("user {username} of {name} logs in from {} network(s) more, id {user}", networks.len());
    Ok(())
}

async fn unlock(settings: Settings, users::Named { organisation: name, username }: users::Named) -> anyhow::Result<()> {
    let context = Context::open(&settings).await?;
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
