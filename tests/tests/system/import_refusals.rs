//! The output of an import about records that it refuses, and about itself when it is interrupted.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_testapp::process::Installation;
use chrono::TimeDelta;
use serde_json::json;
use tempfile::TempDir;

use crate::on_both_databases;
use crate::processes::{BINARY, add_organisation, sqlite, text};

on_both_databases! {
    /// Holds even if the records of the ring are in different batches.
    async fn a_bad_record_among_codes_that_change_hands_has_its_own_reason_only(app) {
        let card = |id: usize, code: &str| json!({"access_token": {"id": format!("T{id:03}"), "number": format!("AT{id}"), "authentication_code": code}});
        let before: Vec<_> = (0..700).map(|id| card(id, &format!("code {id}"))).collect();
        app.caller().import_directory(&before).await.expect("imported");
        // A ring in one batch, and one of the first and the last record.
        for ring in [[0, 1, 2], [3, 600, 699]] {
            for (field, value) in [("udf_string_1", "x".repeat(5_000)), ("card_masked_number", "4111111111111111".to_owned()), ("udf_string_2", "\u{0}".to_owned())] {
                let mut records: Vec<_> = (0..700).map(|id| card(id, &format!("code {id}"))).collect();
                for (at, id) in ring.into_iter().enumerate() {
                    records[id] = card(id, &format!("code {}", ring[(at + 1) % 3]));
                }
                records[ring[0]]["access_token"][field] = json!(value);
                for check in [true, false] {
                    let answer = app.caller().import_directory_as(&records, Existing::Overwrite, check).await.expect("imported");
                    let fields = |id: usize| answer.results[id].field_violations.iter().map(|one| one.field.as_str()).collect::<Vec<_>>();
                    assert_eq!(fields(ring[0]), [field], "check {check}");
                    // The other records need the code that this one keeps.
                    for other in &ring[1..] {
                        assert_eq!(fields(*other), ["authentication_code"]);
                    }
                    assert_eq!(answer.failed, 3);
                }
            }
        }
        // A code that its owner keeps is reported in addition to the other fault.
        let taken = json!({"access_token": {"id": "T000", "authentication_code": "code 9", "card_masked_number": "4111111111111111"}});
        let answer = app.caller().import_directory(&[taken]).await.expect("imported");
        assert_eq!(answer.results[0].field_violations.len(), 2, "{:?}", answer.results);
    }

    /// An export from a clock that is fast, or from a time zone that was not configured.
    async fn a_record_from_the_future_undoes_no_change_when_it_is_imported_again(app) {
        for (number, date) in [("AT1", "2050-01-01T00:00:00Z"), ("AT2", "9999-12-31T23:59:59Z")] {
            let record = json!({"access_token": {"number": number, "authentication_code": number, "life_cycle_state": "EFFECTIVE", "pass_code": "518273", "log_information": {"updated_date": date}}});
            let named = json!({"access_token_identifier": {"number": number}});
            let outcome = async || app.caller().import_directory_as(std::slice::from_ref(&record), Existing::KeepNewer, false).await.expect("imported").results[0].outcome;
            let created = outcome().await;
            for _ in 0..2 {
                app.ok("SetAsNotEffective", named.clone()).await;
                assert_ne!(outcome().await, created);
                assert_eq!(app.ok("ShowAccessToken", named.clone()).await["life_cycle_state"], "NOT_EFFECTIVE");
                app.ok("SetAsEffective", named.clone()).await;
            }
            app.ok("ResetPassCode", json!({"authentication_code": number})).await;
            let shown = app.ok("ShowAccessToken", named.clone()).await;
            let kept = outcome().await;
            assert_eq!(app.ok("ShowAccessToken", named.clone()).await, shown, "outcome {kept:?}");
            let old = json!({"access_token_identifier": {"number": number}, "pass_code": "518273"});
            app.try_call("CheckPassCode", old).await.expect_err("the old pass code");
        }
    }

    async fn an_imported_one_time_password_lives_no_longer_than_one_that_is_issued(app) {
        let classification = json!({"id": "C", "name": "Short", "policy": {"otp_lifetime_seconds": 60}});
        app.import("DEMO", &json!({ "classification": classification }).to_string()).await;
        let never = "2999-01-01T00:00:00Z";
        let soon = (app.now() + TimeDelta::seconds(30)).to_rfc3339();
        for (number, classification, date, lifetime) in [("1", None, never, 300), ("2", Some("C"), never, 60), ("3", None, soon.as_str(), 30), ("4", Some("C"), soon.as_str(), 30)] {
            let classification = classification.map(|id| json!({"id": id}));
            let token = |number: &str| json!({"access_token": {"number": number, "one_time_password": "123456", "expiration_date": date, "classification": classification}});
            let use_it = async |number: &str| app.try_call("VerifyOtp", json!({"access_token_identifier": {"number": number}, "one_time_password": "123456"})).await;
            let late = format!("{number}-late");
            let start = app.now();
            app.import("DEMO", &[token(number), token(&late)].map(|token| token.to_string()).join("\n")).await;
            app.clock.set(start + TimeDelta::seconds(lifetime - 1));
            use_it(number).await.expect("in time");
            app.clock.set(start + TimeDelta::seconds(lifetime));
            use_it(&late).await.expect_err("too late");
            app.clock.set(start);
        }
    }
}

/// Returns an installation with a PostgreSQL database.
fn postgres(directory: &TempDir) -> (Installation, String) {
    let url = tokio::task::block_in_place(access_tokens_testkit::postgres::create_database);
    let installation = Installation::new(BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success());
    (installation, url)
}

/// Interrupts an import that waits for more records after 1,500, and returns its output.
fn interrupt(installation: &Installation, arguments: &[&str], tag: usize) -> String {
    let mut command = installation.command(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut import = command.spawn().expect("the binary runs");
    let mut input = import.stdin.take().expect("a pipe");
    let line = |number: usize| json!({"access_token": {"number": format!("AT{tag}{number:09}"), "authentication_code": format!("{tag}/{number}")}});
    let lines: String = (0..1_499).map(|number| format!("{}\n", line(number))).collect();
    input.write_all(lines.as_bytes()).expect("written");
    // The last line of the third batch is reported when the batch is written; then the import reads again.
    input.write_all(b"nonsense\n{}\n").expect("written");
    let mut said = import.stderr.take().expect("a pipe");
    let mut seen = Vec::new();
    let started = Instant::now();
    while !String::from_utf8_lossy(&seen).contains("-:1500:") {
        let mut bytes = [0; 4_096];
        let count = said.read(&mut bytes).expect("read");
        assert!(count > 0 && started.elapsed() < Duration::from_secs(60), "{}", String::from_utf8_lossy(&seen));
        seen.extend(&bytes[..count]);
    }
    let sent = std::process::Command::new("kill").args(["-s", "INT", &import.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    said.read_to_end(&mut seen).expect("read");
    assert_eq!(import.wait().expect("it ends").code(), Some(130));
    drop(input);
    let seen = String::from_utf8_lossy(&seen).into_owned();
    let last: Vec<_> = seen.lines().skip_while(|line| !line.starts_with("interrupted")).collect();
    last.join("\n")
}

fn an_interrupted_import_says_how_far_it_came(installation: &Installation) {
    let said = interrupt(installation, &["import", "-"], 1);
    assert!(!said.contains("DATABASE_UNAVAILABLE") && !said.contains("error:"), "{said}");
    assert!(said.contains("after 1500 records: 1499 are written") && said.contains("1 failed"), "{said}");
    assert!(said.contains("import the same files again"), "{said}");
    let said = interrupt(installation, &["import", "--check", "-"], 2);
    assert!(said.contains("interrupted after 1500 records; nothing was written"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_says_how_far_it_came_on_sqlite() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    an_interrupted_import_says_how_far_it_came(&installation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_says_how_far_it_came_on_postgres() {
    let directory = TempDir::new().expect("a directory");
    let (installation, _) = postgres(&directory);
    add_organisation(&installation);
    an_interrupted_import_says_how_far_it_came(&installation);
}

/// Records of an organisation that does not exist yet cannot be looked up.
fn a_new_organisation_is_checked_with_decomposed_names(installation: &Installation) {
    let lines = "{\"user\": {\"id\": \"U1\", \"username\": \"rene\u{301}\"}}\n{\"access_token\": {\"number\": \"AT1\", \"authentication_code\": \"cafe\u{301}\", \"identifier\": \"rene\u{301}\"}}\n";
    let arguments = ["import", "--check", "--create-organisation", "--organisation", "NEW", "-"];
    let said = text(&installation.run_with_input(&arguments, lines));
    assert!(said.contains("2 created") && said.contains("0 failed"), "{said}");
}

/// More records wait for codes of other tokens than fit. Complete rings are imported before the limit is reached.
fn many_codes_change_hands(installation: &Installation) {
    const CARDS: usize = 12_000;
    let import = |code: &dyn Fn(usize) -> usize| {
        let line = |card: usize| json!({"access_token": {"number": format!("AT{card}"), "authentication_code": format!("code {}", code(card))}});
        let lines: String = (0..CARDS).map(|card| format!("{}\n", line(card))).collect();
        text(&installation.run_with_input(&["import", "--existing", "overwrite", "-"], &lines))
    };
    assert!(import(&|card| card).contains("12000 created"));
    let rings = |card: usize| card / 1_000 * 1_000 + (card + 1) % 1_000;
    let said = import(&rings);
    assert!(said.contains("0 created, 12000 updated, 0 unchanged, 0 failed"), "{said}");
    let said = import(&rings);
    assert!(said.contains("0 created, 0 updated, 12000 unchanged, 0 failed"), "{said}");
    // Each card needs the code of the next card, so that all of them depend on the last one. Most records wait when the
    // limit is reached.
    let said = import(&|card| rings(card) + 1);
    assert!(
        said.contains("AUTHENTICATION_CODE_ALREADY_EXISTS") && said.contains("too many records of this import wait"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_codes_change_hands_on_sqlite() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    a_new_organisation_is_checked_with_decomposed_names(&installation);
    many_codes_change_hands(&installation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_codes_change_hands_on_postgres() {
    let directory = TempDir::new().expect("a directory");
    let (installation, _) = postgres(&directory);
    add_organisation(&installation);
    a_new_organisation_is_checked_with_decomposed_names(&installation);
    many_codes_change_hands(&installation);
}

/// The driver adds the line in the source of PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_postgresql_names_no_line_of_its_source() {
    let directory = TempDir::new().expect("a directory");
    let (_, url) = postgres(&directory);
    let elsewhere = Installation::new(BINARY, directory.path(), &format!("{url}_missing"));
    for arguments in [&["import", "-"][..], &["user", "list", "--organisation", "DEMO"], &["migrate"]] {
        let said = text(&elsewhere.run(arguments));
        assert!(said.contains("does not exist") && !said.contains("at line"), "{said}");
    }
}
