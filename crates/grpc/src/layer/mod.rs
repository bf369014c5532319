//! The layers that every call passes before it reaches a service.
//!
//! [`Calls`] is the only place that decides their order. Outermost first:
//!
//! 1. [`InFlight`]: a connection with calls in progress is not idle.
//! 2. `AdmissionControl`: refuses requests that are no gRPC calls, checks the credential, waits for the whole message, then for a
//!    permit. The number of permits is bounded; a call without a free permit waits for at most a second and is then refused.
//! 3. `CatchPanic`: a panic in a layer becomes an INTERNAL response, not a closed connection.
//! 4. `AssignRequestId`: accepts or makes the id of the call, and returns it to the caller.
//! 5. `Trace`: one span, one line in the log and one measurement for each call. It is outside of `Auth`, so that rejected calls count.
//! 6. `Protocol`: answers requests that are no gRPC calls.
//! 7. `ResponseBufferLimit`: bounds large responses that wait for their callers to read them, in bytes and in time.
//! 8. `Deadline`: the caller's deadline, at most the limit of the method. It ends the wait and the reading of the request, never the
//!    work.
//! 9. `RunToCompletion`: runs a call to its end in a task of its own after its client has left, so that neither a deadline nor a
//!    disconnect drops a future that holds a database connection. Everything that may use the database is inside of it. While the
//!    database is down, it refuses calls.
//! 10. `Auth`: answers calls whose credential or message admission has rejected.
//! 11. `NormalizeErrors`: adds the details that every error has to errors that tonic makes itself.

mod admission;
mod admitted;
mod auth;
mod catch_panic;
mod deadline;
mod detach_on_drop;
mod in_flight;
mod message;
pub mod method;
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
pub(crate) use trace::ApiKeyId;

use admission::AdmissionControl;
use auth::Auth;
use catch_panic::CatchPanic;
use deadline::Deadline;
use normalize_errors::NormalizeErrors;
use protocol::Protocol;
use request_id::AssignRequestId;
use response_buffer_limit::ResponseBufferLimit;
use run_to_completion::RunToCompletion;
use trace::Trace;

use crate::limits::Limits;
use access_tokens_telemetry::metrics::Metrics;

/// Wraps a handler in middleware, in the order of the list, outermost first. With `type` before the list, it is the type of the result.
macro_rules! stack {
    (type $inner:ty) => { $inner };
    (type $outer:ty, $($rest:tt)+) => { Stack<$outer, stack!(type $($rest)+)> };
    ($inner:expr) => { $inner };
    ($outer:expr, $($rest:tt)+) => { Stack { middleware: $outer, inner: stack!($($rest)+) } };
}

/// A service inside of all layers, in their order.
pub type Calls<S> = InFlight<
    stack!(
        type AdmissionControl,
        CatchPanic,
        AssignRequestId,
        Trace,
        Protocol,
        ResponseBufferLimit,
        Deadline,
        RunToCompletion,
        Arc<Authenticated<S>>
    ),
>;

type Authenticated<S> = stack!(type Auth, NormalizeErrors, Endpoint<S>);

/// Wraps services in all layers. All clones share the same permits.
#[derive(Clone)]
pub struct CallLayers {
    admission_control: AdmissionControl,
    trace: Trace,
    response_buffer_limit: ResponseBufferLimit,
    run_to_completion: RunToCompletion,
}

impl CallLayers {
    /// Returns the layers. They refuse calls while `database_up` is false.
    pub fn new(
        sessions: Arc<dyn Authenticate>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        database_up: watch::Receiver<bool>,
    ) -> Self {
        Self {
            admission_control: AdmissionControl::new(sessions, Arc::clone(&metrics), limits, database_up.clone()),
            trace: Trace::new(metrics),
            response_buffer_limit: ResponseBufferLimit::new(),
            run_to_completion: RunToCompletion::new(database_up),
        }
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
            self.trace.clone(),
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
