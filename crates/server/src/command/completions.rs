//! `completions`: prints completion scripts of shells.

use clap_complete::{Shell, generate};

use super::output::print;

/// Prints the script of the commands below `cli`.
pub(super) fn run(shell: Shell, mut cli: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut cli, "access-tokens", &mut script);
    Ok(print(&String::from_utf8(script)?)?)
}
