//! Records of access tokens without id and number: found by code or identifier, numbered by the service, and created once per file.

use access_tokens_domain::import::{self, Existing as Stored, Outcome as Became};
use access_tokens_domain::service::import::Run;
use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_proto::v1::record_result::Outcome;
use access_tokens_proto::v1::{ErrorReason, ImportDirectoryResponse};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::on_both_databases;
use crate::processes::{add_organisation, sqlite, text};

fn card(code: &str) -> Value {
    json!({"access_token": {"authentication_code": code}})
}

/// Returns the outcomes, with the reasons of failed records.
fn verdicts(answer: &ImportDirectoryResponse) -> Vec<&'static str> {
    let verdict = |one: &access_tokens_proto::v1::RecordResult| match one.outcome() {
        Outcome::Failed => one.reason().as_str_name(),
        outcome => outcome.as_str_name(),
    };
    answer.results.iter().map(verdict).collect()
}

fn show(key: &str, value: &str) -> Value {
    json!({"access_token_identifier": {key: value}, "fields_set": "id,number,authentication_code,identifier,life_cycle_state,udf_string_1"})
}

on_both_databases! {
    async fn codes_become_tokens_with_the_next_numbers_and_once_only(app) {
        let cards: Vec<_> = (0..1_203).map(|n| card(&format!("{n:013}"))).collect();
        let checked = app.caller().import_directory_as(&cards, Existing::Unspecified, true).await.expect("checked");
        let imported = app.caller().import_directory_as(&cards, Existing::Unspecified, false).await.expect("imported");
        assert_eq!((checked.created, imported.created, imported.failed), (1_203, 1_203, 0));
        assert_eq!(checked.results, imported.results);
        let mut numbers = Vec::new();
        for code in ["0000000000000", "0000000000001", "0000000000500", "0000000001202"] {
            let shown = app.ok("ShowAccessToken", show("authentication_code", code)).await;
            assert_eq!(shown["life_cycle_state"], "EFFECTIVE");
            numbers.push(shown["number"].as_str().expect("a number")[2..].parse::<u64>().expect("digits"));
        }
        let first = numbers[0];
        assert_eq!(numbers, [first, first + 1, first + 500, first + 1_202], "a check or a repeated batch has drawn numbers");
        for existing in [Existing::KeepNewer, Existing::Overwrite, Existing::UpdateOnly] {
            let again = app.caller().import_directory_as(&cards, existing, false).await.expect("imported");
            assert_eq!((again.kept + again.unchanged, again.created, again.failed), (1_203, 0, 0), "{existing:?}");
        }
        app.import("DEMO", &card("one more").to_string()).await;
        let shown = app.ok("ShowAccessToken", show("authentication_code", "one more")).await;
        assert_eq!(shown["number"], format!("AT{:010}", first + 1_203), "importing again has drawn numbers");
    }

    /// Numbers that records name, and numbers that other calls take meanwhile, are not used twice.
    async fn numbers_that_are_taken_are_drawn_again(app) {
        app.import("DEMO", &card("first").to_string()).await;
        let first = app.ok("ShowAccessToken", show("authentication_code", "first")).await;
        let next = first["number"].as_str().expect("a number")[2..].parse::<u64>().expect("digits") + 1;
        let named = |n: u64| json!({"access_token": {"number": format!("AT{n:010}"), "authentication_code": format!("named {n}")}});
        let answer = app.caller().import_directory(&[card("second"), named(next), card("third")]).await.expect("imported");
        assert_eq!((answer.created, answer.failed), (3, 0), "{answer:?}");

        let (importer, caller) = (app.importer(), app.direct_caller("directory.write,admin").await);
        let records = |from: usize, to: usize| (from..to).flat_map(|n| import::from_value(card(&format!("code {n}"))).expect("a record")).collect();
        let mut run = Run::new(Stored::KeepNewer);
        importer.batch(&caller, &mut run, records(0, 50)).await.expect("imported");
        let last = app.ok("ShowAccessToken", show("authentication_code", "code 49")).await;
        let last = last["number"].as_str().expect("a number")[2..].parse::<u64>().expect("digits");
        // From here on the run has numbers left over, because all of these records are known.
        importer.batch(&caller, &mut run, records(0, 50)).await.expect("imported");
        let taken: Vec<_> = (last + 1..last + 60).map(named).collect();
        assert_eq!(app.caller().import_directory(&taken).await.expect("imported").failed, 0);
        let results = importer.batch(&caller, &mut run, records(50, 60)).await.expect("imported");
        assert!(results.iter().all(|one| matches!(one.result, Ok((Became::Created, _)))), "{results:?}");
    }

    async fn an_identifier_finds_its_token_and_creates_none(app) {
        let token = json!({"access_token": {"number": "AT1", "authentication_code": "7", "identifier": "m@example.org", "udf_string_1": "kept", "pass_code": "before"}});
        app.import("DEMO", &token.to_string()).await;
        let change = |name: &str| json!({"access_token": {"identifier": name, "pass_code": "4711 after"}});
        for check in [true, false] {
            let records = [change("m@example.org"), change("nobody@example.org")];
            let answer = app.caller().import_directory_as(&records, Existing::UpdateOnly, check).await.expect("imported");
            assert_eq!(verdicts(&answer), ["UNCHANGED", "ACCESS_TOKEN_NOT_FOUND"]);
            assert_eq!(answer.results[1].field_violations[0].field, "identifier");
            // Without a date, a record changes only fields that it may overwrite.
            let answer = app.caller().import_directory_as(&records, Existing::KeepNewer, check).await.expect("imported");
            assert_eq!(verdicts(&answer), ["KEPT", "ACCESS_TOKEN_NOT_FOUND"]);
        }
        let named = |code: &str| json!({"access_token_identifier": {"credential": {"identifier": "m@example.org", "pass_code": code}}});
        app.ok("CheckPassCode", named("4711 after")).await;
        app.refused("CheckPassCode", named("before"), "INVALID_CREDENTIAL").await;
        let shown = app.ok("ShowAccessToken", show("number", "AT1")).await;
        assert_eq!((&shown["udf_string_1"], &shown["authentication_code"]), (&json!("kept"), &json!("7")));
        // A new code for a known identifier is a new code of its token, in a record that may overwrite.
        let replaced = json!({"access_token": {"authentication_code": "8", "identifier": "m@example.org"}});
        let answer = app.caller().import_directory_as(std::slice::from_ref(&replaced), Existing::Unspecified, false).await.expect("imported");
        assert_eq!(verdicts(&answer), ["KEPT"]);
        let answer = app.caller().import_directory(&[replaced]).await.expect("imported");
        assert_eq!(verdicts(&answer), ["UPDATED"]);
        assert_eq!(app.ok("ShowAccessToken", show("number", "AT1")).await["authentication_code"], "8");
    }

    async fn update_only_creates_nothing(app) {
        app.import("DEMO", r#"{"access_token": {"number": "AT1", "authentication_code": "7", "udf_string_1": "kept", "log_information": {"updated_date": "2030-01-01T00:00:00Z"}}}"#).await;
        app.import("DEMO", r#"{"user": {"id": "U", "username": "anna", "email": "a@example.org"}}"#).await;
        let records = [
            json!({"access_token": {"authentication_code": "7", "life_cycle_state": "NOT_EFFECTIVE"}}),
            card("unknown"),
            json!({"access_token": {"id": "T", "number": "AT2", "authentication_code": "9"}}),
            json!({"access_token": {"number": "AT1", "accounts_receivable": {"number": "ACR1"}}}),
            json!({"user": {"username": "anna", "person_name": "Anna"}}),
            json!({"user": {"username": "berta", "person_name": "Berta"}}),
            json!({"accounts_receivable": {"number": "ACR2"}}),
            json!({"access_token": {"number": "AT1", "verified_by_user": {"username": "cleo", "id": null}}}),
        ];
        let (token, other) = ("ACCESS_TOKEN_NOT_FOUND", "REFERENCE_NOT_FOUND");
        for check in [true, false] {
            let answer = app.caller().import_directory_as(&records, Existing::UpdateOnly, check).await.expect("imported");
            assert_eq!(verdicts(&answer), ["UPDATED", token, token, other, "UPDATED", other, other, other]);
            assert_eq!((answer.created, answer.created_owners), (0, 0));
        }
        let shown = app.ok("ShowAccessToken", show("number", "AT1")).await;
        assert_eq!((&shown["life_cycle_state"], &shown["udf_string_1"]), (&json!("NOT_EFFECTIVE"), &json!("kept")));
        app.refused("ListAccessTokens", json!({"accounts_receivable_identifier": {"number": "ACR1"}}), "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
    }

    async fn a_code_or_identifier_comes_once(app) {
        let owned = |code: &str, identifier: Value, owner: &str| {
            json!({"access_token": {"authentication_code": code, "identifier": identifier, "accounts_receivable": {"number": owner}}})
        };
        let records = [
            owned("7", json!("a"), "ACR1"),
            owned("7", json!("b"), "ACR2"),
            owned("8", json!("a"), "ACR2"),
            json!({"access_token": {"number": "AT9", "authentication_code": "9"}}),
            json!({"access_token": {"authentication_code": "9", "udf_string_1": "the same"}}),
            json!({"access_token": {"identifier": "a", "udf_string_1": "second"}}),
        ];
        let (code, identifier) = ("AUTHENTICATION_CODE_ALREADY_EXISTS", "IDENTIFIER_ALREADY_EXISTS");
        for check in [true, false] {
            let answer = app.caller().import_directory_as(&records, Existing::Overwrite, check).await.expect("imported");
            assert_eq!(verdicts(&answer), ["CREATED", code, identifier, "CREATED", "UPDATED", identifier], "{answer:?}");
            assert!(answer.results[1].message.contains("the record at position 0"), "{answer:?}");
        }
        let owner = app.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": "7"}})).await;
        assert_eq!(owner["accounts_receivable"]["number"], "ACR1");
    }

    /// An old file neither restores a replaced code nor creates a second token with it.
    async fn a_replaced_code_stays_replaced(app) {
        app.import("DEMO", &card("lost").to_string()).await;
        let id = app.ok("ShowAccessToken", show("authentication_code", "lost")).await["id"].clone();
        app.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": id}, "authentication_code": "new", "update_mask": "authentication_code"})).await;
        for existing in [Existing::Unspecified, Existing::UpdateOnly] {
            for check in [true, false] {
                let answer = app.caller().import_directory_as(&[card("lost")], existing, check).await.expect("imported");
                assert_eq!(answer.created + answer.updated, 0, "{answer:?}");
            }
        }
        app.refused("ShowAccessToken", show("authentication_code", "lost"), "ACCESS_TOKEN_NOT_FOUND").await;
        // Another token may have got the code in the meantime.
        let other = app.ok("CreateAccessToken", json!({"authentication_code": "lost", "fields_set": "id"})).await;
        let change = json!({"access_token": {"authentication_code": "lost", "udf_string_1": "x"}});
        let answer = app.caller().import_directory(&[change]).await.expect("imported");
        assert_eq!(answer.results[0].id, other["id"], "{answer:?}");
    }

    /// Naming a token by its identifier alone needs the same permission as in other calls, and the answer is the same for all
    /// identifiers.
    async fn identifiers_are_looked_up_only_with_permission(app) {
        app.import("DEMO", r#"{"access_token": {"number": "AT1", "authentication_code": "7", "identifier": "m@example.org", "pass_code": "before"}}"#).await;
        let importer = app.client("DEMO", "directory.write,access_tokens.read").await;
        let (mut answers, long) = (Vec::new(), "x".repeat(5_000));
        for identifier in ["m@example.org", "nobody@example.org"] {
            for (member, value) in [("udf_string_1", "x"), ("pass_code", "before"), ("udf_string_2", long.as_str())] {
                let record = json!({"access_token": {"identifier": identifier, member: value}});
                for check in [true, false] {
                    let mut answer = importer.import_directory_as(std::slice::from_ref(&record), Existing::UpdateOnly, check).await.expect("an answer");
                    let one = answer.results.remove(0);
                    assert_eq!((one.outcome(), one.reason(), one.id.as_str()), (Outcome::Failed, ErrorReason::PermissionDenied, ""));
                    answers.push(one);
                }
            }
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        // A new code does not make the identifier a sufficient name either.
        let record = json!({"access_token": {"authentication_code": "8", "identifier": "m@example.org"}});
        let answer = importer.import_directory_as(&[record], Existing::Overwrite, false).await.expect("an answer");
        assert_eq!(verdicts(&answer), ["IDENTIFIER_ALREADY_EXISTS"]);
        let lookup = app.client("DEMO", "directory.write,access_tokens.lookup").await;
        let record = json!({"access_token": {"identifier": "m@example.org", "udf_string_1": "x"}});
        let answer = lookup.import_directory_as(&[record], Existing::UpdateOnly, false).await.expect("an answer");
        assert_eq!(verdicts(&answer), ["UPDATED"]);
    }

    async fn unknown_owners_and_classifications_are_counted_or_refused(app) {
        let token = |code: &str, members: Value| {
            let mut token = json!({"authentication_code": code});
            token.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
            json!({ "access_token": token })
        };
        let refusing = |mut record: Value| {
            record["refuse_unknown_owners"] = json!(true);
            record["refuse_unknown_classifications"] = json!(true);
            record
        };
        let records = [
            token("1", json!({"accounts_receivable": {"number": "ACR1", "name": "One"}, "classification": {"name": "Gold"}})),
            token("2", json!({"accounts_receivable": {"number": "ACR1"}, "rewards_participant": {"number": "RP1", "accounts_receivable": {"number": "ACR2"}}})),
            json!({"accounts_receivable": {"number": "ACR3"}}),
            token("3", json!({"accounts_receivable": {"number": "ACR3"}})),
            token("4", json!({"accounts_receivable": {"number": "ACR4"}, "udf_string_1": "x".repeat(5_000)})),
        ];
        let refused: Vec<_> = records.iter().cloned().map(refusing).collect();
        let missing = "REFERENCE_NOT_FOUND";
        let answer = app.caller().import_directory_as(&refused, Existing::Overwrite, true).await.expect("checked");
        assert_eq!(verdicts(&answer), [missing, missing, "CREATED", "CREATED", missing]);
        assert_eq!(answer.results[0].field_violations.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["accounts_receivable", "classification"]);
        for (check, expected) in [(true, (3, 1)), (false, (3, 1)), (false, (0, 0))] {
            let answer = app.caller().import_directory_as(&records, Existing::Overwrite, check).await.expect("imported");
            assert_eq!((answer.created_owners, answer.created_classifications), expected, "{answer:?}");
            assert_eq!(answer.failed, 1);
        }
        let answer = app.caller().import_directory_as(&refused, Existing::Overwrite, false).await.expect("imported");
        assert_eq!(verdicts(&answer)[..4], ["UNCHANGED"; 4]);
    }

    /// An owner that is named by its name alone is the only account with this name, or a new one. Several accounts with one name
    /// are refused.
    async fn owners_are_named_by_their_names(app) {
        let accounts = [
            json!({"accounts_receivable": {"id": "A1", "number": "ACR1", "name": "Ana Ríos"}}),
            json!({"accounts_receivable": {"number": "ACR2", "name": "Doe"}}),
            json!({"accounts_receivable": {"number": "ACR3", "name": "Doe"}}),
            json!({"classification": {"name": "Gold", "alternative_code": "G"}}),
            json!({"classification": {"name": "Silver", "alternative_code": "S"}}),
            json!({"classification": {"name": "Old silver", "alternative_code": "S"}}),
        ];
        let owned = |code: &str, name: &str| json!({"access_token": {"authentication_code": code, "accounts_receivable": {"name": name}}});
        let classified = |code: &str, other: &str| json!({"access_token": {"authentication_code": code, "classification": {"alternative_code": other}}});
        let long = "n".repeat(150);
        let cards = [
            owned("1", "Ana Ríos"),
            owned("2", "Doe"),
            owned("3", "New One"),
            owned("4", "New One"),
            owned("5", &format!("{long}a")),
            owned("6", &format!("{long}b")),
            classified("7", "G"),
            classified("8", "S"),
            classified("9", "X"),
            json!({"access_token": {"authentication_code": "10", "rewards_participant": {"number": "RP1", "accounts_receivable": {"name": "Ana Ríos"}}}}),
        ];
        let (created, ambiguous) = ("CREATED", "AMBIGUOUS_NAME");
        let missing = "REFERENCE_NOT_FOUND";
        let expected = [created, ambiguous, created, created, created, created, created, ambiguous, missing, created];
        // A check gives the same verdicts as the import, for stored accounts and for accounts of the same records.
        let all: Vec<_> = accounts.iter().chain(&cards).cloned().collect();
        let checked = app.caller().import_directory_as(&all, Existing::Overwrite, true).await.expect("checked");
        assert_eq!(verdicts(&checked)[6..], expected);
        assert_eq!(app.caller().import_directory(&accounts).await.expect("imported").failed, 0);
        let refusing = |record: &Value| {
            let mut record = record.clone();
            record["refuse_unknown_owners"] = json!(true);
            record
        };
        let refused: Vec<_> = cards[..4].iter().map(refusing).collect();
        let answer = app.caller().import_directory_as(&refused, Existing::Overwrite, true).await.expect("checked");
        assert_eq!(verdicts(&answer), [created, ambiguous, missing, missing]);
        for (check, first, owners) in [(true, created, 4), (false, created, 4), (false, "UNCHANGED", 0)] {
            let answer = app.caller().import_directory_as(&cards, Existing::Overwrite, check).await.expect("imported");
            let expected: Vec<_> = expected.iter().map(|one| if *one == created { first } else { one }).collect();
            assert_eq!(verdicts(&answer), expected, "{answer:?}");
            assert_eq!(answer.created_owners, owners);
            assert_eq!(answer.results[1].field_violations[0].field, "accounts_receivable.name");
        }
        let owner = |code: &str| json!({"access_token_identifier": {"authentication_code": code}});
        assert_eq!(app.ok("ShowAccessToken", owner("1")).await["accounts_receivable"]["id"], "A1");
        let new = app.ok("ShowAccessToken", owner("3")).await["accounts_receivable"].clone();
        assert_eq!((&new["name"], &new["number"]), (&json!("New One"), &Value::Null));
        assert_eq!(app.ok("ShowAccessToken", owner("4")).await["accounts_receivable"]["id"], new["id"]);
        assert_eq!(app.ok("ShowAccessToken", owner("7")).await["classification"]["name"], "Gold");
        let listed = app.ok("ListAccessTokens", json!({"accounts_receivable_identifier": {"name": "New One"}})).await;
        assert_eq!(listed["access_tokens"].as_array().map(Vec::len), Some(2), "{listed}");
        // An old file finds a renamed account and does not restore its old name.
        let renamed = json!({"accounts_receivable": {"id": new["id"], "name": "Renamed"}});
        let answer = app.caller().import_directory(&[renamed, owned("3", "New One"), owned("11", "New One")]).await.expect("imported");
        assert_eq!(verdicts(&answer), ["UPDATED", "UNCHANGED", "CREATED"], "{answer:?}");
        assert_eq!(app.ok("ShowAccessToken", owner("11")).await["accounts_receivable"]["name"], "Renamed");
        let only = app.caller().import_directory_as(&[owned("1", "Nobody")], Existing::UpdateOnly, false).await.expect("an answer");
        assert_eq!(verdicts(&only), [missing]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_names_lines_and_counts_owners() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    add_organisation(&place);
    let file = |name: &str, lines: &[Value]| {
        let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
        std::fs::write(directory.path().join(name), lines.join("\n")).expect("written");
    };
    let owned = |code: &str, owner: &str| json!({"access_token": {"authentication_code": code, "accounts_receivable": {"number": owner}, "classification": {"name": "Gold"}}});
    let answer = json!({"status": {"code": "OK"}, "data": [
        {"authentication_code": "5", "life_cycle_state": null},
        {"authentication_code": "6", "life_cycle_state": null},
        {"authentication_code": "5", "life_cycle_state": null},
    ]});
    file("cards.ndjson", &[owned("1", "ACR1"), owned("2", "ACR2"), owned("1", "ACR2"), answer]);
    let refused = place.run(&["import", "--owners", "existing", "--classifications", "existing", "cards.ndjson"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("REFERENCE_NOT_FOUND access_token.accounts_receivable"), "{}", text(&refused));
    let imported = place.run(&["import", "cards.ndjson"]);
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(1), "{said}");
    assert!(said.contains("cards.ndjson:3: AUTHENTICATION_CODE_ALREADY_EXISTS access_token.authentication_code: is that of line 1 already"), "{said}");
    assert!(
        said.contains("cards.ndjson:4: record 3: ") && said.contains("is that of line 4, record 1 already"),
        "{said}"
    );
    assert!(said.contains("created because records refer to them: 2 accounts receivable, 1 classifications"), "{said}");
    // In another file the same code is the same token.
    file("update.ndjson", &[json!({"access_token": {"authentication_code": "1", "udf_string_1": "x"}}), card("9")]);
    let updated = place.run(&["import", "--update-only", "update.ndjson"]);
    let said = text(&updated);
    assert!(said.contains("0 created, 1 updated, 0 unchanged, 1 failed"), "{said}");
    assert!(said.contains("update.ndjson:2: ACCESS_TOKEN_NOT_FOUND access_token.authentication_code"), "{said}");
    let both = place.run(&["import", "--update-only", "--existing", "overwrite", "update.ndjson"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both));
}
