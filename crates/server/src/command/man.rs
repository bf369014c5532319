//! `man`: writes manual pages from the help texts.

use std::path::Path;

use anyhow::Context as _;
use clap_mangen::{Man, generate_to};

use super::output::print;

/// Prints or writes the pages of the commands below `cli`.
pub(super) fn run(directory: Option<&Path>, cli: clap::Command) -> anyhow::Result<()> {
    match directory {
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
