//! A proxy before PostgreSQL with one address for the service, whichever cluster is the primary.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards connections to one of several servers. It ends when it is dropped.
#[derive(Debug)]
pub struct SwitchableProxy {
    address: SocketAddr,
    upstream: watch::Sender<Upstream>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Upstream {
    address: SocketAddr,
    /// Increases when the existing connections are closed.
    closings: u64,
}

impl SwitchableProxy {
    /// Starts a proxy before a port of this machine.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (upstream, upstream_changes) = watch::channel(Upstream { address: local(port), closings: 0 });
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                open.spawn(forward(client, upstream_changes.clone()));
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, upstream, task })
    }

    /// Forwards new connections to another port, and closes the existing ones.
    pub fn switch_to(&self, port: u16) {
        self.upstream.send_modify(|upstream| {
            upstream.address = local(port);
            upstream.closings += 1;
        });
    }

    /// Forwards new connections to another port. The existing ones stay where they are.
    pub fn lead_new_connections_to(&self, port: u16) {
        self.upstream.send_modify(|upstream| upstream.address = local(port));
    }

    /// Returns the address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SwitchableProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

async fn forward(mut client: TcpStream, mut upstream: watch::Receiver<Upstream>) -> std::io::Result<()> {
    let Upstream { address, closings } = *upstream.borrow_and_update();
    let mut server = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = upstream.wait_for(|upstream| upstream.closings != closings) => {}
    }
    Ok(())
}
