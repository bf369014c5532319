//! Number, outcome and duration of calls, by method.

use std::sync::Arc;
use std::time::Instant;

use access_tokens_telemetry::metrics::Metrics;
use http::{Request, Response};
use tonic::Code;
use tonic::body::Body;

use super::middleware::{Handler, Middleware, Next};
use super::{method, trace};

#[derive(Clone)]
pub struct MetricsLayer {
    metrics: Arc<Metrics>,
}

impl MetricsLayer {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl Middleware for MetricsLayer {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let Some(method) = method::counted(request.uri().path()) else { return next.run(request).await };
        let mut call =
            Call { metrics: Arc::clone(&self.metrics), method, started: Instant::now(), code: Code::Cancelled };
        let response = next.run(request).await;
        call.code = trace::code(&response);
        response
    }
}

/// A call that is counted when it is dropped, so that a call whose caller leaves before the response counts too.
struct Call {
    metrics: Arc<Metrics>,
    method: &'static str,
    started: Instant,
    code: Code,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.call(self.method, self.code, self.started.elapsed());
    }
}
