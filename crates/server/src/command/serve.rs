//! `serve`: runs the gRPC server and the gateway.

use std::io::ErrorKind;

use anyhow::bail;
use clap::Args;
use tokio::net::TcpListener;

use super::context::{self, Context};
use super::demo;
use crate::config::Settings;
use crate::process;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Load the organisation DEMO with a user "demo", password "demo-demo-demo", into the database, unless it exists, and print commands to
    /// try. Refused if other machines can reach the server.
    #[arg(long)]
    demo: bool,

    /// Serve the demo to other machines too. Every caller that reaches the server can log in as the demo user, which has all permissions.
    #[arg(long, requires = "demo")]
    demo_public: bool,

    /// Create an empty SQLite database although the keys were used with another one. Without this option, a missing database beside such
    /// keys counts as lost, and is an error.
    #[arg(long)]
    new_database: bool,

    /// Serve although the database needs keys that are not in the ring, and note in the key file that they are lost: the pass codes,
    /// passwords, API keys and codes under them are never accepted again.
    #[arg(long)]
    accept_missing_keys: bool,
}

pub(super) async fn run(mut settings: Settings, arguments: Arguments) -> anyhow::Result<()> {
    let open = open_listeners(&settings);
    if arguments.demo {
        if let (Some(open), false) = (&open, arguments.demo_public) {
            bail!(
                "every caller that reaches {open} could log in as the demo user: listen on 127.0.0.1, or give --demo-public as well"
            );
        }
        without_taken_ops(&mut settings).await;
    }
    context::refuse_empty_database(&settings, arguments.new_database)?;
    let ring = context::keys(&settings).await?;
    let ring = if arguments.accept_missing_keys { ring.accepting_missing() } else { ring };
    process::serve(&settings, &ring, async |database| {
        context::refuse_foreign_keys(&settings, &database, &ring).await?;
        context::mark_keys_used(&settings);
        if arguments.demo {
            context::require_current(&database).await?;
            if open.is_some() {
                tracing::warn!("every caller that reaches this server can log in as the demo user");
            }
            demo::load(&Context::with_database(database, &ring)).await?;
            print!("{}", demo::instructions(&settings));
        } else if let Some(open) = &open {
            demo::refuse_published_password(&Context::with_database(database, &ring), open).await?;
        }
        Ok(())
    })
    .await
}

/// Returns the listeners for log-ins that other machines can reach, with their addresses. None where there are none.
fn open_listeners(settings: &Settings) -> Option<String> {
    let listeners = settings.listeners().into_iter().filter(|listener| listener.section != "ops");
    let named = listeners.filter_map(|one| Some(format!("{} ({})", one.listen, one.public_address()?)));
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| named.join(" and "))
}

/// Switches off the port for operators if its address is taken. A trial run needs no metrics, and a Prometheus or another process of the
/// service may use the port.
pub(super) async fn without_taken_ops(settings: &mut Settings) {
    let Some(address) = settings.ops.listen else { return };
    if let Err(error) = TcpListener::bind(address).await
        && error.kind() == ErrorKind::AddrInUse
    {
        tracing::warn!(%address, "ops.listen is taken: there are no metrics and no probes over HTTP");
        settings.ops.listen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadedSettings;

    #[test]
    fn listeners_beyond_the_loopback_are_open() {
        for (grpc, http, expected) in [
            ("127.0.0.1:1", "127.9.9.9:2", None),
            ("[::1]:1", "", None),
            ("[::ffff:127.0.0.1]:1", "", None),
            ("0.0.0.0:1", "127.0.0.1:2", Some("grpc.listen (0.0.0.0:1)")),
            ("127.0.0.1:1", "[::]:2", Some("http.listen ([::]:2)")),
            ("[::ffff:10.0.0.1]:1", "", Some("grpc.listen ([::ffff:10.0.0.1]:1)")),
            ("10.0.0.1:1", "192.168.0.1:2", Some("grpc.listen (10.0.0.1:1) and http.listen (192.168.0.1:2)")),
        ] {
            let set = [format!("grpc.listen={grpc}"), format!("http.listen={http}")];
            let settings = LoadedSettings::load(None, [], &set).expect("settings").settings;
            assert_eq!(open_listeners(&settings).as_deref(), expected, "{grpc} {http}");
        }
    }
}
