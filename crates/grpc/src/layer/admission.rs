//! Admission: checks the credential of a call, waits for its whole message, and then for a permit to do the work.
//!
//! Admission comes before almost all other work on a call. Under overload nearly all calls are refused here, and the CPU time of each
//! refusal is not available for accepted calls. The order of the steps ensures that calls without a valid credential never take what
//! authenticated calls need (ADR 26):
//!
//! 0. A request that is no gRPC call is refused.
//! 1. The credential is checked, under a permit of the client's address. Methods without a session have no credential.
//! 2. The message arrives, without a permit: within [`MESSAGE_TIMEOUT`] for methods without a session.
//! 3. The work gets a permit: of the organisation, or of the client's address for methods without a session.

use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use access_tokens_auth::public_part;
use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Reason};
use access_tokens_net::client_address::ClientAddress;
use access_tokens_net::connection_tracker::InFlightCall;
use access_tokens_net::limit_key::LimitKey;
use access_tokens_net::protection::Protection;
use access_tokens_telemetry::metrics::Metrics;
use http::{HeaderMap, Request, Response};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Code;
use tonic::body::Body;

use super::admitted::Admitted;
use super::auth::{self, Authenticate, Credential, Rejected};
use super::detach_on_drop::DetachOnDrop;
use super::message::{MessageReceiver, ReceiveError};
use super::method::{self, Access, Method};
use super::middleware::{Handler, Middleware, Next};
use super::permits::{Permit, PermitPool, PoolLimits};
use super::protocol::Violation;
use super::trace::ApiKeyId;
use super::{deadline, run_to_completion};
use crate::limits::Limits;
use crate::status;

/// Maximum number of calls that wait for each permit.
const WAITING_PER_PERMIT: usize = 32;
/// Maximum number of logins of one address that wait for each of its permits. Logins hash passwords: more of them would be answered too
/// late.
const LOGINS_WAITING_PER_PERMIT: usize = 4;
/// Maximum number of bytes of the messages of authenticated calls that wait for permits.
const WAITING_BYTES: usize = 64 << 20;
/// Maximum number of bytes of the messages of calls without a session that wait for permits.
const ANONYMOUS_WAITING_BYTES: usize = 16 << 20;
/// Maximum time that a call waits for a permit.
const PERMIT_WAIT: Duration = Duration::from_secs(1);
/// Maximum time that a call without a session waits for a permit. Shorter, so that a flood of log-ins is refused within a second.
const ANONYMOUS_PERMIT_WAIT: Duration = Duration::from_millis(500);
/// Number of permits for unary calls for each permit for a call that streams its request. Streams last for minutes.
const CALLS_PER_STREAM: usize = 8;
/// Maximum time until the message of a method without a session has arrived.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a caller that got no permit may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct AdmissionControl {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Arc<dyn Authenticate>,
    database_up: watch::Receiver<bool>,
    messages: MessageReceiver,
    /// Permits for checks of credentials, by address.
    checks: PermitPool,
    /// Permits for methods without a session, by address.
    anonymous: PermitPool,
    /// Permits for authenticated calls of one message, by organisation.
    calls: PermitPool,
    /// Permits for authenticated calls that stream their messages, by organisation.
    streams: PermitPool,
    metrics: Arc<Metrics>,
}

/// A reason why a call is not passed on to its method.
enum Rejection {
    /// No permit became free in time.
    NoPermit,
    /// The layer `Auth` answers with this error, so that the call has a line in the log like others.
    Error(Error),
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl AdmissionControl {
    pub(super) fn new(
        sessions: Arc<dyn Authenticate>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        database_up: watch::Receiver<bool>,
    ) -> Self {
        let bounds = |permits: usize, per_party: usize, waiting_bytes: usize| {
            let waiting = permits.saturating_mul(WAITING_PER_PERMIT);
            PoolLimits { permits, per_party, waiting, waiting_per_party: waiting, waiting_bytes }
        };
        let pool = |permits, per_party, waiting_bytes| PermitPool::new(bounds(permits, per_party, waiting_bytes));
        let (all, anonymous) = (limits.max_concurrent_requests, limits.max_anonymous_requests);
        let per_address = limits.max_anonymous_requests_per_address;
        let streams = (all / CALLS_PER_STREAM).max(1);
        let shared = Shared {
            sessions,
            database_up,
            messages: MessageReceiver::new(),
            checks: pool(anonymous, per_address, 0),
            anonymous: PermitPool::new(PoolLimits {
                waiting_per_party: per_address.saturating_mul(LOGINS_WAITING_PER_PERMIT),
                ..bounds(anonymous, per_address, ANONYMOUS_WAITING_BYTES)
            }),
            calls: pool(all, all, WAITING_BYTES),
            // Streams last for minutes, so an organisation cannot soon return what others wait for. It always has at most half.
            streams: pool(streams, streams.div_ceil(2), 0),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Middleware for AdmissionControl {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let arrived_at =
            request.extensions().get::<Arc<InFlightCall>>().map_or_else(Instant::now, |call| call.received_at());
        if let Some(violation) = Violation::of(&request) {
            // Nothing reads the rest of the message.
            *request.body_mut() = Body::empty();
            request.extensions_mut().insert(violation);
            return Box::pin(next.run(request)).await;
        }
        // A path without a method is refused by an inner layer, which logs it.
        let Some(method) = method::find(request.uri().path()) else { return next.run(request).await };
        match self.shared.admit(method, &mut request, arrived_at).await {
            Ok(Some(permit)) => {
                request.extensions_mut().insert(Admitted::new(arrived_at, permit));
            }
            Ok(None) => {}
            Err(Rejection::NoPermit) => {
                if let Some(name) = method::counted(request.uri().path()) {
                    self.shared.metrics.call(name, Code::ResourceExhausted, arrived_at.elapsed());
                }
                return overloaded_response();
            }
            Err(Rejection::Error(error)) => {
                // Nothing reads the rest of the message.
                *request.body_mut() = Body::empty();
                request.extensions_mut().insert(Rejected(Arc::new(error)));
            }
        }
        // Boxed from here on, so that calls that wait take little memory.
        Box::pin(next.run(request)).await
    }
}

impl Shared {
    /// Returns the permit of a call once its message is complete. `None` for probes, which are answered at any load.
    async fn admit(
        &self,
        method: &Method,
        request: &mut Request<Body>,
        arrived_at: Instant,
    ) -> Result<Option<Permit>, Rejection> {
        let deadline = deadline::of(method, request.headers(), arrived_at);
        let end_of_wait = |longest| deadline.min(Instant::now() + longest);
        let address = LimitKey::of_address(request.extensions().get::<ClientAddress>().copied());
        if Protection::Admission.is_off() && !method.probe {
            let permit = self
                .calls
                .acquire(LimitKey::of_address(None), 0, end_of_wait(PERMIT_WAIT))
                .await
                .ok_or(Rejection::NoPermit)?;
            if method.access != Access::Open {
                let caller = self.caller(request, address, deadline).await?;
                auth::permit(method.access, &caller)?;
                request.extensions_mut().insert(caller);
            }
            return Ok(Some(permit));
        }
        let (party, arrives_by) = if method.access == Access::Open {
            (address, deadline.min(arrived_at + MESSAGE_TIMEOUT))
        } else {
            let caller = self.caller(request, address, deadline).await?;
            auth::permit(method.access, &caller)?;
            let party = LimitKey::Organisation(caller.organisation);
            request.extensions_mut().insert(caller);
            (party, deadline)
        };
        let bytes = match method.client_streaming {
            true => 0,
            false => self.receive(request, method, party, arrives_by).await?,
        };
        let (pool, longest) = match method.access {
            Access::Open if method.probe => return Ok(None),
            Access::Open => (&self.anonymous, ANONYMOUS_PERMIT_WAIT),
            _ if method.client_streaming => (&self.streams, PERMIT_WAIT),
            _ => (&self.calls, PERMIT_WAIT),
        };
        pool.acquire(party, bytes, end_of_wait(longest)).await.map(Some).ok_or(Rejection::NoPermit)
    }

    /// Returns the caller, and puts its session, if there is one, into the extensions of the request.
    async fn caller(
        &self,
        request: &mut Request<Body>,
        address: LimitKey,
        deadline: Instant,
    ) -> Result<Caller, Rejection> {
        if !*self.database_up.borrow() {
            return Err(run_to_completion::database_unavailable().into());
        }
        let credential = auth::take_credential(request)?;
        let api_key = match &credential {
            Credential::ApiKey(key) => public_part(key),
            _ => None,
        };
        let end_of_wait = deadline.min(Instant::now() + PERMIT_WAIT);
        let permit = self.checks.acquire(address, 0, end_of_wait).await.ok_or(Rejection::NoPermit)?;
        let mut check = DetachOnDrop::new(Arc::clone(&self.sessions).check(credential), permit, || {
            Err(Error::internal("the check of a credential panicked"))
        });
        // Nearly always the result is known already.
        let checked = match futures::poll!(&mut check) {
            Poll::Ready(checked) => checked,
            Poll::Pending => Box::pin(self.wait_for(check, deadline)).await,
        };
        let (caller, session) = checked?;
        if let Some(call) = request.extensions().get::<Arc<InFlightCall>>() {
            call.tracker().mark_authenticated();
        }
        if let Some(id) = api_key {
            request.extensions_mut().insert(ApiKeyId(id.into()));
        }
        if let Some(session) = session {
            request.extensions_mut().insert(session);
        }
        Ok(caller)
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        mut check: DetachOnDrop<access_tokens_domain::Result<T>, Permit>,
        deadline: Instant,
    ) -> access_tokens_domain::Result<T> {
        let mut database_up = self.database_up.clone();
        tokio::select! {
            biased;
            checked = timeout_at(deadline, &mut check) => checked.unwrap_or_else(|_| Err(deadline::deadline_exceeded())),
            () = run_to_completion::database_down(&mut database_up) => {
                check.abort();
                Err(run_to_completion::database_unavailable())
            }
        }
    }

    /// Waits for the message and replaces the body with it. Returns its size in bytes.
    async fn receive(
        &self,
        request: &mut Request<Body>,
        method: &Method,
        party: LimitKey,
        deadline: Instant,
    ) -> Result<usize, Rejection> {
        let body = std::mem::take(request.body_mut());
        match self.messages.receive(body, method.size_limit, party, deadline).await {
            Ok((body, bytes)) => {
                *request.body_mut() = body;
                Ok(bytes)
            }
            Err(ReceiveError::TimedOut) => {
                let text = "the request did not arrive in time; nothing was done";
                Err(Error::new(Reason::DeadlineExceeded, text).into())
            }
            Err(ReceiveError::Evicted) => Err(overloaded().into()),
            Err(ReceiveError::Aborted(status)) => {
                let broken = Error::new(Reason::InvalidFieldValue, "the request could not be read to its end");
                Err(broken.caused_by(status).into())
            }
        }
    }
}

fn overloaded() -> Error {
    let error = Error::new(Reason::Overloaded, "the service has as many calls as it can take; try again");
    error.retry_after(RETRY_AFTER)
}

/// Returns the response to a call without a permit. Its headers are made once, because there may be more of these responses than of all
/// others.
fn overloaded_response() -> Response<Body> {
    static HEAD: LazyLock<HeaderMap> =
        LazyLock::new(|| status::from_error(&overloaded()).into_http::<Body>().into_parts().0.headers);
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = HEAD.clone();
    response
}
