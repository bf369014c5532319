//! The commands that there are, for tests that must not forget one.

use clap::CommandFactory;

use super::cli::Cli;

/// A command that does something.
pub struct CommandHelp {
    /// How it is called, such as `access-tokens keys init`.
    pub invocation: String,
    /// The whole of its help.
    pub help: String,
}

impl CommandHelp {
    /// The command lines of its examples, without what a shell makes of them.
    pub fn examples(&self) -> Vec<String> {
        let examples = self.help.split_once("Examples:\n").map(|(_, examples)| examples).unwrap_or_default();
        let lines = examples.lines().map(str::trim).filter(|line| line.starts_with(&self.invocation));
        lines
            .map(|line| line.split(['|', '<', '>', '#']).next().unwrap_or_default().trim())
            // What a shell makes of it is one word.
            .map(|line| line.replace("$(date +%FT%H%M)", "now"))
            .collect()
    }
}

/// All commands, in no particular order.
pub fn all_commands() -> Vec<CommandHelp> {
    let mut cli = Cli::command();
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
