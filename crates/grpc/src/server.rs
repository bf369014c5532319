//! Combines services and layers, for sockets or for callers in this process.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_proto::v1::access_token_service_server::AccessTokenServiceServer;
use access_tokens_proto::v1::authentication_service_server::AuthenticationServiceServer;
use access_tokens_proto::v1::directory_service_server::DirectoryServiceServer;
use tonic::service::{LayerExt, Routes};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tower::Layer;
use tower::layer::util::{Identity, Stack};

use super::access_token_service::AccessTokenGrpc;
use super::app::App;
use super::authentication_service::AuthenticationGrpc;
use super::directory_service::DirectoryGrpc;
use super::health::Health;
use super::layer::method::{MAX_RECORD_BYTES, MAX_REQUEST_BYTES};
use super::layer::protocol::MAX_METADATA_BYTES;
use super::layer::{CallLayers, Calls};
use super::limits::Limits;
use super::{read_after, reflection};

/// Maximum size of a response in bytes. A thousand tokens with everything around them stay far below.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Maximum number of calls at a time on a connection with the high stream limit. The number of these
/// connections is bounded. If all had the high limit, more calls could wait than are answered before their callers give up, and most
/// would be processed too late.
pub const HIGH_STREAM_LIMIT: u32 = 128;
/// Maximum number of calls at a time on a connection with the low stream limit.
pub const LOW_STREAM_LIMIT: u32 = 16;
/// Maximum number of bytes that a client may send on one stream before the service has read them. A small window bounds what an
/// import leaves unread while a batch is written.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Minimum window of a connection, in bytes. The HTTP library allows half of the window for the overhead of small DATA frames that
/// wait to be read: 256 bytes minus their length for each. At the limit it closes the connection with ENHANCE_YOUR_CALM. Records of 10
/// bytes, the smallest that exist, fill a stream's window with frames of 1.6 MiB of overhead (ADR 34).
const MIN_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Number of streams reset because of a client's fault after which its connection is closed. The HTTP library has no limit by default.
const FAULTS_PER_CONNECTION: usize = 1024;
/// Maximum number of calls at a time that a client has cancelled before the service has read them. When the service is late, these may
/// be all calls of an honest client. On a connection with the low limit the client cancels some and sends others in the meantime.
const RESETS_PER_CONNECTION: usize = 2 * HIGH_STREAM_LIMIT as usize;
/// Maximum size of a header list that the HTTP library reads, in bytes. It is far above the limit of the service, so that a list that is
/// too large gets an error with details: the library answers HTTP 431 without any, and closes the connection at four times this size.
/// Connections bound the number of these lists and of their fields.
const MAX_HEADER_LIST_BYTES: u32 = 16 * MAX_METADATA_BYTES as u32;
/// Time without a frame after which the client of a connection is sent a ping, and time without an answer after which the connection is
/// closed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of [`router`].
pub type CallRouter = Router<Stack<CallLayers, Identity>>;

/// Returns the server for a socket. All its connections have the high stream limit.
pub fn router<S: Store + AccountStore>(app: Arc<App<S>>, health: &Health, limits: Limits) -> CallRouter {
    let [high, _] = routers(app, health, limits, true);
    high
}

/// Returns the servers of connections with the high and with the low stream limit. They share the services and the permits.
pub fn routers<S: Store + AccountStore>(
    app: Arc<App<S>>,
    health: &Health,
    limits: Limits,
    reflected: bool,
) -> [CallRouter; 2] {
    let layers = layers(&app, limits);
    let mut routes = routes(app, health);
    if reflected {
        routes = routes.add_service(reflection::v1()).add_service(reflection::v1alpha());
    }
    [HIGH_STREAM_LIMIT, LOW_STREAM_LIMIT].map(|streams| {
        Server::builder()
            .layer(layers.clone())
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            // The HTTP library refuses streams above it from the first one, even before the client has read the setting.
            .max_concurrent_streams(streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(connection_window(streams))
            .http2_max_local_error_reset_streams(Some(FAULTS_PER_CONNECTION))
            .http2_max_pending_accept_reset_streams(Some(RESETS_PER_CONNECTION))
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            // Without a grace time: tonic would then drop the connection, with the calls on it, instead of closing it.
            .max_connection_age(limits.connection_age)
            .tcp_nodelay(true)
            .add_routes(routes.clone())
    })
}

/// Returns the window of a connection in bytes. It has room for the windows of all streams, so that a stream that is not read for a while
/// does not block the others.
fn connection_window(streams: u32) -> u32 {
    (streams * STREAM_WINDOW).max(MIN_CONNECTION_WINDOW)
}

/// Returns the services without reflection, inside of the same layers, for callers in this process. Generated clients take it as a channel.
pub fn in_process<S: Store + AccountStore>(app: Arc<App<S>>, health: &Health, limits: Limits) -> Calls<Routes> {
    layers(&app, limits).layer(routes(app, health))
}

fn layers<S: Store + AccountStore>(app: &App<S>, limits: Limits) -> CallLayers {
    CallLayers::new(app.sessions.clone(), app.metrics.clone(), &limits, app.database_up.clone())
}

fn routes<S: Store + AccountStore>(app: Arc<App<S>>, health: &Health) -> Routes {
    let replicas = app.replicas.clone();
    let access_tokens = AccessTokenServiceServer::new(AccessTokenGrpc(app.clone()))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let authentication = AuthenticationServiceServer::new(AuthenticationGrpc(app.clone()))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let directory = DirectoryServiceServer::new(DirectoryGrpc::new(app))
        .max_decoding_message_size(MAX_RECORD_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    Routes::new(read_after::layer(replicas.as_ref()).named_layer(access_tokens))
        .add_service(authentication)
        .add_service(read_after::layer(replicas.as_ref()).named_layer(directory))
        .add_service(health.service())
}
