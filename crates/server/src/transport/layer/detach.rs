//! Runs each call in a task of its own that the caller only waits for, as long as there is a database. Without one a call is
//! refused at once, and those under way are cut: the one moment in which work may be dropped, as no connection of before
//! is used again.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinError;
use tonic::body::Body;
use tracing::Instrument;

use super::gate::Place;
use super::{Around, Handler, Next, method};
use crate::transport::status;

/// When to try again without a database.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Detach {
    present: watch::Receiver<bool>,
}

impl Detach {
    /// As long as the database is present.
    pub(super) fn new(present: watch::Receiver<bool>) -> Self {
        Self { present }
    }
}

impl Around for Detach {
    async fn around<S: Handler>(mut self, mut request: Request<Body>, next: Next<S>) -> Response<Body> {
        if method::find(request.uri().path()).is_some_and(|method| method.probe) {
            // Whether the service is alive can be asked without a database.
            return answer(tokio::spawn(next.run(request).in_current_span()).await);
        }
        if !*self.present.borrow_and_update() {
            return away("the database does not answer; try again");
        }
        let place = request.extensions_mut().remove::<Arc<Place>>();
        let work = async move {
            let response = next.run(request).await;
            // The place is taken until the work is done, whoever still waits for it.
            drop(place);
            response
        };
        let mut task = tokio::spawn(work.in_current_span());
        tokio::select! {
            biased;
            done = &mut task => answer(done),
            () = lost(&mut self.present) => {
                // What it holds, others may be waiting for when the database is back.
                task.abort();
                away("the database does not answer any more; the call may or may not have taken effect")
            }
        }
    }
}

/// Ends when the database is away.
async fn lost(present: &mut watch::Receiver<bool>) {
    if present.wait_for(|present| !present).await.is_err() {
        // Nobody watches: it never is.
        std::future::pending().await
    }
}

fn answer(done: Result<Response<Body>, JoinError>) -> Response<Body> {
    done.unwrap_or_else(|error| status::from_error(&Error::internal(outcome(&error))).into_http())
}

/// How a task ended without an answer. A panic's own message is for the panic hook only: it may hold anything.
fn outcome(error: &JoinError) -> &'static str {
    if error.is_panic() { "a handler panicked" } else { "a handler was stopped with the runtime" }
}

fn away(text: &'static str) -> Response<Body> {
    status::from_error(&Error::new(Reason::DatabaseUnavailable, text).retry_after(RETRY_AFTER)).into_http()
}
