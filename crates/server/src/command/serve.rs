//! `serve`: the gRPC server, and the gateway in front of it.

use clap::Args;

use super::context::{self, Context};
use super::demo;
use crate::config::Settings;
use crate::process;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Load the organisation DEMO with a user "demo", password "demo", into the database, unless it is there, and
    /// print what to try. Not for a database that strangers can reach.
    #[arg(long)]
    demo: bool,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<()> {
    let ring = context::keys(&settings)?;
    process::serve(&settings, &ring, async |database| {
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
