//! Tests the number of calls that a connection may have at a time.

use std::net::SocketAddr;

use access_tokens_domain::notification::NoNotifier;
use access_tokens_grpc::server;
use access_tokens_net::connections::MAX_HIGH_LIMIT_CONNECTIONS;
use access_tokens_net::handshake::PREFACE;
use access_tokens_testkit::keys::{RING_A, ring};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::config::LoadedSettings;

const SETTINGS: u8 = 4;
const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects with an HTTP/2 preface, and returns the stream limit of the server.
async fn connected(address: SocketAddr) -> (TcpStream, u32) {
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(&[&PREFACE[..], &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat()).await.expect("sent");
    let mut head = [0; 9];
    client.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], SETTINGS);
    let mut settings = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    client.read_exact(&mut settings).await.expect("settings");
    let streams = settings.chunks(6).find(|setting| setting.starts_with(&MAX_CONCURRENT_STREAMS));
    let [_, _, value @ ..] = streams.expect("a limit") else { panic!("{settings:?}") };
    (client, u32::from_be_bytes(value.try_into().expect("four bytes")))
}

#[tokio::test]
async fn later_connections_have_the_low_stream_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let database = Arc::new(access_tokens_storage::connect(&DatabaseOptions::new(url)).await.expect("a database"));
    let (keys, notifier) = (Arc::new(KeyProvider::new(ring(&[RING_A]))), Arc::new(NoNotifier));
    let settings = LoadedSettings::load(None, [], &[]).expect("the defaults").settings;
    let app = Arc::new(assemble(&database, &keys, notifier, &settings, Arc::default()));
    let health = Health::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let asked = watch::Sender::new(false);
    let stop = StopSignal::by(asked.subscribe());
    let incoming = connections(Port::plain(listener), http2_limits(&settings.grpc, &stop));
    let server = tokio::spawn(serve_calls(routers(app, &health, Limits::default(), true), incoming, stop));

    let mut open = Vec::new();
    for _ in 0..MAX_HIGH_LIMIT_CONNECTIONS {
        let (client, streams) = connected(address).await;
        assert_eq!(streams, server::HIGH_STREAM_LIMIT);
        open.push(client);
    }
    let (mut narrow, streams) = connected(address).await;
    assert_eq!(streams, server::LOW_STREAM_LIMIT);
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("answered");

    open.pop();
    let another = async {
        while connected(address).await.1 != server::HIGH_STREAM_LIMIT {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(ANSWER_TIMEOUT, another).await.expect("a place that is free again");

    asked.send_replace(true);
    timeout(ANSWER_TIMEOUT, narrow.read_to_end(&mut Vec::new()))
        .await
        .expect("asked to go")
        .expect("and gone in peace");
    drop(open);
    timeout(ANSWER_TIMEOUT, server).await.expect("drained").expect("no panic").expect("no failure");
}
