//! Records each call once: one span, one line of the log with method, outcome, reason, duration, caller and address, and its number,
//! outcome and duration in the metrics of its method. None of them contains content of a request or response, or a credential.

use std::sync::Arc;
use std::time::Instant;

use access_tokens_domain::session::{Caller, OrganisationKey};
use access_tokens_net::client_address::ClientAddress;
use access_tokens_net::connection_tracker::InFlightCall;
use access_tokens_telemetry as telemetry;
use access_tokens_telemetry::metrics::Metrics;
use access_tokens_telemetry::{elapsed_ms, rpc};
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tracing::field::display;
use tracing::{Instrument, Span};

use super::in_flight::TrustedProxy;
use super::method;
use super::middleware::{Handler, Middleware, Next};
use super::request_id::RequestId;

/// The reason of a failed log-in. It is logged as a warning, so that attempts to guess are visible.
const INVALID_LOGIN: &str = "INVALID_LOGIN";

#[derive(Clone)]
pub struct Trace {
    metrics: Arc<Metrics>,
}

impl Trace {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl Middleware for Trace {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let path = request.uri().path();
        // An unknown path is arbitrary text from a caller and is not repeated.
        let (name, counted) = (method::name(path).unwrap_or("unknown"), method::counted(path));
        let request_id = request.extensions().get::<RequestId>().map_or("", RequestId::as_str);
        // At the highest level, so that everything that is logged within has the request id.
        let exported = match counted {
            None => Span::none(),
            Some(_) => rpc::server(request.headers(), name, may_decide_sampling(&request)),
        };
        let trace_id = telemetry::trace_id(&exported, request.headers()).map(display);
        let span = tracing::error_span!("call", method = name, request_id, trace_id);
        let outer = exported.clone();
        async move {
            let caller = request.extensions().get::<Caller>();
            let mut record = CallRecord {
                metrics: Arc::clone(&self.metrics),
                started: Instant::now(),
                counted,
                code: None,
                reason: None,
                user: caller.and_then(|caller| caller.user.clone()),
                organisation: caller.map(|caller| caller.organisation),
                api_key: request.extensions().get::<ApiKeyId>().cloned(),
                address: request.extensions().get::<ClientAddress>().copied(),
                exported,
            };
            let response = next.run(request).await;
            record.answered(&response);
            response
        }
        .instrument(span)
        .instrument(outer)
        .await
    }
}

/// Returns whether the caller may decide if its trace is exported: an authenticated caller, a trusted proxy, and the gateway in this
/// process, which has no connection.
fn may_decide_sampling(request: &Request<Body>) -> bool {
    let extensions = request.extensions();
    extensions.get::<Caller>().is_some()
        || extensions.get::<TrustedProxy>().is_some()
        || extensions.get::<Arc<InFlightCall>>().is_none()
}

/// Returns the gRPC code of a response. A response with data carries the code behind the data, where a unary call can only have OK.
fn code(response: &Response<Body>) -> Code {
    response.extensions().get::<Status>().map_or_else(|| rpc::code(response), Status::code)
}

/// The public part of the API key that a call is authenticated by.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeyId(pub(super) Arc<str>);

/// The record of a call. It is written on drop, so that a call whose caller leaves before the response has one too.
struct CallRecord {
    metrics: Arc<Metrics>,
    started: Instant,
    /// The name under which the call is counted. `None` for probes.
    counted: Option<&'static str>,
    code: Option<Code>,
    reason: Option<String>,
    user: Option<String>,
    organisation: Option<OrganisationKey>,
    api_key: Option<ApiKeyId>,
    address: Option<ClientAddress>,
    exported: Span,
}

impl CallRecord {
    fn answered(&mut self, response: &Response<Body>) {
        let code = code(response);
        self.code = Some(code);
        if code != Code::Ok {
            let details = response.extensions().get::<Status>().and_then(StatusExt::get_details_error_info);
            self.reason = details.map(|info| info.reason);
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        let ms = elapsed_ms(self.started);
        let code = self.code.unwrap_or(Code::Cancelled);
        if let Some(method) = self.counted {
            self.metrics.call(method, code, self.started.elapsed());
        }
        rpc::record_answer(&self.exported, code, is_fault(code));
        let (user, organisation) = (self.user.as_deref(), self.organisation.map(|key| key.0));
        let api_key = self.api_key.as_ref().map(|key| &*key.0);
        let address = self.address.map(display);
        let reason = self.reason.as_deref();
        // The same fields at each level.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(?code, reason, ms, user, api_key, organisation, address, "answered")
            };
        }
        match code {
            _ if self.counted.is_none() => log!(debug),
            _ if is_fault(code) || reason == Some(INVALID_LOGIN) => log!(warn),
            _ => log!(info),
        }
    }
}

/// Returns whether an error with this code is a fault of the service and not of the caller.
fn is_fault(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable)
}
