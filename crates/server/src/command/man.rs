//! `man`: writes manual pages from the help texts.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap_mangen::{Man, generate_to};

use super::output::print;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the pages of all commands into this directory, such as /usr/local/share/man/man1. Without it, the first page is
    /// printed.
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Prints or writes the pages of the commands below `cli`.
pub(super) fn run(arguments: &Arguments, cli: clap::Command) -> anyhow::Result<()> {
    match &arguments.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
            generate_to(cli, directory).with_context(|| directory.display().to_string())
        }
        None => {
            let mut page = Vec::new();
            Man::new(cli).render(&mut page)?;
            Ok(print(&String::from_utf8(page)?)?)
        }
    }
}
