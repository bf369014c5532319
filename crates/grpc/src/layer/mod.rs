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
pub use in_flight::{Occupy, OccupyLayer};
pub use middleware::{Answers, Around, Handler, Innermost, Layered, Next};
pub use request_id::RequestId;

use admission::Admit;
use auth::Auth;
use catch_panic::CatchPanic;
use deadline::Deadline;
use metrics_layer::Measure;
use normalize_errors::Refusals;
use protocol::Protocol;
use request_id::GiveRequestId;
use response_buffer_limit::Unsent;
use run_to_completion::Detach;
use trace::Trace;

use crate::limits::Limits;
use access_tokens_telemetry::metrics::Metrics;

/// A service inside of all layers: the order.
pub type Calls<S> = Occupy<
    Layered<
        Admit,
        Layered<
            CatchPanic,
            Layered<
                GiveRequestId,
                Layered<
                    Trace,
                    Layered<
                        Measure,
                        Layered<Protocol, Layered<Unsent, Layered<Deadline, Layered<Detach, Arc<Authenticated<S>>>>>>,
                    >,
                >,
            >,
        >,
    >,
>;

type Authenticated<S> = Layered<Auth, Layered<Refusals, Innermost<S>>>;

/// Puts services inside of all layers. All clones share one bound on calls.
#[derive(Clone)]
pub struct CallLayers {
    admit: Admit,
    measure: Measure,
    unsent: Unsent,
    detach: Detach,
}

impl CallLayers {
    /// Makes the layers. Calls are refused while the database is not present.
    pub fn new(
        sessions: Arc<dyn Authenticate>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        present: watch::Receiver<bool>,
    ) -> Self {
        Self {
            admit: Admit::new(sessions, Arc::clone(&metrics), limits, present.clone()),
            measure: Measure::new(metrics),
            unsent: Unsent::new(),
            detach: Detach::new(present),
        }
    }
}

impl std::fmt::Debug for CallLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallLayers")
    }
}

impl<S: Handler> tower::Layer<S> for CallLayers {
    type Service = Calls<S>;

    fn layer(&self, service: S) -> Calls<S> {
        let inner = Innermost(service);
        let inner = Layered { around: Refusals, inner };
        let inner = Arc::new(Layered { around: Auth, inner });
        let inner = Layered { around: self.detach.clone(), inner };
        let inner = Layered { around: Deadline, inner };
        let inner = Layered { around: self.unsent.clone(), inner };
        let inner = Layered { around: Protocol, inner };
        let inner = Layered { around: self.measure.clone(), inner };
        let inner = Layered { around: Trace, inner };
        let inner = Layered { around: GiveRequestId, inner };
        let inner = Layered { around: CatchPanic, inner };
        let inner = Layered { around: self.admit.clone(), inner };
        Occupy::new(inner)
    }
}

#[cfg(test)]
mod tests;
