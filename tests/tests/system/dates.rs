//! Dates in every accepted form, in zones of all kinds: the import and the gateway read the same instant, answers show what was
//! written, and importing an answer changes nothing.

use access_tokens_domain::import::Outcome;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::time::{self, TimeZone};
use access_tokens_gateway::GatewayConfig;
use access_tokens_testapp::process::Installation;
use access_tokens_testapp::{Deployment, TestApp};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres::create_database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::on_both_databases;
use crate::processes::{add_user, logged_in, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const SETTING: &str = "ACCESS_TOKENS__TIME_ZONE";
const OLD_NAME: &str = "ACCESS_TOKENS__GATEWAY__TIME_ZONE";

const ZONES: [TimeZone; 8] = [
    TimeZone::UTC,
    TimeZone::Europe__Athens,
    TimeZone::America__New_York,
    TimeZone::America__Sao_Paulo,
    TimeZone::Asia__Kolkata,
    TimeZone::Australia__Lord_Howe,
    TimeZone::Pacific__Apia,
    TimeZone::America__St_Johns,
];

/// Local dates: each as it is written, and as an answer shows it in every zone.
const LOCAL: [(&str, &str); 10] = [
    ("2015-05-27T12:03:05", "2015-05-27T12:03:05"),
    ("2015-12-31T23:59:59", "2015-12-31T23:59:59"),
    ("1969-07-20 20:17:40", "1969-07-20T20:17:40"),
    ("2015-05-27T12:03:05.987654321", "2015-05-27T12:03:05"),
    ("2015-05-27", "2015-05-27T00:00:00"),
    ("0001-01-01T00:00:00", "0001-01-01T00:00:00"),
    ("0001-01-01", "0001-01-01T00:00:00"),
    ("9999-12-31T23:59:59", "9999-12-31T23:59:59"),
    ("9999-12-31", "9999-12-31T00:00:00"),
    ("9999-12-31T23:59:59.999", "9999-12-31T23:59:59"),
];

/// Forms of the instant 2015-11-27T14:08:55Z.
const INSTANT: [&str; 8] = [
    "2015-11-27T14:08:55Z",
    "2015-11-27T16:08:55+02:00",
    "2015-11-27T16:08:55+0200",
    "2015-11-27 16:08:55.000 +02:00",
    "2015-11-27T10:38:55-03:30",
    "Fri Nov 27 16:08:55 EET 2015",
    "Fri Nov 27 16:08:55 GMT+02:00 2015",
    "Fri Nov 27 14:08:55 GMT 2015",
];

/// Texts that are a date in no zone.
const REFUSED: [&str; 8] = [
    "15-11-27T16:08:55",
    "0000-12-31T23:59:59",
    "10000-01-01T00:00:00",
    "+2015-11-27T16:08:55",
    "2015-02-29",
    "27.11.2015",
    "Fri Nov 27 16:08:55 XYZ 2015",
    "2015-11-27T16:08:55 EET",
];

/// Local times that a clock skips.
const SKIPPED: [(TimeZone, &str); 6] = [
    (TimeZone::Europe__Athens, "2015-03-29T03:30:00"),
    (TimeZone::America__New_York, "2015-03-08T02:00:00"),
    (TimeZone::America__Sao_Paulo, "2015-10-18T00:00:00"),
    (TimeZone::Australia__Lord_Howe, "2015-10-04T02:15:00"),
    (TimeZone::Pacific__Apia, "2011-12-30"),
    (TimeZone::America__St_Johns, "2015-03-08T02:59:59"),
];

const SHOW: &str = "access_tokens/show";

async fn gateway(app: &TestApp, time_zone: TimeZone) -> HttpClient {
    app.gateway(Deployment::InProcess, GatewayConfig { time_zone, ..Default::default() }).await
}

async fn imported(app: &TestApp, zone: TimeZone, id: &str, members: Value) -> Result<Outcome, String> {
    let mut token = json!({"id": id, "number": id, "authentication_code": id});
    token.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    let record = json!({ "access_token": token }).to_string();
    let results = app.import_in(zone, Permissions::all(), "DEMO", &record).await;
    let result = results.into_iter().next().expect("one record");
    result.map(|(outcome, _)| outcome).map_err(|refusal| refusal.text())
}

/// Returns the date of a token as the service stores it, in UTC with its fraction.
async fn kept(app: &TestApp, id: &str) -> String {
    let request = json!({"access_token_identifier": {"id": id}, "fields_set": "udf_date_1"});
    app.ok("ShowAccessToken", request).await["udf_date_1"].as_str().expect("a date").to_owned()
}

async fn shown(http: &HttpClient, id: &str) -> Value {
    let request = json!({"access_token_identifier": {"id": id}, "fields_set": "udf_date_1"});
    http.post(SHOW, request).await.data()["udf_date_1"].clone()
}

/// Imports an answer of the gateway unchanged, and returns the outcome.
async fn import_again(app: &TestApp, zone: TimeZone, http: &HttpClient, id: &str) -> Outcome {
    let answer = http.post(SHOW, json!({"access_token_identifier": {"id": id}})).await.json();
    let results = app.import_in(zone, Permissions::all(), "DEMO", &answer.to_string()).await;
    results[0].as_ref().expect("imported").0
}

on_both_databases! {
    async fn import_and_gateway_read_every_form_alike_in_every_zone(app) {
        for (z, zone) in ZONES.into_iter().enumerate() {
            let http = gateway(&app, zone).await;
            let at_noon = shown_in(zone, "2015-11-27T14:08:55Z");
            let forms = LOCAL.into_iter().map(|(text, shown)| (text, shown.to_owned()));
            for (f, (text, expected)) in forms.chain(INSTANT.map(|text| (text, at_noon.clone()))).enumerate() {
                let id = format!("{z}-{f}");
                imported(&app, zone, &id, json!({"udf_date_1": text})).await.expect(text);
                assert_eq!(shown(&http, &id).await, json!(expected), "{text} imported in {zone}");
                let before = kept(&app, &id).await;
                let created = http.post("access_tokens/create", json!({"udf_date_1": text, "fields_set": "id,udf_date_1"})).await;
                let created = created.data();
                assert_eq!(created["udf_date_1"], json!(expected), "{text} at the gateway in {zone}");
                let other = created["id"].as_str().expect("an id");
                assert_eq!(kept(&app, other).await, before, "{text}: import and gateway differ in {zone}");
                for id in [id.as_str(), other] {
                    assert_eq!(import_again(&app, zone, &http, id).await, Outcome::Unchanged, "{text} in {zone}");
                    assert_eq!(kept(&app, id).await, before, "{text} in {zone}");
                }
            }
        }
    }

    async fn other_texts_and_skipped_hours_are_refused_alike(app) {
        let everywhere = ZONES.into_iter().flat_map(|zone| REFUSED.map(|text| (zone, text, "must be a date such as")));
        let skipped = SKIPPED.map(|(zone, text)| (zone, text, "does not exist in the time zone"));
        for (i, (zone, text, words)) in everywhere.chain(skipped).enumerate() {
            let told = imported(&app, zone, &format!("R{i}"), json!({"udf_date_1": text})).await.expect_err(text);
            assert!(told.contains("access_token.udf_date_1") && told.contains(words), "{text} in {zone}: {told}");
            let answer = gateway(&app, zone).await.post("access_tokens/create", json!({"udf_date_1": text})).await;
            let told = answer.refused("INVALID_FIELD_VALUE");
            assert!(told.contains("udf_date_1") && told.contains(words), "{text} in {zone}: {told}");
        }
    }

    async fn importing_an_answer_changes_nothing_in_any_zone(app) {
        // The second occurrence of an hour, fractions of a second, and dates of owners.
        let record = json!({
            "udf_date_1": "2015-10-25T01:30:00.25Z",
            "udf_date_2": "2015-11-01T06:30:00Z",
            "udf_date_3": "2015-02-22T02:30:00Z",
            "udf_date_4": "2015-04-04T15:15:00.000001Z",
            "verified_date": "2024-01-02T03:04:05.678Z",
            "verified_by_user": {"id": "tester"},
            "log_information": {"created_date": "2012-04-01T13:59:59.5Z", "updated_date": "2015-11-01T04:30:00.75Z"},
            "accounts_receivable": {"id": "A", "number": "ACR1", "account_owner": {
                "id": "C", "type": "COMPANY", "company_name": "Company",
                "company_profile": {"established_date": "2015-10-25T01:30:00.5Z", "vat_registration_date": "0001-01-01"},
            }},
            "rewards_participant": {"id": "P", "number": "RP1", "accounts_receivable": {"id": "A2", "number": "ACR2", "account_owner": {
                "id": "O", "type": "PERSON", "last_name": "Owner",
                "demographics": {"id_number_expiration_date": "9999-12-31T23:59:59", "passport_number_expiration_date": "2015-11-27"},
            }}},
        });
        imported(&app, TimeZone::America__St_Johns, "T", record).await.expect("a record");
        let whole = json!({"access_token_identifier": {"id": "T"}});
        let before = app.ok("ShowAccessToken", whole.clone()).await;
        for zone in ZONES {
            let http = gateway(&app, zone).await;
            for _ in 0..2 {
                assert_eq!(import_again(&app, zone, &http, "T").await, Outcome::Unchanged, "{zone}");
            }
            assert_eq!(app.ok("ShowAccessToken", whole.clone()).await, before, "{zone}");
        }
    }

    async fn owners_dates_are_in_the_zone_and_refused_by_name(app) {
        let zone = TimeZone::Europe__Athens;
        let owner = |date: &str| json!({"contact_information": {"id": "O", "type": "PERSON", "demographics": {"id_number_expiration_date": date}}});
        let results = app.import_in(zone, Permissions::all(), "DEMO", &owner("2015-11-27T16:08:55").to_string()).await;
        assert!(results[0].is_ok());
        imported(&app, zone, "T", json!({"accounts_receivable": {"id": "A", "number": "A", "account_owner": {"id": "O"}}})).await.expect("a token");
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        let date = &shown["accounts_receivable"]["account_owner"]["demographics"]["id_number_expiration_date"];
        assert_eq!(time::parse(date.as_str().expect("a date")), time::parse("2015-11-27T14:08:55Z"));
        for (date, words) in [("15-11-27T16:08:55", "such as"), ("2015-03-29T03:30:00", "does not exist")] {
            let results = app.import_in(zone, Permissions::all(), "DEMO", &owner(date).to_string()).await;
            let told = results[0].as_ref().expect_err(date).text();
            assert!(told.contains("demographics.id_number_expiration_date") && told.contains(words), "{told}");
        }
    }
}

/// Returns the text with which an answer shows an instant in a zone.
fn shown_in(zone: TimeZone, text: &str) -> String {
    let (time, mut out) = (time::parse(text).expect("a date"), Vec::new());
    time::write(&mut out, time.timestamp(), 0, zone).expect("in the calendar");
    String::from_utf8(out).expect("a text")
}

/// The import command and the server with its gateway, on both databases and under both names of the setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_setting_counts_for_the_import_command_and_the_server() {
    for (setting, on_postgres) in [(SETTING, false), (OLD_NAME, true)] {
        let directory = TempDir::new().expect("a directory");
        let url = if on_postgres { block_in_place(create_database) } else { "sqlite://access-tokens.db".to_owned() };
        let installation = Installation::new(BINARY, directory.path(), &url).with(setting, "Europe/Athens");
        let run = |arguments: &[&str]| {
            let output = block_in_place(|| installation.run(arguments));
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
            text(&output)
        };
        if on_postgres {
            run(&["keys", "init"]);
            run(&["migrate"]);
        }
        block_in_place(|| add_user(&installation));
        let record = json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "udf_date_1": "2015-05-27T12:03:05"}});
        std::fs::write(directory.path().join("cards.ndjson"), record.to_string()).expect("written");
        run(&["import", "--organisation", "DEMO", "cards.ndjson"]);
        let server = installation.start(&["serve"]);
        block_in_place(|| installation.wait_until_ready());
        let client = logged_in(&server).await;
        let http = HttpClient::new(server.http_address(), client.session());
        let whole = json!({"access_token_identifier": {"id": "T"}});
        let answer = http.post(SHOW, whole.clone()).await.json();
        assert_eq!(answer["data"]["udf_date_1"], "2015-05-27T12:03:05", "{setting}");
        let kept = client.ok("ShowAccessToken", whole.clone()).await;
        assert_eq!(time::parse(kept["udf_date_1"].as_str().expect("a date")), time::parse("2015-05-27T09:03:05Z"));
        std::fs::write(directory.path().join("answer.json"), answer.to_string()).expect("written");
        for _ in 0..2 {
            let said = run(&["import", "--organisation", "DEMO", "answer.json"]);
            assert!(said.contains("0 created, 0 updated"), "{said}");
        }
        assert_eq!(client.ok("ShowAccessToken", whole).await, kept, "{setting}");
    }
}

#[test]
fn every_command_refuses_zones_that_contradict_or_do_not_exist() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), "sqlite://access-tokens.db");
    let two = installation.with(SETTING, "Europe/Athens").with(OLD_NAME, "Asia/Kolkata");
    let wrong = installation.with(SETTING, "Athens");
    for command in [
        &["serve"][..],
        &["gateway", "--upstream", "http://127.0.0.1:1"],
        &["migrate"],
        &["import", "--organisation", "DEMO", "/dev/null"],
        &["user", "add", "--organisation", "DEMO", "--username", "a", "--password-stdin", "--permissions", "admin"],
        &["api-key", "add", "--organisation", "DEMO", "--name", "a", "--permissions", "admin"],
        &["keys", "init"],
        &["healthcheck"],
        &["check-config"],
        &["doctor"],
        &["backup", "copy.db"],
        &["restore", "copy.db"],
    ] {
        let told = place_refuses(&two, command);
        assert!(told.contains(SETTING) && told.contains(OLD_NAME) && told.contains("different values"), "{told}");
        let told = place_refuses(&wrong, command);
        assert!(told.contains(SETTING) && told.contains("a time zone, such as"), "{told}");
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).expect("a directory").count(),
        0,
        "a refused command left something"
    );
}

fn place_refuses(installation: &Installation, command: &[&str]) -> String {
    let refused = installation.run(command);
    assert_eq!(refused.status.code(), Some(1), "{command:?}: {}", text(&refused));
    text(&refused)
}
