//! Codes, identifiers, user names and secrets that look the same are the same: invisible characters, leading blanks and trailing blanks are
//! refused, and composed and decomposed accents are one text.

use std::fs;
use std::time::Duration;

use access_tokens_domain::store::AccountStore;
use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_testapp::TestApp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::on_both_databases;
use crate::processes::{sqlite, text};

const COMPOSED: &str = "Ren\u{e9} 7";
const DECOMPOSED: &str = "Rene\u{301} 7";

/// Returns forbidden characters at the start, in the middle and at the end of a text.
fn forbidden() -> Vec<String> {
    let mut texts = Vec::new();
    // Zero width, directional, separators, fillers, soft hyphen, variation selector, byte order mark.
    for character in
        ['\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{3164}', '\u{ad}', '\u{fe0f}', '\u{feff}']
    {
        texts.extend([format!("{character}abc123"), format!("abc{character}123"), format!("abc123{character}")]);
    }
    for blank in [' ', '\u{a0}', '\u{3000}'] {
        texts.extend([format!("{blank}abc123"), format!("abc123{blank}")]);
    }
    texts
}

fn create(member: &str, value: &str) -> Value {
    let mut request = json!({"fields_set": "id"});
    request[member] = json!(value);
    match member {
        "identifier" => request["pass_code"] = json!("48213"),
        "pass_code" => request["identifier"] = json!("someone"),
        _ => {}
    }
    request
}

fn show(key: &str, value: &str) -> Value {
    json!({"access_token_identifier": {key: value}, "fields_set": "id,number,authentication_code,identifier,udf_string_1"})
}

/// Runs SQL in the database, to create rows as an older version would have left them.
fn sql(app: &TestApp, statement: &str) {
    match app.url().strip_prefix("sqlite://") {
        Some(file) => {
            let file = file.split('?').next().unwrap_or(file);
            let connection = rusqlite::Connection::open(file).expect("opens");
            connection.busy_timeout(Duration::from_secs(10)).expect("an option");
            connection.execute_batch(statement).expect("runs");
        }
        None => {
            let name = app.url().rsplit('/').next().expect("a database");
            access_tokens_testkit::postgres::shared()
                .psql(name.split('?').next().unwrap_or(name), statement)
                .expect("runs");
        }
    }
}

on_both_databases! {
    async fn invisible_characters_and_outer_blanks_are_refused_over_grpc_and_http(app) {
        let http = app.http().await;
        let id = app.ok("CreateAccessToken", json!({"authentication_code": "PLAIN", "fields_set": "id"})).await["id"].clone();
        for value in forbidden() {
            for member in ["authentication_code", "identifier", "pass_code"] {
                let refusal = app.refused("CreateAccessToken", create(member, &value), "INVALID_FIELD_VALUE").await;
                assert_eq!(refusal.fields(), [member], "{value:?}");
                let answer = http.post("access_tokens/create", create(member, &value)).await;
                assert!(answer.refused("INVALID_FIELD_VALUE").contains(member), "{value:?}");
                let mut update = create(member, &value);
                update["access_token_identifier"] = json!({ "id": id });
                let answer = http.post("access_tokens/update", update).await;
                assert!(answer.refused("INVALID_FIELD_VALUE").contains(member), "{value:?}");
            }
            let records = [
                json!({"access_token": {"number": "N1", "authentication_code": value}}),
                json!({"access_token": {"number": "N2", "authentication_code": "N2", "identifier": value}}),
                json!({"access_token": {"number": "N3", "authentication_code": "N3", "identifier": "n3", "pass_code": value}}),
                json!({"user": {"id": "N4", "username": value}}),
            ];
            let answer = app.caller().import_directory_as(&records, Existing::Overwrite, false).await.expect("answers");
            assert_eq!((answer.failed, answer.created), (4, 0), "{value:?}: {:?}", answer.results);
            for result in &answer.results {
                assert_eq!(result.reason().as_str_name(), "INVALID_FIELD_VALUE", "{value:?}: {result:?}");
            }
        }
        // Free text may contain an emoji of several characters and a directional mark.
        let free = "\u{1f468}\u{200d}\u{1f469}\u{200e} ";
        let made = app.ok("CreateAccessToken", json!({"authentication_code": "FREE", "udf_string_1": free, "fields_set": "udf_string_1"})).await;
        assert_eq!(made["udf_string_1"], free);
    }

    async fn composed_and_decomposed_texts_are_one(app) {
        let http = app.http().await;
        for (number, (written, presented)) in [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)].into_iter().enumerate() {
            let (written, presented) = (format!("{written}{number}"), format!("{presented}{number}"));
            let request = json!({"authentication_code": written, "identifier": written, "pass_code": written,
                "fields_set": "id,authentication_code,identifier"});
            let made = app.ok("CreateAccessToken", request).await;
            let composed = format!("{COMPOSED}{number}");
            assert_eq!((&made["authentication_code"], &made["identifier"]), (&json!(composed), &json!(composed)));
            for value in [&written, &presented] {
                for form in [show("authentication_code", value), json!({"access_token_identifier": {"credential": {"identifier": value, "pass_code": value}}, "fields_set": "id"})] {
                    assert_eq!(app.ok("ShowAccessToken", form).await["id"], made["id"], "{value:?}");
                }
                let shown = http.post("access_tokens/show", json!({"access_token_identifier": {"identifier": value, "pass_code": value}, "fields_set": "id"})).await;
                assert_eq!(shown.data()["id"], made["id"], "{value:?}");
                app.refused("CreateAccessToken", create("authentication_code", value), "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
                app.refused("CreateAccessToken", create("identifier", value), "IDENTIFIER_ALREADY_EXISTS").await;
            }
            // Wrong guesses in both forms count together: after five, the right pass code is locked too.
            for guess in 0..5 {
                let value = if guess % 2 == 0 { &written } else { &presented };
                let check = json!({"access_token_identifier": {"credential": {"identifier": value, "pass_code": "0000"}}});
                app.refused("ShowAccessToken", check, "INVALID_CREDENTIAL").await;
            }
            for value in [&written, &presented] {
                let check = json!({"access_token_identifier": {"credential": {"identifier": value, "pass_code": value}}});
                app.refused("ShowAccessToken", check, "INVALID_CREDENTIAL").await;
            }
        }
    }

    async fn users_log_in_with_both_forms(app) {
        let user = json!({"user": {"id": "U7", "username": "zo\u{308}e", "password": "cafe\u{301} au lait", "permissions": []}});
        app.import("DEMO", &user.to_string()).await;
        let stored = app.database.credential_by_username(app.direct_caller("admin").await.organisation, "z\u{f6}e").await;
        assert_eq!(stored.expect("reads").expect("a user").user, "U7");
        for username in ["zo\u{308}e", "z\u{f6}e"] {
            for password in ["cafe\u{301} au lait", "caf\u{e9} au lait"] {
                app.caller().login("DEMO", username, password, None).await.expect("logs in");
            }
            app.caller().login("DEMO", username, "cafe au lait", None).await.expect_err("another password");
        }
        // A second user with the same name is refused, in every form.
        let other = json!({"user": {"id": "U8", "username": "zo\u{308}e"}});
        let answer = app.caller().import_directory(&[other]).await.expect("answers");
        assert_eq!(answer.failed, 1, "{:?}", answer.results);
    }

    async fn rows_of_older_versions_stay_usable_and_are_counted(app) {
        let all = "id,number,authentication_code,identifier,udf_string_1";
        let mut ids = Vec::new();
        let old = [DECOMPOSED, "A\u{200b}B", "\u{a0}AB"];
        for number in 0..old.len() {
            let made = app.ok("CreateAccessToken", json!({"authentication_code": format!("OLD{number}"), "fields_set": "id"})).await;
            ids.push(made["id"].as_str().expect("an id").to_owned());
        }
        let count = || async { app.database.count_old_texts(None).await.expect("counts") };
        assert_eq!(count().await.access_tokens, 0);
        for (number, code) in old.iter().enumerate() {
            sql(&app, &format!("UPDATE access_token SET authentication_code = '{code}' WHERE authentication_code = 'OLD{number}'"));
        }
        sql(&app, "INSERT INTO app_user (organisation_key, id, username) SELECT key, 'OLDUSER', 'rene\u{301}' FROM organisation WHERE name = 'DEMO'");
        let counts = count().await;
        assert_eq!((counts.access_tokens, counts.users, counts.organisations, counts.complete), (3, 1, 0, true));
        assert!(counts.read >= 3);
        let none = app.database.count_old_texts(Some(Duration::ZERO)).await.expect("counts");
        assert_eq!((none.access_tokens, none.complete), (0, false));
        for (id, code) in ids.iter().zip(old) {
            let shown = app.ok("ShowAccessToken", show("authentication_code", code)).await;
            assert_eq!((&shown["id"], &shown["authentication_code"]), (&json!(id), &json!(code)));
            let update = json!({"access_token_identifier": {"authentication_code": code}, "udf_string_1": "x", "fields_set": all});
            assert_eq!(app.ok("UpdateAccessToken", update).await["authentication_code"], code);
            // An export of the token is imported again and changes nothing.
            let record = json!({"access_token": app.ok("ShowAccessToken", show("id", id)).await});
            let answer = app.caller().import_directory(&[record]).await.expect("answers");
            assert_eq!((answer.unchanged, answer.failed), (1, 0), "{:?}", answer.results);
            assert_eq!(app.ok("ShowAccessToken", show("id", id)).await["authentication_code"], code);
            // A second token that looks the same is refused.
            let again = app.try_call("CreateAccessToken", create("authentication_code", code)).await.expect_err("refused");
            assert!(["AUTHENTICATION_CODE_ALREADY_EXISTS", "INVALID_FIELD_VALUE"].contains(&again.reason.as_str()), "{}", again.reason);
        }
        // The cure: a new code for the token with this id.
        for (number, id) in ids.iter().enumerate() {
            app.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": id}, "authentication_code": format!("NEW{number}"), "fields_set": "id"})).await;
        }
        app.import("DEMO", &json!({"user": {"id": "OLDUSER", "username": "rene"}}).to_string()).await;
        let cured = count().await;
        assert_eq!((cured.access_tokens, cured.users), (0, 0));
    }
}

#[test]
fn the_command_line_and_csv_files_follow_the_rules_and_doctor_warns_of_old_rows() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    assert!(place.run(&["organisation", "add", "Cafe\u{301}"]).status.success());
    for again in ["Caf\u{e9}", "Cafe\u{301}"] {
        let output = place.run(&["organisation", "add", again]);
        assert!(!output.status.success() && text(&output).contains("already"), "{}", text(&output));
    }
    assert!(text(&place.run(&["organisation", "list"])).contains("Caf\u{e9}"));
    for name in ["\u{200b}Shop", " Shop", "Shop\u{202e}", "Shop\u{a0}"] {
        let output = place.run(&["organisation", "add", name]);
        assert!(!output.status.success() && text(&output).contains("name"), "{name:?}: {}", text(&output));
    }
    fs::write(directory.path().join("cards.toml"), "[access_token]\nauthentication_code = \"Card\"\n")
        .expect("written");
    fs::write(directory.path().join("cards.csv"), "Card\nRene\u{301}\nRen\u{e9}e\nA\u{200b}B\n\u{202e}AB\n")
        .expect("written");
    let output = place.run(&["import", "--organisation", "Cafe\u{301}", "--mapping", "cards.toml", "cards.csv"]);
    let said = text(&output);
    assert!(said.contains("2 created, 0 updated, 0 unchanged, 2 failed"), "{said}");
    assert_eq!(
        said.matches("access_token.authentication_code: contains an invisible or directional character").count(),
        2,
        "{said}"
    );
    // The other form of the same code is the same card.
    fs::write(directory.path().join("cards.csv"), "Card\nRen\u{e9}\nRene\u{301}e\n").expect("written");
    let said = text(&place.run(&["import", "--organisation", "Caf\u{e9}", "--mapping", "cards.toml", "cards.csv"]));
    assert!(said.contains("0 created, 0 updated, 0 unchanged, 2 kept, 0 failed"), "{said}");

    let names = || {
        let report: Value = serde_json::from_slice(&place.run(&["doctor", "--json"]).stdout).expect("a report");
        let all = report["findings"].as_array().expect("findings").clone();
        all.into_iter().find(|one| one["check"] == "names").expect("the finding")
    };
    assert_eq!(names()["level"], "ok");
    let connection = rusqlite::Connection::open(directory.path().join("access-tokens.db")).expect("opens");
    connection
        .execute_batch(
            "UPDATE access_token SET authentication_code = 'Rene\u{301}' WHERE authentication_code = 'Ren\u{e9}'",
        )
        .expect("runs");
    drop(connection);
    let found = names();
    assert_eq!(found["level"], "warning");
    assert!(
        found["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("1 access token(s), 0 user(s) and 0 organisation(s)")),
        "{found}"
    );
}
