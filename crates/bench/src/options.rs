//! The options that all measurements share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// The binary of the service, of the profile `dist`.
    #[arg(long, default_value = "target/dist/access-tokens")]
    pub(crate) binary: PathBuf,
    /// The peer, built.
    #[arg(long)]
    pub(crate) peer: Option<PathBuf>,
    /// How many tokens there are.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) tokens: u64,
    /// How long a run takes.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// How often each run is made.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// The folder with performance.md; nothing is written without it.
    #[arg(long)]
    pub(crate) docs: Option<PathBuf>,
}

impl Options {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
