//! A client of the gateway: connections that stay open, one call at a time on each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_testkit::http::{self, Connection};
use anyhow::Result;

use crate::load::{Call, Reply, Transport};

const HEADERS: &[(&str, &str)] = &[("content-type", "application/json")];

/// A client of a gateway.
#[derive(Clone)]
pub(crate) struct HttpClient {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl HttpClient {
    /// Returns a client that connects when it is called.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Arc::default() }
    }

    /// Posts JSON over an idle connection, or over a new one.
    async fn post(&self, call: Call) -> Result<Reply> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let (head, body) =
            connection.exchange(http::request("POST", &call.path, HEADERS, http::whole(call.body))?).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        // 0 is the status of success of gRPC.
        let status = if head.status.as_u16() == 200 { 0 } else { head.status.as_u16() };
        Ok(Reply { status, bytes: body.len() })
    }
}

impl Transport for HttpClient {
    async fn send(&self, call: Call) -> Reply {
        self.post(call).await.unwrap_or(Reply::BROKEN)
    }
}
