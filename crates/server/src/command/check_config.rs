//! `check-config`: the settings that apply. Wrong ones were refused before.

use clap::Args;

use super::output::say;
use crate::config::{Loaded, reference};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Explain every setting there is, as Markdown, instead of what applies.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> anyhow::Result<()> {
    Ok(say(&if arguments.markdown { reference() } else { loaded.describe() })?)
}
