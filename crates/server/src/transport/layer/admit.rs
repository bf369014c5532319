//! Lets a bounded number of calls in at once. It stands before almost everything else: under too much load nearly all calls
//! come no further, and all that is done for one of them is missing for the others.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;

use super::gate::{Gate, Place};
use super::{Answers, Around, Next, deadline, method};
use crate::metrics::Metrics;
use crate::transport::status;

/// So many calls wait for a place each.
const WAITING: usize = 32;
/// How long a call waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to try again after there was none.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Admit {
    gate: Gate,
    metrics: Arc<Metrics>,
}

impl Admit {
    /// So many at once.
    pub(super) fn new(calls_at_once: usize, metrics: Arc<Metrics>) -> Self {
        Self { gate: Gate::new(calls_at_once, calls_at_once.saturating_mul(WAITING)), metrics }
    }
}

impl Around for Admit {
    async fn around<N: Answers>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        // Whether the service is alive can be asked however full it is.
        let Some(name) = method::counted(request.uri().path()) else { return next.run(request).await };
        let came = Instant::now();
        let patience = deadline::asked(request.headers()).map_or(PATIENCE, |asked| asked.min(PATIENCE));
        let Some(place) = self.gate.enter(patience).await else {
            self.metrics.call(name, Code::ResourceExhausted, came.elapsed());
            return full();
        };
        request.extensions_mut().insert(Admitted { came, _place: Arc::new(place) });
        // In a box from here on: those who wait need little room.
        Box::pin(next.run(request)).await
    }
}

/// A call that has a place. That belongs to the work, which may go on when nobody waits for it any more.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    /// When it came.
    pub(super) came: Instant,
    _place: Arc<Place>,
}

/// Made once: there may be more of these than of all other answers.
fn full() -> Response<Body> {
    static HEAD: LazyLock<HeaderMap> = LazyLock::new(|| {
        let error = Error::new(Reason::Overloaded, "the service has as many calls as it can take; try again");
        status::from_error(&error.retry_after(RETRY_AFTER)).into_http::<Body>().into_parts().0.headers
    });
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = HEAD.clone();
    response
}
