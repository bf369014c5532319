//! `keys`: the key ring.

use access_tokens_domain::ports::Random;
use anyhow::bail;
use clap::Subcommand;

use crate::config::Settings;
use crate::crypto::{KeyRing, SystemRandom};

/// The keys that passwords, codes and session tokens are protected with.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the key file (keys.file), with one new key and mode 0600. A file that exists is left alone, and is an error.
    ///
    /// Give the same file to every replica, and keep a copy apart from copies of the database: without its keys the
    /// pass codes, passwords and codes in it are worth nothing.
    Init,
}

pub(super) fn run(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    let random: &dyn Random = &SystemRandom;
    match command {
        Command::Init => {
            let file = &settings.keys.file;
            let (_, created) = KeyRing::read_or_create(file, random)?;
            if !created {
                bail!("{} exists; it was left as it is", file.display());
            }
            println!("made {}: keep a copy of it, apart from copies of the database", file.display());
        }
    }
    Ok(())
}
