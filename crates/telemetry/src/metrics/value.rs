//! The values of a metric that is looked up when it is read.

use opentelemetry::metrics::AsyncInstrument;

/// Receives the values of a metric.
pub(super) type Values<'a> = &'a dyn AsyncInstrument<u64>;

/// Returns the observation of a metric without labels. None: it has no value now.
pub(super) fn single(value: impl Fn() -> Option<u64> + Send + Sync + 'static) -> impl Fn(Values<'_>) + Send + Sync {
    move |values: Values<'_>| value().iter().for_each(|value| values.observe(*value, &[]))
}
