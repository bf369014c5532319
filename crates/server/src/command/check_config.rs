//! `check-config`: the settings that apply, or what is wrong with each of those that cannot be used.

use std::process::ExitCode;

use clap::Args;

use super::output::print;
use crate::config::{ConfigError, LoadedSettings, meaning, reference};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Explain every setting there is, as Markdown, instead of what applies.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(loaded: &LoadedSettings, arguments: &Arguments) -> anyhow::Result<()> {
    for warning in loaded.warnings() {
        eprintln!("warning: {}: {}", warning.message, warning.cure);
    }
    Ok(print(&if arguments.markdown { reference() } else { loaded.describe() })?)
}

/// Shows every problem on a line of its own, each with what its setting means.
pub(super) fn refused(error: &ConfigError) -> ExitCode {
    for problem in error.problems() {
        eprintln!("error: {problem}");
        if let Some(meaning) = problem.split_once(' ').and_then(|(key, _)| meaning(key)) {
            eprintln!("       {meaning}");
        }
    }
    ExitCode::FAILURE
}
