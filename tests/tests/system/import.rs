//! Importing over the directory RPC, into real databases.

use serde_json::json;

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
        // A creation may have taken a number first; that record, and only that, is refused for it.
        assert!(refused.iter().all(|refusal| refusal.reason == "NUMBER_ALREADY_EXISTS"), "{refused:?}");
        for token in created {
            app.ok("ShowAccessToken", json!({"access_token_identifier": {"number": token["number"]}})).await;
        }
    }
}
