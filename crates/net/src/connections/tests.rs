//! Limits on large header lists. The tests of the crate `grpc` cover connections with calls.

use std::net::SocketAddr;
use std::sync::LazyLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::handshake::{HANDSHAKE_TIMEOUT, PREFACE};

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn listen() -> (impl Connections<Item = io::Result<Connection>> + Send + Unpin, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    static NEVER: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));
    let limits = Http2Limits {
        connections: ConnectionLimits {
            max_connections: 10,
            anonymous_per_address: 10,
            trusted_proxies: Arc::default(),
        },
        age: HANDSHAKE_TIMEOUT * 1_000,
        idle: HANDSHAKE_TIMEOUT,
        stop: StopSignal::by(NEVER.subscribe()),
    };
    (Box::pin(connections(Port::plain(listener), limits)), address)
}

#[tokio::test]
async fn large_lists_that_do_not_end_are_bounded_in_number() {
    // A field that is not indexed, of 60,000 bytes, in frames of 15,000; the list does not end.
    let mut list = vec![0x83, 0x86, 0x84, 0x00, 1, b'x', 0x7f, 0xe1, 0xd3, 0x03];
    list.resize(60_000, b'y');
    let frames = list.chunks(15_000).enumerate().flat_map(|(at, part)| {
        let length = u32::try_from(part.len()).expect("short").to_be_bytes();
        [&length[1..], &[if at == 0 { 1 } else { 9 }, 0, 0, 0, 0, 1], part].concat()
    });
    let first_bytes = [PREFACE.to_vec(), SETTINGS.to_vec(), frames.collect()].concat();
    let (mut incoming, address) = listen().await;
    let mut held = Vec::new();
    for number in 0..3 {
        let mut client = TcpStream::connect(address).await.expect("connected");
        client.write_all(&first_bytes).await.expect("sent");
        let mut connection = incoming.next().await.expect("a connection").expect("no error");
        let free_permits = connection.large_list_permits.available_permits();
        if number == 2 {
            // Other connections have all permits.
            held.push(
                Arc::clone(&connection.large_list_permits)
                    .acquire_many_owned(free_permits as u32)
                    .await
                    .expect("permits"),
            );
        }
        let (mut heard, mut space) = (0, vec![0; 100_000]);
        while heard < first_bytes.len() {
            match timeout(HANDSHAKE_TIMEOUT, connection.read(&mut space)).await.expect("bytes").expect("no error") {
                0 => break,
                count => heard += count,
            }
        }
        // The permit is released with the connection.
        assert_eq!((heard == first_bytes.len(), free_permits), (number < 2, MAX_LARGE_LISTS));
        drop((connection, client));
    }
}
