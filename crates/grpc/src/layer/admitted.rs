//! A call that has passed admission.

use std::sync::Arc;

use access_tokens_domain::store::CallState;
use tokio::time::Instant;

use super::permits::Permit;

/// A call that has a permit. The permit becomes free when all clones are dropped, because the work may continue after its client has
/// left.
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

    /// Returns the time at which the call arrived.
    pub(super) fn arrived_at(&self) -> Instant {
        self.0.arrived_at
    }

    /// Returns the state of the call that transport and store share.
    pub(crate) fn state(&self) -> &CallState {
        &self.0.state
    }
}
