//! The requests of the gateway, sent to its router before a service that records its calls.

mod recording;

use std::sync::LazyLock;

use access_tokens_gateway::GatewayConfig;
use access_tokens_proto::options::{HttpBinding, MethodInfo, methods};
use access_tokens_proto::v1::ErrorReason;
use access_tokens_proto::{descriptor_pool, v1};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message;
use serde_json::Value;

pub(crate) use recording::{Answer, RecordingGateway};

use crate::canary::{self, CANARY};
use crate::selection::select;

/// Maximum size of an answer: twenty faults, each with a path of 32 names of 64 characters and the known names, listed twice.
const MAX_ANSWER_BYTES: usize = 256 * 1_024;

/// A method, and the binding by which it is called.
type Call = (&'static MethodInfo, &'static HttpBinding);

static GATEWAY: LazyLock<RecordingGateway> = LazyLock::new(|| RecordingGateway::new(GatewayConfig::default()));

/// Bodies that are sent to the gateway.
pub fn gateway_body(data: &[u8]) {
    static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| calls(true));
    let Some(((method, binding), body)) = select(&CALLS, data) else { return };
    check(method, binding, &binding.path, body);
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
    canary::in_json(&mut value, &|key| key != "fields_set");
    let answer = GATEWAY.call(Method::POST, &binding.path, value.to_string().into_bytes()).expect("a path");
    assert_no_canary(&answer);
}

/// Parameters that are sent to the gateway in the query.
pub fn gateway_query(data: &[u8]) {
    static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| calls(false));
    let Some(((method, binding), query)) = select(&CALLS, data) else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    check(method, binding, &format!("{}?{query}", binding.path), &[]);
    // Characters that a URI cannot contain, encoded as clients encode them.
    let pairs = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("{}={}", encoded(name), encoded(value))
    });
    check(method, binding, &format!("{}?{}", binding.path, pairs.collect::<Vec<_>>().join("&")), &[]);
    let hidden = query.split('&').map(|pair| match pair.rsplit_once('=') {
        Some((name, _)) if !name.starts_with("fields_set") => format!("{name}={CANARY}"),
        _ => String::new(),
    });
    let target = format!("{}?{}", binding.path, hidden.collect::<Vec<_>>().join("&"));
    if let Some(answer) = GATEWAY.call(Method::GET, &target, Vec::new()) {
        assert_no_canary(&answer);
    }
}

fn calls(body: bool) -> Vec<Call> {
    let bindings = methods().iter().flat_map(|method| method.http.iter().map(move |binding| (method, binding)));
    bindings.filter(|(_, binding)| binding.body == body).collect()
}

/// Asserts that the service is called with a message of the method, or that the client receives a refusal; and the same for a
/// second call.
fn check(method: &MethodInfo, binding: &HttpBinding, target: &str, body: &[u8]) {
    let verb = if binding.body { Method::POST } else { Method::GET };
    let Some(answer) = GATEWAY.call(verb.clone(), target, body.to_vec()) else { return };
    assert_eq!(GATEWAY.call(verb, target, body.to_vec()).as_ref(), Some(&answer), "the second time");
    assert!(answer.body.len() <= MAX_ANSWER_BYTES, "{} bytes", answer.body.len());
    let envelope: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    match &answer.message {
        Some(message) => {
            assert_eq!((answer.status, &envelope["status"]["code"]), (StatusCode::OK, &"OK".into()));
            let descriptor = descriptor_pool().get_message_by_name(&method.input).expect("a message of the contract");
            let read = DynamicMessage::decode(descriptor, message.as_ref()).expect("a message of the method");
            assert_eq!(read.unknown_fields().count(), 0, "fields that the message does not have");
            assert_eq!(read.encode_to_vec(), *message);
        }
        None => {
            let legacy = !binding.path.starts_with("/v1/");
            let refused = answer.status == StatusCode::BAD_REQUEST || answer.status == StatusCode::PAYLOAD_TOO_LARGE;
            assert!(refused || legacy && answer.status == StatusCode::OK, "{}", answer.status);
            let reason = answer.reason.as_deref().and_then(ErrorReason::from_str_name);
            assert!(reason.is_some_and(|reason| reason != v1::ErrorReason::Internal), "{:?}", answer.reason);
            assert!(envelope["status"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{envelope}");
        }
    }
}

/// Asserts that the answer to a request full of canaries contains none.
fn assert_no_canary(answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains(CANARY), "{text}");
}
