//! What every call passes through before it reaches a service.
//!
//! The order is that of [`Calls`], outermost first, and nowhere else:
//!
//! 1. `occupy`: a connection with calls in progress is not idle.
//! 2. `admit`: looks whether it is a call of gRPC, checks the credential, waits for the whole message, then for a permit. The
//!    number of permits is bounded; calls that find none wait for a moment, and are refused here.
//! 3. `catch-panic`: a panic in a layer is an INTERNAL answer, not a closed connection.
//! 4. `request-id`: accepts or makes the id of the call and echoes it.
//! 5. `trace`: one span and one line a call.
//! 6. `measure`: how often each method is called, with what outcome, and for how long. Outside of `auth`, so that
//!    rejections count.
//! 7. `protocol`: answers requests that are no calls of gRPC.
//! 8. `unsent`: large answers that wait for their callers to take them, bounded in bytes and in time.
//! 9. `deadline`: the caller's, at most ours. It ends the wait and the reading of the request, never the work.
//! 10. `detach`: runs a call to its end in a task of its own after its client has gone, so that neither a deadline nor a
//!     disconnect drops a future that holds a database connection. All that may touch the database is inside; while
//!     there is none, a call is refused here.
//! 11. `auth`: answers calls whose credential or message admission has found to be wrong.
//! 12. `refusals`: what tonic itself refuses gets the details that every error has.

mod admission;
mod admitted;
mod auth;
mod catch_panic;
mod deadline;
mod detach_on_drop;
mod in_flight;
mod message;
pub mod method;
mod metrics_layer;
mod middleware;
mod normalize_errors;
mod permits;
pub mod protocol;
mod request_id;
mod response_buffer_limit;
mod run_to_completion;
mod trace;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use admitted::Admitted;
pub use auth::{Authenticate, Credential};
pub use in_flight::{InFlight, InFlightLayer};
pub use middleware::{Endpoint, GrpcService, Handler, Middleware, Next, Stack};
pub use request_id::RequestId;

use admission::AdmissionControl;
use auth::Auth;
use catch_panic::CatchPanic;
use deadline::Deadline;
use metrics_layer::MetricsLayer;
use normalize_errors::NormalizeErrors;
use protocol::Protocol;
use request_id::AssignRequestId;
use response_buffer_limit::ResponseBufferLimit;
use run_to_completion::RunToCompletion;
use trace::Trace;

use crate::limits::Limits;
use access_tokens_telemetry::metrics::Metrics;

/// Puts middleware around a handler, in the order of the list, outermost first. With `type` before the list: the type of that.
macro_rules! stack {
    (type $inner:ty) => { $inner };
    (type $outer:ty, $($rest:tt)+) => { Stack<$outer, stack!(type $($rest)+)> };
    ($inner:expr) => { $inner };
    ($outer:expr, $($rest:tt)+) => { Stack { middleware: $outer, inner: stack!($($rest)+) } };
}

/// A service inside of all layers: the order.
pub type Calls<S> = InFlight<
    stack!(
        type AdmissionControl,
        CatchPanic,
        AssignRequestId,
        Trace,
        MetricsLayer,
        Protocol,
        ResponseBufferLimit,
        Deadline,
        RunToCompletion,
        Arc<Authenticated<S>>
    ),
>;

type Authenticated<S> = stack!(type Auth, NormalizeErrors, Endpoint<S>);

/// Puts services inside of all layers. All clones share one bound on calls.
#[derive(Clone)]
pub struct CallLayers {
    admission_control: AdmissionControl,
    metrics: MetricsLayer,
    response_buffer_limit: ResponseBufferLimit,
    run_to_completion: RunToCompletion,
}

impl CallLayers {
    /// Makes the layers. Calls are refused while the database is not present.
    pub fn new(
        sessions: Arc<dyn Authenticate>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        database_up: watch::Receiver<bool>,
    ) -> Self {
        Self {
            admission_control: AdmissionControl::new(sessions, Arc::clone(&metrics), limits, database_up.clone()),
            metrics: MetricsLayer::new(metrics),
            response_buffer_limit: ResponseBufferLimit::new(),
            run_to_completion: RunToCompletion::new(database_up),
        }
    }
}

impl std::fmt::Debug for CallLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallLayers")
    }
}

impl<S: GrpcService> tower::Layer<S> for CallLayers {
    type Service = Calls<S>;

    fn layer(&self, service: S) -> Calls<S> {
        let authenticated = Arc::new(stack!(Auth, NormalizeErrors, Endpoint(service)));
        InFlight::new(stack!(
            self.admission_control.clone(),
            CatchPanic,
            AssignRequestId,
            Trace,
            self.metrics.clone(),
            Protocol,
            self.response_buffer_limit.clone(),
            Deadline,
            self.run_to_completion.clone(),
            authenticated
        ))
    }
}

#[cfg(test)]
mod tests;
