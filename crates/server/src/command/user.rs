//! `user add`: a user that may log in.

use std::io::BufRead;

use access_tokens_domain::import::Outcome;
use access_tokens_domain::session::Permissions;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::context::Context;
use super::{examples, permissions};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user, or give an existing one a new password and permissions.
    #[command(after_help = examples::USER_ADD)]
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the organisation. `organisation add` adds one.
    #[arg(long, value_name = "NAME")]
    organisation: String,

    /// What the user logs in with.
    #[arg(long, value_name = "NAME")]
    username: String,

    /// Read the password from standard input: the first line. It has 12 to 256 characters, and is neither the user name nor among
    /// the passwords that many people use. There is no other way: command lines can be seen by
    /// other users of the machine.
    #[arg(long, required = true)]
    password_stdin: bool,

    /// Unit of logins that name none, by id. It must exist.
    #[arg(long, value_name = "ID")]
    unit: Option<String>,

    /// What the user may do, with commas between: access_tokens.read, access_tokens.write, access_tokens.lookup,
    /// access_tokens.secrets, directory.write, admin.
    #[arg(long, value_name = "LIST", value_parser = permissions)]
    permissions: Permissions,
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let Command::Add(add) = command;
    let password = first_line(std::io::stdin().lock())?;
    let context = Context::open(&settings).await?;
    let organisation = context.organisation(&add.organisation).await?;
    let permissions = add.permissions;
    let (outcome, id) = context
        .save_user(&organisation, &add.username, permissions, add.unit.as_deref(), Some(password.as_str()))
        .await?;
    let done = match outcome {
        Outcome::Created => "added",
        Outcome::Updated => "changed",
        Outcome::Unchanged => "unchanged",
    };
    println!("user {} of {} {done}, id {id}, may: {permissions}", add.username, organisation.name);
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
