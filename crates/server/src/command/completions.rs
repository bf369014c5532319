//! `completions`: prints completion scripts of shells.

use clap::Args;
use clap_complete::{Shell, generate};

use super::output::print;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script of the commands below `cli`.
pub(super) fn run(arguments: &Arguments, mut cli: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut cli, "access-tokens", &mut script);
    Ok(print(&String::from_utf8(script)?)?)
}
