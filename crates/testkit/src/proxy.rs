//! A TCP proxy between a client and its server that injects faults of the network.
//!
//! Faults can be changed at any time and affect open connections too. Without faults it only forwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running proxy. When it is dropped, it closes its connections and stops listening.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    faults: watch::Sender<Faults>,
    connections: Arc<AtomicUsize>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    black_hole: bool,
    /// Bytes of answers that may still pass.
    budget: Option<usize>,
    ambush: Option<Ambush>,
    /// Text that is replaced by blanks in requests.
    blanked: Option<&'static str>,
    /// Increases when all open connections must be reset.
    resets: u64,
}

/// Waits for one request.
#[derive(Debug, Clone, Copy)]
struct Ambush {
    word: &'static str,
    forwarded: bool,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = watch::Sender::new(Faults::default());
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = tokio::spawn(accept(listener, upstream, faults.clone(), Arc::clone(&connections)));
        Ok(Self { address, upstream, faults, connections, listener })
    }

    /// Returns the address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL with the address of the proxy in place of the upstream.
    pub fn through(&self, url: &str) -> String {
        url.replace(&self.upstream.to_string(), &self.address.to_string())
    }

    /// Returns the number of connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Delays each piece of an answer by this time. Zero ends the delay of later pieces.
    pub fn delay_answers(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Holds everything in both directions, as a broken link does, while all connections stay open. When it is
    /// switched off, the held bytes are forwarded.
    pub fn black_hole(&self, on: bool) {
        self.faults.send_modify(|faults| faults.black_hole = on);
    }

    /// Forwards this number of further bytes of answers, over all connections together. The connection that exceeds them is reset, and so
    /// is each one with a later answer. `cut_after(0)` loses the next answer, for example that of a commit.
    pub fn cut_after(&self, bytes: usize) {
        self.faults.send_modify(|faults| faults.budget = Some(bytes));
    }

    /// Resets the connection on which the next request with this word comes, such as `COMMIT`, in place of the answer. The client
    /// cannot know whether the request was `forwarded`.
    pub fn cut_at_question(&self, word: &'static str, forwarded: bool) {
        self.faults.send_modify(|faults| faults.ambush = Some(Ambush { word, forwarded }));
    }

    /// Replaces a part of statements by blanks, such as ` FOR UPDATE`, before they reach the server. A statement is sent once for
    /// each connection, so this must be set before the client connects.
    pub fn blank(&self, part: &'static str) {
        self.faults.send_modify(|faults| faults.blanked = Some(part));
    }

    /// Returns whether that request has not come yet.
    pub fn waits_for_question(&self) -> bool {
        self.faults.borrow().ambush.is_some()
    }

    /// Resets all connections. New ones are accepted.
    pub fn reset_all(&self) {
        self.faults.send_modify(|faults| faults.resets += 1);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.faults.send_modify(|faults| *faults = Faults { resets: faults.resets, ..Faults::default() });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    faults: watch::Sender<Faults>,
    connections: Arc<AtomicUsize>,
) {
    // The end of this task drops the set, and with it all connections.
    let mut open = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        open.spawn(forward(client, upstream, faults.clone()));
        while open.try_join_next().is_some() {}
    }
}

/// Forwards until both sides have finished. If one side fails or a fault requires it, both sides are reset.
async fn forward(mut client: TcpStream, upstream: SocketAddr, faults: watch::Sender<Faults>) -> io::Result<()> {
    let mut resets = faults.subscribe();
    let before = resets.borrow_and_update().resets;
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let questions = pump(client_reads, server_writes, &faults, false);
    let answers = pump(server_reads, client_writes, &faults, true);
    let finished = tokio::select! {
        done = async { tokio::try_join!(questions, answers) } => done.is_ok(),
        _ = resets.wait_for(|faults| faults.resets != before) => false,
    };
    if !finished {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    faults: &watch::Sender<Faults>,
    answers: bool,
) -> io::Result<()> {
    let mut changes = faults.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = if answers { changes.borrow_and_update().delay } else { Duration::ZERO };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if changes.wait_for(|faults| !faults.black_hole).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        let ambush = if answers { None } else { spring(faults, &buffer[..length]) };
        let passes = match ambush {
            _ if answers => spend(faults, length),
            Some(Ambush { forwarded: false, .. }) => 0,
            _ => length,
        };
        let blanked = changes.borrow().blanked.filter(|_| !answers);
        if let Some(part) = blanked {
            blank(&mut buffer[..passes], part.as_bytes());
        }
        to.write_all(&buffer[..passes]).await?;
        if passes < length || ambush.is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

/// Replaces each occurrence of a part by blanks. The length stays the same, because messages of PostgreSQL state it.
fn blank(question: &mut [u8], part: &[u8]) {
    let mut at = 0;
    while let Some(found) = question[at..].windows(part.len()).position(|window| window == part) {
        at += found;
        question[at..at + part.len()].fill(b' ');
    }
}

/// Takes bytes from the budget. Returns the number that may pass.
fn spend(faults: &watch::Sender<Faults>, length: usize) -> usize {
    let mut passes = length;
    faults.send_if_modified(|faults| {
        if let Some(budget) = &mut faults.budget {
            passes = length.min(*budget);
            *budget -= passes;
        }
        false
    });
    passes
}

/// Takes the waiting cut, if this is the request that it waits for.
fn spring(faults: &watch::Sender<Faults>, question: &[u8]) -> Option<Ambush> {
    let mut sprung = None;
    faults.send_if_modified(|faults| {
        let meant = |ambush: &Ambush| question.windows(ambush.word.len()).any(|part| part == ambush.word.as_bytes());
        sprung = faults.ambush.take_if(|ambush| meant(ambush));
        false
    });
    sprung
}
