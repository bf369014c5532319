//! The options of all measurements.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// Binary of the service, of the profile `dist`.
    #[arg(long, default_value = "target/dist/access-tokens")]
    pub(crate) binary: PathBuf,
    /// Binary of the peer.
    #[arg(long)]
    pub(crate) peer: Option<PathBuf>,
    /// Number of tokens.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) tokens: u64,
    /// Duration of a run in seconds.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Number of rounds.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Directory of performance.md; without it nothing is written.
    #[arg(long)]
    pub(crate) docs: Option<PathBuf>,
}

impl Options {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
