//! Imports over the directory RPC, into real databases.

use access_tokens_domain::import;
use access_tokens_domain::service::import::Run;
use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_proto::v1::record_result::Outcome;
use access_tokens_proto::v1::{ErrorReason, RecordResult};
use access_tokens_testapp::TestApp;
use access_tokens_testkit::random::Rng;
use serde_json::{Value, json};

use crate::on_both_databases;

on_both_databases! {
    async fn a_bad_record_is_reported_and_the_rest_goes_in(app) {
        let lines = [
            r#"{"accounts_receivable": {"id": "A", "number": "ACR1", "account_owner": {"id": "C", "type": "COMPANY", "company_name": "Museum", "company_profile": {"number_of_employees": 30, "registered_in_country": {"id": "181", "name": "CYPRUS"}}}}}"#,
            r#"{"access_token": {"id": "T1", "number": "AT1", "authentication_code": "7", "accounts_receivable": {"id": "A"}}}"#,
            r#"{"access_token": {"id": "T2", "number": "AT2", "authentication_code": "7", "accounts_receivable": {"id": "B", "number": "ACR2"}}}"#,
            r#"{"access_token": {"id": "T3", "number": "AT3", "accounts_receivable": {"id": "missing"}}}"#,
            r#"{"unit": {"id": "U", "nmae": "x"}}"#,
            r#"{"access_token": {"id": "T4", "number": "AT4", "authentication_code": "8"}}"#,
        ];
        let results = app.import_results("DEMO", &lines.join("\n")).await;
        let failed: Vec<_> = results.iter().enumerate().filter_map(|(i, r)| r.as_ref().err().map(|e| (i, e.reason.clone(), e.fields().join(",")))).collect();
        assert_eq!(
            failed,
            [
                (2, "AUTHENTICATION_CODE_ALREADY_EXISTS".to_owned(), "access_token.authentication_code".to_owned()),
                (3, "REFERENCE_NOT_FOUND".to_owned(), "access_token.accounts_receivable".to_owned()),
                (4, "UNKNOWN_FIELD".to_owned(), "unit.nmae".to_owned()),
            ]
        );
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T1"}})).await;
        let profile = &shown["accounts_receivable"]["account_owner"]["company_profile"];
        assert_eq!((&profile["number_of_employees"], &profile["registered_in_country"]["name"]), (&json!(30), &json!("CYPRUS")));
        app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T4"}})).await;
        app.refused("ListAccessTokens", json!({"accounts_receivable_identifier": {"id": "B"}}), "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
    }

    async fn what_changes_is_seen_by_the_next_call(app) {
        app.import("DEMO", r#"{"access_token": {"id": "T", "number": "AT1", "classification": {"id": "C", "name": "before"}}}"#).await;
        let show = json!({"access_token_identifier": {"id": "T"}});
        assert_eq!(app.ok("ShowAccessToken", show.clone()).await["classification"]["name"], "before");
        for name in ["one", "two", "three"] {
            app.import("DEMO", &json!({"classification": {"id": "C", "name": name}}).to_string()).await;
            assert_eq!(app.ok("ShowAccessToken", show.clone()).await["classification"]["name"], name);
        }
    }

    async fn every_documented_field_survives(app) {
        let country = json!({"id": "181", "name": "CYPRUS", "alternative_code": "CYP", "dialing_code": "+357", "two_character_code": "CY", "three_character_code": "CYP", "country_flag": {"id": "F", "file": {"file_name": "cy.png", "file_content_url": "https://example.com/cy.png", "file_mime_type": "image/png"}}});
        let industry = json!({"id": "I", "name": "Marketing", "code": "MK"});
        let sector = json!({"id": "S", "name": "Sector", "alternative_code": "SC"});
        let person = json!({
            "id": "C", "type": "PERSON", "life_cycle_state": "FINANCIAL", "name": "Mercer Ben", "first_name": "Ben", "middle_name": "M", "last_name": "Mercer", "title": "Mr",
            "demographics": {
                "gender": "MALE", "id_number": "1", "id_number_expiration_date": "2030-01-02T00:00:00Z", "passport_number": "2", "passport_number_expiration_date": "2031-01-02T00:00:00Z",
                "social_security_number": "3", "date_of_birth": {"day": 9, "month": 11, "year": 1963}, "name_day": {"day": 14, "month": 6},
                "country_of_residence": country, "id_issued_by_country": country, "passport_issued_by_country": country, "industry": industry, "industry_sector": sector,
            },
        });
        let company = json!({
            "id": "D", "type": "COMPANY", "life_cycle_state": "MARKETING", "company_name": "Museum",
            "company_profile": {
                "profile_year": 2014, "annual_turnover": 1.5, "established_date": "2014-02-05T00:00:00Z", "number_of_employees": 30, "registration_number": "4",
                "vat_registration_number": "5", "vat_registered_by": "6", "vat_registration_date": "2015-02-05T00:00:00Z", "tax_reference_number": "7",
                "registered_in_country": country, "industry": industry, "industry_sector": sector,
            },
        });
        let user = json!({"id": "1", "username": "admin", "person_name": "Admin", "email": "admin@example.com"});
        let unit = json!({"id": "U", "name": "Unit", "group_name": "G", "community_name": "Co", "alternative_code": "AC", "description": "D"});
        let business_unit = json!({"id": "BU", "name": "BU", "code": "c", "unified_code": "uc", "description": "d", "parent_business_unit_name": "p"});
        let token = json!({
            "id": "T", "number": "AT1", "life_cycle_state": "NOT_EFFECTIVE", "authentication_code": "7", "identifier": "login",
            "card_masked_number": "411111******1111", "card_last_4_digits": "1111", "verification_code": "123456", "verified_date": "2016-01-01T00:00:00Z", "verified_by_user": user,
            "udf_string_1": "1", "udf_string_2": "2", "udf_string_3": "3", "udf_string_4": "4", "udf_string_5": "5", "udf_string_6": "6", "udf_string_7": "7", "udf_string_8": "8",
            "udf_float_1": 1.0, "udf_float_2": 2.0, "udf_float_3": 3.0, "udf_float_4": 4.5,
            "udf_date_1": "2016-01-01T00:00:00Z", "udf_date_2": "2016-01-02T00:00:00Z", "udf_date_3": "2016-01-03T00:00:00Z", "udf_date_4": "2016-01-04T00:00:00Z",
            "accounts_receivable": {"id": "A", "number": "ACR1", "name": "Account", "life_cycle_state": "ACTIVE", "account_owner": person},
            "rewards_participant": {"id": "P", "number": "RP1", "life_cycle_state": "EFFECTIVE", "accounts_receivable": {"id": "B", "number": "ACR2", "name": "Other", "life_cycle_state": "SUSPENDED", "account_owner": company}},
            "classification": {"id": "C", "name": "Cards", "alternative_code": "CC"},
            "log_information": {
                "created_date": "2015-01-01T00:00:00Z", "updated_date": "2015-01-02T00:00:00Z", "created_by_user": user, "updated_by_user": user,
                "created_by_unit": unit, "updated_by_unit": unit, "created_by_business_unit": business_unit, "updated_by_business_unit": business_unit,
            },
        });
        app.import("DEMO", &json!({ "access_token": token }).to_string()).await;
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        let found = crate::compare::differences(&token, &shown, &[]);
        assert!(found.is_empty(), "{found:#?}");
    }

    async fn two_imports_at_once_keep_every_record(app) {
        let lines = |side: &str| {
            let lines = (0..200).map(|i| json!({"access_token": {"id": format!("{side}{i}"), "number": format!("{side}{i}"), "accounts_receivable": {"id": format!("A{i}"), "number": format!("ACR{i}"), "name": "shared"}}}).to_string());
            lines.collect::<Vec<_>>().join("\n")
        };
        let (x, y) = (lines("X"), lines("Y"));
        let (one, two) = tokio::join!(app.import_results("DEMO", &x), app.import_results("DEMO", &y));
        assert!(one.iter().chain(&two).all(Result::is_ok));
        for i in [0, 57, 199] {
            let list = app.ok("ListAccessTokens", json!({"accounts_receivable_identifier": {"id": format!("A{i}")}, "fields_set": "id"})).await;
            assert_eq!(list["access_tokens"], json!([{"id": format!("X{i}")}, {"id": format!("Y{i}")}]));
        }
    }

    async fn an_import_and_creations_at_once_lose_nothing(app) {
        let lines: Vec<_> = (0..300).map(|i| json!({"access_token": {"id": format!("T{i}"), "number": format!("AT{i:010}"), "authentication_code": format!("code {i}")}}).to_string()).collect();
        let text = lines.join("\n");
        let creations = async {
            let mut created = Vec::new();
            for _ in 0..100 {
                created.push(app.ok("CreateAccessToken", json!({"fields_set": "id,number"})).await);
            }
            created
        };
        let (results, created) = tokio::join!(app.import_results("DEMO", &text), creations);
        let refused: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
        // A concurrent creation may have taken a number first; only that record is refused, for that reason.
        assert!(refused.iter().all(|refusal| refusal.reason == "NUMBER_ALREADY_EXISTS"), "{refused:?}");
        for token in created {
            app.ok("ShowAccessToken", json!({"access_token_identifier": {"number": token["number"]}})).await;
        }
    }
    /// Importing an old file again undoes nothing, and importing an answer of the service changes nothing.
    async fn older_records_and_own_answers_change_nothing(app) {
        let old = json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "me", "pass_code": "first", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "123456", "log_information": {"updated_date": "2015-01-02T00:00:00Z"}}});
        app.import("DEMO", &old.to_string()).await;
        let named = json!({"access_token_identifier": {"id": "T"}});
        app.ok("VerifyAccessToken", json!({"access_token_identifier": {"id": "T"}, "verification_code": "123456", "pass_code": "second"})).await;
        app.ok("SetAsNotEffective", named.clone()).await;
        app.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": "T"}, "authentication_code": "8"})).await;
        let before = app.ok("ShowAccessToken", named.clone()).await;
        let undated = json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "9", "life_cycle_state": "EFFECTIVE"}});
        let cleared = {
            let mut answer = before.clone();
            answer["verification_code"] = json!(null);
            json!({"access_token": answer})
        };
        for record in [old.clone(), undated, json!({"access_token": before.clone()}), cleared] {
            let answer = app.caller().import_directory_as(std::slice::from_ref(&record), Existing::Unspecified, false).await.expect("imported");
            assert_eq!((answer.failed, answer.created, answer.updated), (0, 0, 0), "{record}: {answer:?}");
            assert_eq!(app.ok("ShowAccessToken", named.clone()).await, before, "{record}");
        }
        app.ok("SetAsEffective", named.clone()).await;
        app.ok("CheckPassCode", json!({"access_token_identifier": {"credential": {"identifier": "me", "pass_code": "second"}}})).await;
        let overwritten = app.caller().import_directory_as(&[old], Existing::Overwrite, false).await.expect("imported");
        assert_eq!((overwritten.updated, overwritten.kept), (1, 0));
        assert_eq!(app.ok("ShowAccessToken", named).await["authentication_code"], "7");
    }

    /// The answer of an import never reveals whether the secret of a record is the stored one.
    async fn outcomes_do_not_tell_secrets(app) {
        let token = json!({"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "me", "pass_code": "right", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "123456", "one_time_password": "111111", "expiration_date": "2100-01-01T00:00:00Z"});
        let user = json!({"user": {"id": "U", "username": "u", "password": "right horse", "permissions": []}});
        app.import_results("DEMO", &[json!({ "access_token": token }).to_string(), user.to_string()].join("\n")).await;
        let with = |name: &str, value: &str| json!({"access_token": {"number": "AT1", name: value}});
        for existing in [Existing::Unspecified, Existing::KeepNewer, Existing::Overwrite] {
            for check in [true, true, false] {
                for (name, right, wrong) in [("pass_code", "right", "wrong"), ("verification_code", "123456", "654321"), ("one_time_password", "111111", "222222")] {
                    let mut answers = Vec::new();
                    for value in [right, wrong, right] {
                        answers.push(app.caller().import_directory_as(&[with(name, value)], existing, check).await.expect("imported"));
                    }
                    assert_eq!(answers[0].failed, 0);
                    assert!(answers.iter().all(|answer| *answer == answers[0]), "{name}: {answers:?}");
                }
                let password = |password: &str| json!({"user": {"id": "U", "password": password}});
                let mut answers = Vec::new();
                for value in ["right horse", "wrong horse", "right horse"] {
                    answers.push(app.caller().import_directory_as(&[password(value)], existing, check).await.expect("imported"));
                }
                assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
            }
        }
    }

    /// Swaps and chains of codes, within a batch and across batches, by a check and by an import.
    async fn codes_change_hands_within_one_call(app) {
        let card = |id: usize, code: &str| json!({"access_token": {"id": format!("T{id:04}"), "number": format!("AT{id}"), "authentication_code": code, "identifier": format!("login {code}")}});
        let before: Vec<_> = (0..1_200).map(|id| card(id, &format!("code {id}"))).collect();
        assert_eq!(app.caller().import_directory(&before).await.expect("imported").created, 1_200);
        // The first three exchange their codes with the last three; each token between them takes the code of the next one.
        let code = |id: usize| match id {
            0..3 => id + 1_197,
            1_197..1_200 => id - 1_197,
            3..=1_195 => id + 1,
            _ => 3,
        };
        let mut exchanged: Vec<_> = (0..1_200).map(|id| card(id, &format!("code {}", code(id)))).collect();
        exchanged.push(json!({"access_token": {"id": "X", "number": "ATX", "authentication_code": "code 5"}}));
        exchanged.push(json!({"access_token": {"id": "Y", "number": "ATY", "identifier": "y".repeat(300)}}));
        for check in [true, false] {
            let answer = app.caller().import_directory_as(&exchanged, Existing::Overwrite, check).await.expect("imported");
            assert_eq!((answer.updated, answer.failed), (1_200, 2), "{:?}", answer.results.iter().find(|one| one.outcome() == Outcome::Failed));
            let reasons: Vec<_> = answer.results[1_200..].iter().map(|one| one.reason()).collect();
            assert_eq!(reasons, [ErrorReason::AuthenticationCodeAlreadyExists, ErrorReason::FieldTooLong]);
        }
        for id in [0, 2, 3, 700, 1_195, 1_196, 1_199] {
            let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": format!("T{id:04}")}})).await;
            assert_eq!(shown["authentication_code"], format!("code {}", code(id)));
        }
    }

    /// After any import, a number that the service draws is free at the first attempt, and has ten digits.
    async fn sequences_begin_above_what_came_in(app) {
        let number = |creation: &str| json!({"creation": creation, "format": "NUMBER"});
        let policy = json!({"organisation": {"number_prefix": "AT", "definition": {"authentication_code": number("AUTO_NUMBER"), "identifier": number("AUTO_NUMBER")}}});
        let cards: Vec<_> = (1..=300).map(|i| json!({"access_token": {"number": format!("CARD{i:010}"), "authentication_code": format!("{i:010}"), "identifier": format!("{:010}", 2 * i)}})).collect();
        let create = json!({"pass_code": "1234", "fields_set": "number,authentication_code,identifier"});
        for policy_first in [true, false] {
            let app = app.another().await;
            let mut records = cards.clone();
            records.insert(if policy_first { 0 } else { 300 }, policy.clone());
            let high = json!({"access_token": {"number": "AT9999999999", "authentication_code": "9999999998", "identifier": "99000000000"}});
            records.push(high);
            for record in records.chunks(100) {
                assert_eq!(app.caller().import_directory(record).await.expect("imported").failed, 0);
            }
            let made = app.ok("CreateAccessToken", create.clone()).await;
            assert_eq!(made, json!({"number": "AT0000000001", "authentication_code": "0000000301", "identifier": "0000000601"}));
            // A prefix that is set after the import.
            app.caller().import_directory(&[json!({"organisation": {"number_prefix": "CARD"}})]).await.expect("imported");
            let numbers = |made: &serde_json::Value| made["number"].as_str().map(str::to_owned).expect("a number");
            for _ in 0..3 {
                let number = numbers(&app.ok("CreateAccessToken", create.clone()).await);
                assert!(number.as_str() > "CARD0000000300" && number.len() == 14, "{number}");
            }
            // The service skips numbers that clients gave.
            for code in 310..400 {
                let given = json!({"authentication_code": format!("{code:010}"), "pass_code": "1234", "fields_set": "number"});
                app.ok("CreateAccessToken", given).await;
            }
            for _ in 0..100 {
                app.ok("CreateAccessToken", create.clone()).await;
            }
            let renewed = app.ok("UpdateAccessToken", json!({"access_token_identifier": {"number": "AT0000000001"}, "update_mask": "authentication_code", "fields_set": "authentication_code"})).await;
            assert_eq!(renewed["authentication_code"].as_str().map(str::len), Some(10));
        }
    }

    /// Files in which tokens and owners occur several times, exchange codes, and contain faults.
    async fn a_check_has_the_verdicts_of_the_import(app) {
        for seed in 1..=4 {
            let random = Rng::new(seed);
            let records: Vec<_> = (0..1_300).map(|_| anything(&random)).collect();
            let existing = if seed % 2 == 0 { Existing::Overwrite } else { Existing::KeepNewer };
            let in_memory = app.caller().import_directory_as(&records, existing, true).await.expect("checked");
            let in_file = checked_in_file(&app, &records, existing).await;
            let imported = app.caller().import_directory_as(&records, existing, false).await.expect("imported");
            let verdict = |one: &RecordResult| (one.outcome(), one.reason(), one.id.clone());
            for (index, done) in imported.results.iter().enumerate() {
                let record = &records[index];
                assert_eq!(verdict(&in_memory.results[index]), verdict(done), "in memory, {index} of {seed}: {record}");
                let (outcome, reason, id) = verdict(done);
                let expected = if outcome == Outcome::Failed { Err(reason.as_str_name().to_owned()) } else { Ok((outcome.as_str_name().to_owned(), id)) };
                assert_eq!(in_file[index], expected, "in a file, {index} of {seed}: {record}");
            }
            let counts = [imported.created, imported.updated, imported.failed];
            assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        }
    }
}

/// Returns a random record about one of few tokens, owners and codes.
fn anything(random: &Rng) -> Value {
    let below = |limit: u64| random.below(limit);
    let account = json!({"number": format!("ACR{}", below(40)), "name": format!("name {}", below(3))});
    match below(12) {
        0 => return json!({"accounts_receivable": account}),
        1 => return json!({"user": {"id": format!("U{}", below(9)), "username": format!("user {}", below(12))}}),
        2 => return json!({"unit": {"id": format!("N{}", below(9)), "name": "x".repeat(2_000)}}),
        _ => {}
    }
    let card = below(300);
    let mut token = json!({"number": format!("AT{card}"), "authentication_code": format!("code {}", below(330))});
    match below(6) {
        0 => token["id"] = json!(format!("T{card}")),
        1 => token["identifier"] = json!(format!("login {}", below(100))),
        2 => token["accounts_receivable"] = account,
        3 => token["accounts_receivable"] = json!({"id": format!("A{}", below(5))}),
        4 => token["log_information"] = json!({"updated_date": format!("202{}-01-01T00:00:00Z", below(9))}),
        _ => {}
    }
    json!({ "access_token": token })
}

/// Checks records as the command does, and returns the outcome and the id of each, or the reason.
async fn checked_in_file(
    app: &TestApp,
    records: &[Value],
    existing: Existing,
) -> Vec<Result<(String, String), String>> {
    let existing = match existing {
        Existing::Overwrite => import::Existing::Overwrite,
        _ => import::Existing::KeepNewer,
    };
    let importer = app.importer();
    let caller = app.direct_caller("directory.write,admin,access_tokens.secrets").await;
    let mut run = Run::long_check(app.database.as_ref(), existing, None).expect("a check");
    let mut results = Vec::new();
    for batch in records.chunks(500) {
        let batch = batch.iter().flat_map(|record| import::from_value(record.clone()).expect("a record")).collect();
        results.extend(importer.batch(&caller, &mut run, batch).await.expect("checked"));
    }
    results.extend(importer.finish(&caller, &mut run).await.expect("checked"));
    results.sort_by_key(|one| one.position);
    let name = |outcome| format!("{outcome:?}").to_uppercase();
    let results = results.into_iter().map(|one| match one.result {
        Ok((outcome, id)) => Ok((name(outcome), id)),
        Err(error) => Err(error.reason().name().to_owned()),
    });
    results.collect()
}
