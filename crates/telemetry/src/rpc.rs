//! Spans of gRPC calls: of clients, of servers and of use cases.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use opentelemetry::trace::Status as SpanStatus;
use tonic::{Code, Status};
use tower::Service;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::grpc_code::code_name;
use super::{SPANS, trace_context};

/// Returns the span of a call that this process answers. `method` is a path of the contract or `unknown`. The span is
/// disabled if nothing is exported. A trusted caller decides whether its trace is exported.
pub fn server(headers: &HeaderMap, method: &'static str, trusted: bool) -> Span {
    let span = tracing::info_span!(target: SPANS, "gRPC", otel.name = tracing::field::Empty, otel.kind = "server");
    if !span.is_disabled() {
        trace_context::enter(&span, headers, trusted);
        describe(&span, method);
    }
    span
}

/// Records the code of an answer. Whether it is a fault depends on the side: server or client.
pub fn record_answer(span: &Span, code: Code, fault: bool) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("rpc.response.status_code", code_name(code));
    if fault {
        span.set_attribute("error.type", code_name(code));
        span.set_status(SpanStatus::error(""));
    }
}

/// Runs a use case, in its own span if spans are exported.
pub fn use_case<F: Future>(name: &'static str, work: F) -> impl Future<Output = F::Output> {
    work.instrument(tracing::info_span!(target: SPANS, "use case", otel.name = name))
}

/// Returns the path of a method in the contract, for the path of a call. None if there is no such method.
pub(crate) type MethodName = fn(&str) -> Option<&'static str>;

/// A client of a service. Each call has a span, which the service reads from the headers.
#[derive(Clone, Debug)]
pub struct Client<S> {
    service: S,
    method_name: MethodName,
}

impl<S> Client<S> {
    /// Makes a client. `method_name` gives the names of spans.
    pub fn new(service: S, method_name: MethodName) -> Self {
        Self { service, method_name }
    }
}

impl<S, Q, A> Service<Request<Q>> for Client<S>
where
    S: Service<Request<Q>, Response = Response<A>, Future: Send + 'static>,
    S::Error: 'static,
    A: 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let span = tracing::info_span!(target: SPANS, "gRPC", otel.name = tracing::field::Empty, otel.kind = "client");
        if span.is_disabled() {
            return Box::pin(self.service.call(request));
        }
        describe(&span, (self.method_name)(request.uri().path()).unwrap_or("unknown"));
        trace_context::leave(&span, request.headers_mut());
        let called = span.in_scope(|| self.service.call(request));
        let whole = span.clone();
        let answer = async move {
            let answer = called.await;
            let code = answer.as_ref().map_or(Code::Unavailable, code);
            // For a client, every code but OK is a fault.
            record_answer(&span, code, code != Code::Ok);
            answer
        };
        Box::pin(answer.instrument(whole))
    }
}

fn describe(span: &Span, method: &'static str) {
    let method = if method == "unknown" { "_OTHER" } else { method.trim_start_matches('/') };
    span.record("otel.name", method);
    span.set_attribute("rpc.system.name", "grpc");
    span.set_attribute("rpc.method", method);
}

/// Returns the code of an answer. An answer with data carries its code behind the data, where a unary call has only OK.
pub fn code<B>(response: &Response<B>) -> Code {
    response.headers().get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}
