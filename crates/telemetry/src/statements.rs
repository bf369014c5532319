//! Spans of statements. The storage reports each statement when it has ended, in the task that ran it.

use std::sync::Arc;
use std::time::SystemTime;

use access_tokens_storage::{FinishedStatement, StatementObserver};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::otlp;

/// Returns the observer of statements. None if nothing is exported.
pub fn statement_observer() -> Option<Arc<dyn StatementObserver>> {
    Some(Arc::new(Statements(otlp::tracer()?)))
}

struct Statements(SdkTracer);

impl StatementObserver for Statements {
    #[expect(clippy::disallowed_methods, reason = "it is for people who look at traces: no rule depends on it")]
    fn observe(&self, statement: &FinishedStatement) {
        let call = Context::current();
        // Statements of background work belong to no trace.
        if !call.span().span_context().is_sampled() {
            return;
        }
        let (operation, tables) = (statement.operation(), statement.tables());
        let summary = std::iter::once(operation).chain(tables.iter().copied()).collect::<Vec<_>>().join(" ");
        let mut attributes = vec![
            KeyValue::new("db.system.name", statement.system),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.query.summary", summary.clone()),
        ];
        // Statements also read the version of the organisation, so another table comes first.
        let table = tables.iter().find(|table| **table != "organisation").or(tables.first());
        attributes.extend(table.map(|table| KeyValue::new("db.collection.name", *table)));
        if statement.failed {
            attributes.push(KeyValue::new("error.type", "_OTHER"));
        }
        let now = SystemTime::now();
        let builder = self.0.span_builder(summary).with_kind(SpanKind::Client).with_attributes(attributes);
        let begun = now.checked_sub(statement.duration).unwrap_or(now);
        let mut span = builder.with_start_time(begun).start_with_context(&self.0, &call);
        if statement.failed {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(now);
    }
}
