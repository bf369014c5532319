//! `keys`: the key ring, and moving from one key to the next while servers run.

mod reencrypt;
mod ring;
mod sessions;
mod source;
mod usage;
mod withdraw;

use clap::{Args, Subcommand};

use self::source::key_file;
pub(super) use self::source::key_ring;
use super::{context, examples};
use crate::config::Settings;

/// The keys that passwords, codes and session tokens are protected with.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the key file (keys.file), with one new key and mode 0600. A file that exists is left alone, and is an error.
    /// So is a database that holds what other keys protect: bring those back instead.
    ///
    /// Give the same file to every replica, and keep a copy apart from copies of the database: without its keys the
    /// pass codes, passwords and codes in it are worth nothing.
    #[command(after_help = examples::KEYS_INIT)]
    Init(Init),
    /// Show the keys by id, which of them new codes are made with, and how much in the database needs each.
    #[command(after_help = examples::KEYS_LIST)]
    List,
    /// Make a new key, with which new codes are made from now on. The others stay, to be read with.
    ///
    /// Servers that run follow the file by themselves, within a second. So the new key is written behind the others
    /// first, and moved to the front when every server has had time to read it.
    ///
    /// Where replicas have copies of the file, or see changes of it late, that time is yours: `rotate --prepare` on one,
    /// the file to all, and then `rotate --to ID` on all.
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate(Rotate),
    /// Move all verification codes to the key that new codes are made with. It may be stopped, and run again.
    ///
    /// The rest moves by itself, or cannot: `keys list` says how.
    #[command(after_help = examples::KEYS_REENCRYPT)]
    ReEncrypt,
    /// Take away secrets under an old key that their owners do not use any more, so that the key can be retired.
    ///
    /// A secret moves to the key that writes when it is used. One that is never used again keeps its old key needed for ever: this
    /// ends it.
    #[command(after_help = examples::KEYS_WITHDRAW)]
    Withdraw(withdraw::Withdraw),
    /// Remove a key that nothing needs any more: nothing in the database, and no session.
    ///
    /// Sessions that are signed with it live for two hours after another key began to write.
    #[command(after_help = examples::KEYS_RETIRE)]
    Retire(Retire),
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Make new keys although the database holds what other keys protect, which are lost: those pass codes, passwords, API
    /// keys and codes are never accepted again.
    #[arg(long)]
    accept_missing_keys: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Only make the new key, behind the others: it is read, and not yet written with.
    #[arg(long, conflicts_with = "to")]
    prepare: bool,

    /// Make no key: move this one, which is in the file, to the front.
    #[arg(long, value_name = "ID")]
    to: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    /// The id of the key.
    #[arg(value_name = "ID")]
    id: String,

    /// Remove it even if it is needed, without asking the database: what needs it is lost. The key file notes that.
    #[arg(long)]
    force: bool,

    /// Remove it although sessions may be signed with it: those end.
    #[arg(long)]
    end_sessions: bool,
}

pub(super) async fn run(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init(Init { accept_missing_keys }) => {
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
        Command::Rotate(Rotate { to: Some(id), .. }) => ring::rotate_to(key_file(settings)?, id).await,
        Command::Rotate(Rotate { prepare, .. }) => ring::rotate(key_file(settings)?, *prepare).await,
        Command::ReEncrypt => reencrypt::run(settings).await,
        Command::Withdraw(withdraw) => withdraw::run(settings, withdraw).await,
        Command::Retire(Retire { id, force: true, .. }) => ring::retire_by_force(settings, key_file(settings)?, id),
        Command::Retire(Retire { id, end_sessions, .. }) => {
            ring::retire(settings, key_file(settings)?, id, *end_sessions).await
        }
    }
}
