//! `check-config`: shows the settings that apply, or the problems of the configuration.

use std::process::ExitCode;

use super::output::print;
use crate::config::{ConfigError, LoadedSettings, meaning, reference};

pub(super) fn run(loaded: &LoadedSettings, markdown: bool) -> anyhow::Result<()> {
    for warning in loaded.warnings() {
        eprintln!("warning: {}: {}", warning.message, warning.cure);
    }
    Ok(print(&if markdown { reference() } else { loaded.describe() })?)
}

/// Prints every problem on its own line, each with the meaning of the setting.
pub(super) fn refused(error: &ConfigError) -> ExitCode {
    for problem in error.problems() {
        eprintln!("error: {problem}");
        if let Some(meaning) = problem.split_once(' ').and_then(|(key, _)| meaning(key)) {
            eprintln!("       {meaning}");
        }
    }
    ExitCode::FAILURE
}
