use std::sync::LazyLock;

use access_tokens_domain::time;
use access_tokens_gateway::{GatewayConfig, TimeZone};
use access_tokens_proto::v1;
use chrono::{Datelike, Timelike};
use http::{Method, StatusCode};
use prost::Message;
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::gateway::RecordingGateway;

const ZONES: [TimeZone; 5] = [
    TimeZone::UTC,
    TimeZone::Europe__Berlin,
    TimeZone::America__New_York,
    TimeZone::America__Sao_Paulo,
    TimeZone::Australia__Lord_Howe,
];

static STAGES: LazyLock<[RecordingGateway; 5]> = LazyLock::new(|| {
    ZONES.map(|time_zone| RecordingGateway::new(GatewayConfig { time_zone, ..GatewayConfig::default() }))
});

/// Dates in texts, in several zones. Asserts that an import and the gateway read the same instant, and that the text of an answer
/// is read as a date with the same text, so that writing it back changes nothing.
pub fn dates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (zone, gateway) in ZONES.into_iter().zip(&*STAGES) {
        let imported = time::read(text, zone).ok();
        let parts = imported.map(|date| (date.timestamp(), date.nanosecond() as i32));
        assert_eq!(posted(gateway, text), parts, "import and gateway differ in {zone}");
        let (Some(date), Some(parts)) = (imported, parts) else { continue };
        assert!((1..=9999).contains(&date.year()), "{date}");
        assert!(date.nanosecond() < 1_000_000_000 && date.nanosecond() % 1_000 == 0, "{date:?}");
        // Documents keep dates in RFC 3339.
        assert_eq!(time::parse(&date.to_rfc3339()), Some(date));
        let shown = answered(gateway, parts);
        let again = posted(gateway, &shown).unwrap_or_else(|| panic!("{shown} is shown and not read in {zone}"));
        assert_eq!(answered(gateway, again), shown, "{zone}");
        assert_eq!(time::read_or_stored(&shown, Some(date), zone), Ok(date), "{zone}");
    }
}

/// Returns the instant that the gateway reads from a text.
fn posted(gateway: &RecordingGateway, text: &str) -> Option<(i64, i32)> {
    let body = json!({ "udf_date_1": text }).to_string().into_bytes();
    let answer = gateway.call(Method::POST, "/v1/access_tokens/create", body).expect("a path");
    let message = answer.message?;
    let request = v1::CreateAccessTokenRequest::decode(message).expect("the request of the method");
    let date = request.udf_date_1.expect("it was given");
    assert!((0..1_000_000_000).contains(&date.nanos), "{date:?}");
    Some((date.seconds, date.nanos))
}

/// Returns the text that the gateway writes for an instant, in seconds and nanoseconds.
fn answered(gateway: &RecordingGateway, (seconds, nanos): (i64, i32)) -> String {
    let date = Some(Timestamp { seconds, nanos });
    let token = v1::AccessToken { udf_date_1: date, ..v1::AccessToken::default() };
    let answer = gateway.answering(Method::POST, "/v1/access_tokens/show", b"{}".to_vec(), token.encode_to_vec());
    let answer = answer.expect("a path");
    assert_eq!(answer.status, StatusCode::OK, "a moment that can be stored cannot be shown: {seconds}");
    let envelope: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    envelope["data"]["udf_date_1"].as_str().expect("a date").to_owned()
}
