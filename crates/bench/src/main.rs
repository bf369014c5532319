//! Measures the cost of a call of the service, its lower bound, and the cost of the same call elsewhere. docs/performance.md has
//! the results.

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
    /// Compares the service with the empty call, its own SQL and a peer, in turn; writes docs/performance.md.
    Compare {
        #[command(flatten)]
        options: Options,
    },
    /// Runs one scenario on one database.
    Run {
        scenario: Scenario,
        #[command(flatten)]
        options: Options,
        #[arg(long, value_enum, default_value = "postgres")]
        database: Kind,
        /// Number of concurrent calls.
        #[arg(long, default_value_t = 8)]
        at_once: usize,
        /// Calls per second, whatever their results, in place of a number of concurrent calls.
        #[arg(long)]
        rate: Option<u32>,
    },
    /// Compares show with pgbench on tables of growing size; writes docs/performance.md.
    Sizes {
        #[command(flatten)]
        options: Options,
        #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000,10000000")]
        sizes: Vec<u64>,
    },
    /// Compares create with the bare SQL on a disk whose flush takes a millisecond; writes docs/performance.md.
    Flush {
        #[command(flatten)]
        options: Options,
    },
    /// Measures the rate at which the cards of a campaign are imported.
    Import {
        #[command(flatten)]
        options: Options,
        #[arg(long, value_enum, default_value = "postgres")]
        database: Kind,
    },
    /// Prints the statements that PostgreSQL receives for each call.
    Statements {
        #[command(flatten)]
        options: Options,
    },
    /// Serves the empty call, until it is killed.
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
        // The same number of threads as the service.
        Command::ServeEmpty { listen, size } => runtime(None)?.block_on(empty::serve(listen, size)),
        Command::Compare { options } => runtime(Some(1))?.block_on(compare::compare(&options)),
        Command::Sizes { options, sizes } => runtime(Some(1))?.block_on(compare::sizes(&options, &sizes)),
        Command::Flush { options } => runtime(Some(1))?.block_on(flush::flush(&options)),
        Command::Import { options, database } => runtime(Some(1))?.block_on(compare::import(&options, database)),
        Command::Statements { options } => runtime(Some(1))?.block_on(statements::count(&options)),
        Command::Run { scenario, options, database, at_once, rate } => {
            runtime(Some(1))?.block_on(compare::one(&options, scenario, database, at_once, rate))
        }
    }
}

/// Creates a runtime with this number of threads, or with one thread per core. The load generator uses one thread, so that the other cores
/// are free for the programs that are measured.
fn runtime(threads: Option<usize>) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}
