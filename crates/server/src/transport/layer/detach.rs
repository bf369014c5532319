//! Admits a bounded number of calls, and runs each in a task of its own that the caller only waits for.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tracing::Instrument;

use super::{Around, Handler, Next, method};
use crate::transport::status;

/// When to try again after the service was full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Detach {
    places: Arc<Semaphore>,
}

impl Detach {
    pub(super) fn new(calls_at_once: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls_at_once)) }
    }
}

impl Around for Detach {
    async fn around<S: Handler>(self, request: Request<Body>, next: Next<S>) -> Response<Body> {
        // Whether the service is alive can be asked however full it is.
        let place = match method::find(request.uri().path()) {
            Some(method) if method.probe => None,
            _ => match self.places.try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => return full(),
            },
        };
        let work = async move {
            let response = next.run(request).await;
            // The place is taken until the work is done, whoever still waits for it.
            drop(place);
            response
        };
        let task = tokio::spawn(work.in_current_span());
        task.await.unwrap_or_else(|error| status::from_error(&Error::internal(outcome(&error))).into_http())
    }
}

/// How a task ended without an answer. A panic's own message is for the panic hook only: it may hold anything.
fn outcome(error: &tokio::task::JoinError) -> &'static str {
    if error.is_panic() { "a handler panicked" } else { "a handler was stopped with the runtime" }
}

fn full() -> Response<Body> {
    let error = Error::new(Reason::Overloaded, "the service has as many calls as it can take; try again");
    status::from_error(&error.retry_after(RETRY_AFTER)).into_http()
}
