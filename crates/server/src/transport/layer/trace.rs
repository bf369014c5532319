//! One span and one line a call: which method, what came of it, how long it took. Never what was asked or answered.

use std::time::Instant;

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument;

use super::method::{self, Method};
use super::{Answers, Around, Next, RequestId};
use crate::telemetry::elapsed_ms;

#[derive(Debug, Clone)]
pub struct Trace;

impl Around for Trace {
    async fn around<N: Answers>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let method = method::find(request.uri().path());
        // A path that is not ours is whatever a caller sends: it is not repeated.
        let name = method.map_or("unknown", |method| method.path.as_str());
        let request_id = request.extensions().get::<RequestId>().map_or("", RequestId::as_str);
        // At the highest level, so that whatever is logged within has the request id.
        let span = tracing::error_span!("call", method = name, request_id);
        async move {
            let mut line =
                Line { started: Instant::now(), quiet: method.is_some_and(|m: &Method| m.probe), code: None };
            let response = next.run(request).await;
            line.code = Some(code(&response));
            response
        }
        .instrument(span)
        .await
    }
}

/// The gRPC code of an answer. An answer with data carries it behind the data, where only OK can stand for a unary call.
pub(super) fn code(response: &Response<Body>) -> Code {
    response.extensions().get::<Status>().map_or_else(
        || response.headers().get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes())),
        Status::code,
    )
}

/// Writes its line when it goes: also when the caller has gone before the answer.
struct Line {
    started: Instant,
    quiet: bool,
    code: Option<Code>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let ms = elapsed_ms(self.started);
        let code = self.code.unwrap_or(Code::Cancelled);
        match code {
            _ if self.quiet => tracing::debug!(?code, ms, "answered"),
            Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable => {
                tracing::warn!(?code, ms, "answered");
            }
            _ => tracing::info!(?code, ms, "answered"),
        }
    }
}
