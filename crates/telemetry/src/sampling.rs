//! Decides whether a trace is exported: the caller decides if it is authenticated or a trusted proxy, else the ratio of
//! the settings.
//!
//! An unauthenticated client does not decide, because it could fill the collector, or exclude its own calls from it.
//! Its trace id is still used, so that its calls can be found by that id.

use std::hash::{BuildHasher, RandomState};

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Marks the context of a parent whose decision counts.
#[derive(Debug)]
pub(super) struct TrustedParent;

/// The sampler of this process.
#[derive(Debug, Clone)]
pub(super) struct TrustingSampler {
    new: Sampler,
    parent_based: Sampler,
    /// Keyed, so that an unauthenticated client cannot choose an id that is exported.
    key: RandomState,
}

impl TrustingSampler {
    /// Makes a sampler that exports this ratio, 0 to 1, of the traces that begin in this process.
    pub(super) fn new(ratio: f64) -> Self {
        let new = Sampler::TraceIdRatioBased(ratio);
        let parent_based = Sampler::ParentBased(Box::new(new.clone()));
        Self { new, parent_based, key: RandomState::new() }
    }
}

impl ShouldSample for TrustingSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_untrusted = parent
            .is_some_and(|parent| parent.span().span_context().is_remote() && parent.get::<TrustedParent>().is_none());
        if !is_untrusted {
            return self.parent_based.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let hash = u128::from(self.key.hash_one(trace_id.to_bytes()));
        let drawn = TraceId::from_bytes((hash << 64 | hash).to_be_bytes());
        self.new.should_sample(None, drawn, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn exported(ratio: f64, parent: Option<(TraceFlags, bool)>) -> bool {
        let trace = TraceId::from_bytes([7; 16]);
        let parent = parent.map(|(flags, trusted)| {
            let span = SpanContext::new(trace, SpanId::from_bytes([7; 8]), flags, true, TraceState::default());
            let context = Context::new().with_remote_span_context(span);
            if trusted { context.with_value(TrustedParent) } else { context }
        });
        let sampler = TrustingSampler::new(ratio);
        let result = sampler.should_sample(parent.as_ref(), trace, "call", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn only_trusted_callers_decide() {
        for flags in [TraceFlags::SAMPLED, TraceFlags::default()] {
            for ratio in [0.0, 1.0] {
                assert_eq!(exported(ratio, Some((flags, true))), flags.is_sampled());
                assert_eq!(exported(ratio, Some((flags, false))), ratio > 0.5);
            }
        }
        assert!(exported(1.0, None) && !exported(0.0, None));
    }

    #[test]
    fn an_unauthenticated_client_cannot_choose_an_exported_trace_id() {
        let exported = (0..400).filter(|_| exported(0.5, Some((TraceFlags::SAMPLED, false)))).count();
        assert!((100..300).contains(&exported), "{exported} of 400");
    }
}
