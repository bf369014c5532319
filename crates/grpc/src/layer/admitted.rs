//! A call that has passed admission.

use std::sync::Arc;

use access_tokens_domain::store::CallState;
use tokio::time::Instant;

use super::permits::Permit;

/// A call that has a permit, which is free again when all clones are dropped: the work may go on after its client has left.
#[derive(Debug, Clone)]
pub(crate) struct Admitted(Arc<AdmittedCall>);

#[derive(Debug)]
struct AdmittedCall {
    arrived_at: Instant,
    state: CallState,
    _permit: Permit,
}

impl Admitted {
    pub(super) fn new(arrived_at: Instant, permit: Permit) -> Self {
        Self(Arc::new(AdmittedCall { arrived_at, state: CallState::default(), _permit: permit }))
    }

    /// Returns the call of a request. `None` in tests that call a service without its layers.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// When the call came.
    pub(super) fn arrived_at(&self) -> Instant {
        self.0.arrived_at
    }

    /// What the transport and the store tell each other about the call.
    pub(crate) fn state(&self) -> &CallState {
        &self.0.state
    }
}
