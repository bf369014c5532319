//! The gateway and the service agree: the same requests, over HTTP and over gRPC, to two databases with the same initial data, have
//! the same results field by field, or are refused for the same reason in the same words.

mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use access_tokens_gateway::GatewayConfig;
use access_tokens_testapp::{Client, Deployment, TestApp};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use serde_json::{Value, json};

use crate::compare::differences;
use crate::on_both_databases;
use requests::{Asked, Generator};

const REQUEST_COUNT: usize = 600;

/// The initial data of both databases. The user with a fixed id is the client that may only read.
const RECORDS: &str = r#"
{"user": {"id": "reader", "username": "user with \"access_tokens.read\""}}
{"accounts_receivable": {"id": "A1", "number": "ACR1", "name": "Account", "life_cycle_state": "ACTIVE", "account_owner": {"id": "O1", "type": "PERSON", "last_name": "Owner", "demographics": {"date_of_birth": {"year": 1980}}}}}
{"accounts_receivable": {"id": "A2", "number": "ACR2", "name": "Gone", "life_cycle_state": "TERMINATED"}}
{"accounts_receivable": {"id": "A3", "number": "ACR3", "name": "Account", "account_owner": {"id": "O3", "type": "COMPANY", "company_profile": {"profile_year": 2020}}}}
{"rewards_participant": {"id": "P1", "number": "RP1", "accounts_receivable": {"id": "A1"}}}
{"rewards_participant": {"id": "P3", "number": "RP3", "accounts_receivable": {"id": "A3"}}}
{"classification": {"id": "C1", "name": "Cards", "alternative_code": "CA"}}
{"classification": {"id": "C2", "name": "Verified", "alternative_code": "VE", "policy": {"verification_required": true, "max_per_owner": 2, "pass_code": {"min_length": 8}}}}
{"access_token": {"id": "T0", "number": "AT0", "authentication_code": "100", "identifier": "login0", "pass_code": "pass-0", "accounts_receivable": {"id": "A1"}, "rewards_participant": {"id": "P1"}}}
{"access_token": {"id": "T1", "number": "AT1", "authentication_code": "101", "identifier": "login1", "pass_code": "pass-1", "udf_string_1": "one", "udf_float_1": 1.5, "udf_date_1": "2024-01-02T03:04:05"}}
{"access_token": {"id": "T2", "number": "AT2", "authentication_code": "102", "life_cycle_state": "NOT_EFFECTIVE", "classification": {"id": "C1"}}}
{"access_token": {"id": "T3", "number": "AT3", "authentication_code": "103", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "0123456", "accounts_receivable": {"id": "A2"}}}
{"access_token": {"id": "T4", "number": "AT4", "authentication_code": "104", "accounts_receivable": {"id": "A3"}, "card_masked_number": "************4242"}}
{"access_token": {"id": "T5", "number": "AT5", "authentication_code": "200", "identifier": "owner", "pass_code": "pass-5", "one_time_password": "012345", "expiration_date": "2030-01-01T00:00:00"}}
"#;

/// One client, on both sides.
struct Caller {
    grpc: Client,
    http: HttpClient,
}

/// Returns the clients of the test: one with all permissions, one that may only read, one whose session is not valid.
async fn callers(by_grpc: &TestApp, by_http: &TestApp, deployment: Deployment) -> [Caller; 3] {
    // The paths of the original API treat empty texts as absent values.
    let http = by_http.gateway(deployment, GatewayConfig::default()).await.canonical();
    let caller = |grpc: Client, session: &str| Caller { grpc, http: http.with_session(session) };
    let reader = by_grpc.client("DEMO", "access_tokens.read").await;
    let reader_by_http = by_http.client("DEMO", "access_tokens.read").await;
    [
        caller(by_grpc.caller().clone(), by_http.session()),
        caller(reader, reader_by_http.session()),
        caller(by_grpc.with_session("nonsense"), "nonsense"),
    ]
}

async fn over_http(http: &HttpClient, asked: &Asked) -> HttpAnswer {
    match &asked.query {
        Some(query) => http.get(asked.path, query).await,
        None => http.post(asked.path, asked.body.clone()).await,
    }
}

/// Fields whose random values differ between two databases, with the lengths of generated values.
const MADE: [(&str, &[usize]); 7] = [
    ("id", &[32]),
    ("authentication_code", &[32]),
    ("verification_code", &[6]),
    ("random_pass_code", &[6, 8]),
    ("one_time_password", &[6]),
    ("access_token.id", &[32]),
    ("access_token.authentication_code", &[32]),
];

/// Returns the paths that are left out of a comparison, because both sides have random values there.
fn except(data: &Value, ours: &Value) -> Vec<&'static str> {
    let length = |value: &Value, path: &str| path.split('.').fold(value, |at, key| &at[key]).as_str().map(str::len);
    let made = MADE.iter().filter(|(path, lengths)| {
        let ours = length(ours, path);
        length(data, path) == ours && ours.is_some_and(|length| lengths.contains(&length))
    });
    made.map(|(path, _)| *path).collect()
}

/// Returns the value without empty lists, which the JSON of the contract leaves out and the gateway writes.
fn without_empty_lists(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| **value != json!([]));
            members.map(|(key, value)| (key.clone(), without_empty_lists(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_empty_lists).collect(),
        other => other.clone(),
    }
}

/// Returns the data of an answer over gRPC, as a list of access tokens or as one.
fn items(answer: &Value) -> Vec<Value> {
    answer.as_array().cloned().unwrap_or_else(|| vec![answer.clone()])
}

/// Calls both sides, and returns `OK` or the reason.
async fn ask(caller: &Caller, asked: &Asked) -> String {
    let grpc = caller.grpc.try_call(asked.method, asked.message.clone()).await;
    let http = over_http(&caller.http, asked).await;
    let context = || format!("{} {:?} {}\nanswered {}", asked.path, asked.query, asked.body, http.text);
    match grpc {
        Ok(answer) => {
            let data = http.data();
            let ours = match &asked.list {
                Some(list) => answer.get(list).cloned().unwrap_or_else(|| json!([])),
                None => answer,
            };
            let (data, ours) = (items(&data), items(&ours));
            assert_eq!(data.len(), ours.len(), "{}", context());
            for (data, ours) in data.iter().zip(&ours) {
                let data = without_empty_lists(data);
                let found = differences(&data, ours, &except(&data, ours));
                assert!(found.is_empty(), "{found:#?}\n{}", context());
            }
            "OK".to_owned()
        }
        Err(refusal) => {
            let envelope = http.json();
            let text = |key: &str| envelope["status"][key].as_str().unwrap_or_default().to_owned();
            if asked.is_nameless() {
                // The gateway detects this before it calls the service, and has other names for the alternatives.
                assert_eq!(http.reason(), "INVALID_IDENTIFIER", "{}", context());
                return refusal.reason;
            }
            let said = format!("{} {} [{}]", http.reason(), text("message"), text("description"));
            assert_eq!(said, refusal.text(), "{}", context());
            refusal.reason
        }
    }
}

async fn agree(by_grpc: TestApp, deployment: Deployment, seed: u64) {
    let by_http = by_grpc.another().await;
    for app in [&by_grpc, &by_http] {
        app.import("DEMO", RECORDS).await;
    }
    let [all, reader, nobody] = callers(&by_grpc, &by_http, deployment).await;
    let generator = Generator::new(seed);
    let mut outcomes = BTreeMap::<String, usize>::new();
    let mut answered = BTreeSet::new();
    for _ in 0..REQUEST_COUNT {
        let asked = generator.request();
        let caller = match generator.below(40) {
            0 => &nobody,
            1 | 2 => &reader,
            _ => &all,
        };
        let outcome = ask(caller, &asked).await;
        if outcome == "OK" {
            answered.insert(asked.method);
        }
        *outcomes.entry(outcome).or_default() += 1;
        // Ids ascend with time, so that lists have one order on both sides; and the original API has no unit below a second.
        for app in [&by_grpc, &by_http] {
            app.clock.advance(Duration::from_secs(1));
        }
    }
    // Equal results prove nothing if almost all calls fail.
    let ok = outcomes.get("OK").copied().unwrap_or_default();
    assert!(ok > REQUEST_COUNT / 4 && ok < REQUEST_COUNT * 9 / 10 && outcomes.len() > 12, "{outcomes:#?}");
    assert!(answered.len() > 15, "{answered:#?}");
}

on_both_databases! {
    async fn in_one_process(app) {
        agree(app, Deployment::InProcess, 1).await;
    }

    async fn apart(app) {
        agree(app, Deployment::Separate, 2).await;
    }
}
