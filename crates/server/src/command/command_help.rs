//! Lists all commands, for tests of each of them.

use super::cli::Cli;

/// A command without subcommands.
pub struct CommandHelp {
    /// The command with its subcommands, such as `access-tokens keys init`.
    pub invocation: String,
    /// The long help text.
    pub help: String,
}

impl CommandHelp {
    /// Returns the command lines of the examples, without pipes and redirections.
    pub fn examples(&self) -> Vec<String> {
        let examples = self.help.split_once("Examples:\n").map(|(_, examples)| examples).unwrap_or_default();
        let lines = examples.lines().map(str::trim).filter(|line| line.starts_with(&self.invocation));
        lines
            .map(|line| line.split(['|', '<', '>', '#']).next().unwrap_or_default().trim())
            // The shell replaces this by one word.
            .map(|line| line.replace("$(date +%FT%H%M)", "now"))
            .collect()
    }
}

/// Returns all commands, in no particular order.
pub fn all_commands() -> Vec<CommandHelp> {
    let mut cli = Cli::definition();
    cli.build();
    let mut found = Vec::new();
    collect(&cli, "access-tokens", &mut found);
    found
}

fn collect(command: &clap::Command, invocation: &str, found: &mut Vec<CommandHelp>) {
    let below: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if below.is_empty() {
        found.push(CommandHelp {
            invocation: invocation.to_owned(),
            help: command.clone().render_long_help().to_string(),
        });
    }
    for one in below {
        collect(one, &format!("{invocation} {}", one.get_name()), found);
    }
}
