//! Resolves the name of a webhook to addresses that plain http may go to.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::{BoxError, Service};

use crate::config::WebhookSettings;

/// No address of the name is on this machine or in `webhooks.allowed_networks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address of the name is on this machine or in webhooks.allowed_networks")]
pub(super) struct NotAllowed;

/// The resolver of the system, without the addresses that are not allowed. The connection goes to an address that was checked, so that a
/// later change of the name has no effect.
#[derive(Clone)]
pub(super) struct AllowedResolver {
    system: GaiResolver,
    allowed: Arc<WebhookSettings>,
}

impl AllowedResolver {
    pub(super) fn new(allowed: &WebhookSettings) -> Self {
        Self { system: GaiResolver::new(), allowed: Arc::new(allowed.clone()) }
    }
}

impl Service<Name> for AllowedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, allowed) = (self.system.call(name), Arc::clone(&self.allowed));
        Box::pin(async move {
            let found = resolving.await?;
            let found: Vec<_> = found.filter(|address| allowed.allows_address(address.ip())).collect();
            if found.is_empty() { Err(NotAllowed.into()) } else { Ok(found.into_iter()) }
        })
    }
}
