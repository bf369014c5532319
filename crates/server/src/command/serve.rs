//! `serve`: the gRPC server, and the gateway in front of it.

use std::io::ErrorKind;

use clap::Args;
use tokio::net::TcpListener;

use super::context::{self, Context};
use super::demo;
use crate::config::Settings;
use crate::process;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Load the organisation DEMO with a user "demo", password "demo-demo-demo", into the database, unless it is there, and
    /// print what to try. Not for a database that strangers can reach.
    #[arg(long)]
    demo: bool,

    /// Begin an empty SQLite database although the keys were used with another one. Without this, an empty database beside
    /// such keys is taken for one that was lost.
    #[arg(long)]
    new_database: bool,
}

pub(super) async fn run(mut settings: Settings, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.demo {
        without_taken_ops(&mut settings).await;
    }
    context::refuse_empty_database(&settings, arguments.new_database)?;
    let ring = context::keys(&settings).await?;
    process::serve(&settings, &ring, async |database| {
        context::mark_keys_used(&settings);
        if arguments.demo {
            context::require_current(&database).await?;
            let addresses = [Some(settings.grpc.listen), settings.http.listen];
            if !addresses.iter().flatten().all(|address| address.ip().is_loopback()) {
                tracing::warn!("anybody who reaches this server can log in as the demo user");
            }
            demo::load(&Context::on(database, &ring)).await?;
            print!("{}", demo::instructions(&settings));
        }
        Ok(())
    })
    .await
}

/// Whoever only tries it out has no need of metrics, and perhaps a Prometheus that listens there itself.
async fn without_taken_ops(settings: &mut Settings) {
    let Some(address) = settings.ops.listen else { return };
    if let Err(error) = TcpListener::bind(address).await
        && error.kind() == ErrorKind::AddrInUse
    {
        tracing::warn!(%address, "ops.listen is taken: there are no metrics and no probes over HTTP");
        settings.ops.listen = None;
    }
}
