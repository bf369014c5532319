//! The gateway before the application under test, over a real socket.

use std::net::SocketAddr;

use access_tokens_gateway::{GatewayConfig, router};
use access_tokens_grpc::Limits;
use access_tokens_grpc::server::in_process;
use access_tokens_testkit::http::HttpClient;
use tokio::net::TcpListener;
use tonic::transport::Channel;

use crate::app::TestApp;

/// The place of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// In the process of the server, without a connection.
    InProcess,
    /// In another process, with a connection to the server.
    Separate,
}

impl TestApp {
    /// Starts a gateway in the process of the server with default settings, and returns an HTTP client of it.
    pub async fn http(&self) -> HttpClient {
        self.gateway(Deployment::InProcess, GatewayConfig::default()).await
    }

    /// Starts a gateway, and returns an HTTP client of it.
    pub async fn gateway(&self, deployment: Deployment, config: GatewayConfig) -> HttpClient {
        let router = match deployment {
            Deployment::InProcess => {
                let services = &self.services;
                router(in_process(services.app.clone(), &services.health, Limits::default()), config)
            }
            Deployment::Separate => {
                let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("a URI");
                router(endpoint.connect_lazy(), config)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        HttpClient::new(address, self.session())
    }
}
