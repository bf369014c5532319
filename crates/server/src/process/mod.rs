//! The process around the services: how it starts, when it is ready, how it stops.

mod accept;
mod connections;
mod dropped;
mod frames;
mod front;
mod gateway;
mod greeting;
mod header_block;
mod http1;
mod http_log;
mod idle;
mod ops;
mod own_answers;
mod port;
mod ready;
mod serve;
mod signals;
mod starting;
mod stream;
mod unread_body;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

pub(crate) use dropped::Dropped;
pub use gateway::gateway;
pub use serve::serve;

/// How long calls that are under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// A port, for the setting of that name.
async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<Arc<TcpListener>> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({setting})"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), setting, "listening");
    Ok(Arc::new(listener))
}
