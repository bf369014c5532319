//! Measures the service: what a call costs, what it would cost at least, and what it costs elsewhere.
//! docs/performance.md has the results.

mod bare_sql;
mod compare;
mod contestants;
mod cpu;
mod empty;
mod environment;
mod flush;
mod http1;
mod import;
mod load;
mod options;
mod plots;
mod report;
mod rpc;
mod scenario;
mod seed;
mod statements;
mod targets;
mod thousands;

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::environment::Kind;
use crate::options::Options;
use crate::scenario::Scenario;

#[derive(Parser)]
#[command(about = "Measures the service")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The service beside the empty call, its own SQL and a peer, in turn; writes docs/performance.md.
    Compare {
        #[command(flatten)]
        how: Options,
    },
    /// One scenario on one database.
    Run {
        scenario: Scenario,
        #[command(flatten)]
        how: Options,
        #[arg(long, value_enum, default_value = "postgres")]
        database: Kind,
        /// Calls at once.
        #[arg(long, default_value_t = 8)]
        at_once: usize,
        /// Calls a second, whatever becomes of them, in place of calls at once.
        #[arg(long)]
        rate: Option<u32>,
    },
    /// show against pgbench on tables of growing size; writes docs/performance.md.
    Sizes {
        #[command(flatten)]
        how: Options,
        #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000,10000000")]
        sizes: Vec<u64>,
    },
    /// create beside the bare SQL on a disk whose flush takes a millisecond; writes docs/performance.md.
    Flush {
        #[command(flatten)]
        how: Options,
    },
    /// How fast a campaign's cards are imported.
    Import {
        #[command(flatten)]
        how: Options,
        #[arg(long, value_enum, default_value = "postgres")]
        database: Kind,
    },
    /// The statements that PostgreSQL gets for each call.
    Statements {
        #[command(flatten)]
        how: Options,
    },
    /// The empty call, until it is killed.
    #[command(hide = true)]
    ServeEmpty {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        size: usize,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        // As many threads as the service would have.
        Command::ServeEmpty { listen, size } => runtime(None)?.block_on(empty::serve(listen, size)),
        Command::Compare { how } => runtime(Some(1))?.block_on(compare::compare(&how)),
        Command::Sizes { how, sizes } => runtime(Some(1))?.block_on(compare::sizes(&how, &sizes)),
        Command::Flush { how } => runtime(Some(1))?.block_on(flush::flush(&how)),
        Command::Import { how, database } => runtime(Some(1))?.block_on(compare::import(&how, database)),
        Command::Statements { how } => runtime(Some(1))?.block_on(statements::count(&how)),
        Command::Run { scenario, how, database, at_once, rate } => {
            runtime(Some(1))?.block_on(compare::one(&how, scenario, database, at_once, rate))
        }
    }
}

/// The generator is one thread: the machine belongs to those who are measured.
fn runtime(threads: Option<usize>) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}
