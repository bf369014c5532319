//! `keys`: manages the key ring, and the rotation of keys while servers run.

mod reencrypt;
mod ring;
pub(super) mod source;
mod usage;
mod withdraw;

use clap::Subcommand;

use self::source::key_file;
use super::context;
use crate::config::Settings;

/// The keys that protect passwords, codes and session tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create the key file (keys.file), with one new key and mode 0600. An existing file is not changed, and is an error. If the database
    /// holds values under other keys, that is an error too: restore those keys.
    ///
    /// Give the same file to every replica, and keep a copy separate from copies of the database: without its keys, pass codes, passwords
    /// and codes of a database are useless.
    Init {
        /// Create new keys although the database holds values under other keys, which are lost: those pass codes, passwords, API keys and
        /// codes are never accepted again.
        #[arg(long)]
        accept_missing_keys: bool,
    },
    /// List the keys by id, with the key that writes, and the number of values in the database that need each.
    List,
    /// Create a new key that writes new values from now on. The other keys stay for reading.
    ///
    /// Running servers read a changed file within a second. So the new key is first added behind the others, and moved to the front when
    /// every server has had time to read it.
    ///
    /// If replicas have copies of the file, or see changes late, run `rotate --prepare` on one replica, copy the file to all, and then run
    /// `rotate --to ID` on all.
    Rotate {
        /// Only add the new key behind the others: it reads, and does not write yet.
        #[arg(long, conflicts_with = "to")]
        prepare: bool,

        /// Create no key: move this one, which is in the file, to the front.
        #[arg(long, value_name = "ID")]
        to: Option<String>,
    },
    /// Move all verification codes to the key that writes. It may be interrupted, and run again.
    ///
    /// Other values move when they are used, or cannot move: `keys list` shows it.
    ReEncrypt,
    /// Withdraw unused secrets under an old key, so that the key can be retired.
    ///
    /// A secret moves to the key that writes when it is used. A secret that is never used keeps its old key needed; this command removes
    /// it.
    Withdraw(withdraw::Withdraw),
    /// Remove a key that nothing needs any more: no value in the database, and no session.
    ///
    /// Sessions that it signed live for two hours after another key began to write.
    Retire {
        /// Id of the key.
        #[arg(value_name = "ID")]
        id: String,

        /// Remove the key even if it is needed, without reading the database: values under it are lost. The key file notes this.
        #[arg(long)]
        force: bool,

        /// Remove the key although it may have signed sessions, which end.
        #[arg(long)]
        end_sessions: bool,
    },
}

pub(super) async fn run(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init { accept_missing_keys } => {
            let mut lost = Vec::new();
            if !settings.keys.file.exists() {
                if *accept_missing_keys {
                    lost = context::needed_key_ids(settings).await;
                } else {
                    context::refuse_new_keys(settings).await?;
                }
            }
            ring::init(&settings.keys.file)?;
            context::note_lost_keys(settings, &lost);
            Ok(())
        }
        Command::List => usage::list(settings).await,
        Command::Rotate { to: Some(id), .. } => ring::rotate_to(key_file(settings)?, id).await,
        Command::Rotate { prepare, .. } => ring::rotate(key_file(settings)?, *prepare).await,
        Command::ReEncrypt => reencrypt::run(settings).await,
        Command::Withdraw(withdraw) => withdraw::run(settings, withdraw).await,
        Command::Retire { id, force: true, .. } => ring::retire_by_force(settings, key_file(settings)?, id),
        Command::Retire { id, end_sessions, .. } => {
            ring::retire(settings, key_file(settings)?, id, *end_sessions).await
        }
    }
}
