use std::sync::LazyLock;

use access_tokens_domain::time;
use access_tokens_gateway::{GatewayConfig, TimeZone};
use access_tokens_proto::v1;
use chrono::{Datelike, Timelike};
use http::{Method, StatusCode};
use prost::Message;
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::gateway::Stage;

/// The clock of a zone is never put forward or back by more than this since clocks have zones.
const LARGEST_STEP: i64 = 26 * 3_600;

/// The first second of the year 1.
const CALENDAR_BEGINS: i64 = -62_135_596_800;

static ZONES: LazyLock<[Stage; 3]> = LazyLock::new(|| {
    let stage = |time_zone| Stage::new(GatewayConfig { time_zone, ..GatewayConfig::default() });
    [TimeZone::UTC, TimeZone::Europe__Berlin, TimeZone::America__New_York].map(stage)
});

/// Dates in texts: an import and the gateway agree on them, and what is read is written and read again as the same moment.
pub fn dates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let imported = time::parse(text);
    if let Some(date) = imported {
        assert!((1..=9999).contains(&date.year()), "{date}");
        assert!(date.nanosecond() < 1_000_000_000 && date.nanosecond() % 1_000 == 0, "{date:?}");
        assert_eq!(time::parse(&date.to_rfc3339()), imported);
    }
    let [utc, berlin, new_york] = &*ZONES;
    let read = posted(utc, text);
    let parts = imported.map(|date| (date.timestamp(), date.nanosecond() as i32));
    assert_eq!(read.map(|(seconds, nanos)| (seconds, nanos / 1_000 * 1_000)), parts, "import and gateway differ");
    for (zone, step) in [(utc, 0), (berlin, LARGEST_STEP), (new_york, LARGEST_STEP)] {
        let Some((seconds, _)) = posted(zone, text) else { continue };
        let written = answered(zone, seconds);
        let again = posted(zone, &written).map(|(again, _)| seconds - again);
        // Of an hour that a clock shows twice, the first one is meant; the first hours of the calendar are their last.
        let early = if seconds < CALENDAR_BEGINS + step { -step } else { 0 };
        assert!(again.is_some_and(|before| (early..=step).contains(&before)), "{seconds} as {written}");
    }
}

/// The moment that the gateway makes of a text.
fn posted(gateway: &Stage, text: &str) -> Option<(i64, i32)> {
    let body = json!({ "udf_date_1": text }).to_string().into_bytes();
    let answer = gateway.call(Method::POST, "/v1/access_tokens/create", body).expect("a path");
    let message = answer.message?;
    let request = v1::CreateAccessTokenRequest::decode(message).expect("the request of the method");
    let date = request.udf_date_1.expect("it was given");
    assert!((0..1_000_000_000).contains(&date.nanos), "{date:?}");
    Some((date.seconds, date.nanos))
}

/// The text that the gateway makes of a moment.
fn answered(gateway: &Stage, seconds: i64) -> String {
    let date = Some(Timestamp { seconds, nanos: 0 });
    let token = v1::AccessToken { udf_date_1: date, ..v1::AccessToken::default() };
    let answer = gateway.answering(Method::POST, "/v1/access_tokens/show", b"{}".to_vec(), token.encode_to_vec());
    let answer = answer.expect("a path");
    assert_eq!(answer.status, StatusCode::OK, "a moment that can be stored cannot be shown: {seconds}");
    let envelope: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    envelope["data"]["udf_date_1"].as_str().expect("a date").to_owned()
}
