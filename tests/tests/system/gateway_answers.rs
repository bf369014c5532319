//! Answers over HTTP: exactly the requested fields, in the configured release and time zone.

use access_tokens_gateway::GatewayConfig;
use access_tokens_testapp::{Deployment, TestApp};
use access_tokens_testkit::http::HttpClient;
use serde_json::{Value, json};

use crate::on_both_databases;

const RECORDS: &str = r#"
{"accounts_receivable": {"id": "A", "number": "ACR1", "account_owner": {"id": "O", "type": "COMPANY", "company_name": "Company", "company_profile": {"registration_number": "7"}}}}
{"rewards_participant": {"id": "P", "number": "RP1", "life_cycle_state": "EFFECTIVE", "accounts_receivable": {"id": "A"}}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "card_masked_number": "************4242", "udf_date_1": "2024-07-01T21:30:00", "udf_date_2": "2024-01-01T22:30:00", "rewards_participant": {"id": "P"}, "accounts_receivable": {"id": "A"}}}
"#;

const SHOW: &str = "access_tokens/show";
const UPDATE: &str = "access_tokens/update";

fn wanted(fields: &str) -> Value {
    json!({"access_token_identifier": {"id": "T"}, "fields_set": fields})
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn presenting(app: &TestApp, release: &str) -> HttpClient {
    let release = release.parse().expect("a release");
    app.gateway(Deployment::Separate, GatewayConfig { release, ..Default::default() }).await
}

on_both_databases! {
    async fn fields_set_is_exact_and_nulls_are_shown(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        for (fields, expected) in [
            ("number", json!({"number": "AT1"})),
            (" verified_date , number,number", json!({"number": "AT1", "verified_date": null})),
            ("identifier,udf_float_1,classification,verified_by_user", json!({"identifier": null, "udf_float_1": null, "classification": null, "verified_by_user": null})),
            ("rewards_participant.number,rewards_participant.accounts_receivable.name", json!({"rewards_participant": {"number": "RP1", "accounts_receivable": {"name": null}}})),
            ("classification.name", json!({"classification": null})),
            ("accounts_receivable.account_owner.demographics", json!({"accounts_receivable": {"account_owner": {"demographics": null}}})),
        ] {
            assert_eq!(http.post(SHOW, wanted(fields)).await.data(), expected, "{fields}");
        }
        let all = http.post(SHOW, wanted("")).await.data();
        assert_eq!(all, http.post(SHOW, json!({"access_token_identifier": {"id": "T"}})).await.data());
        assert_eq!(keys(&all).len(), 30);
        let owner = &all["accounts_receivable"]["account_owner"];
        assert_eq!((&owner["demographics"], &owner["company_profile"]["registration_number"]), (&Value::Null, &json!("7")));
        assert!(keys(&all["log_information"]).contains(&"created_by_user"));
        assert_eq!(http.post("access_tokens/generate_otp", wanted("number")).await.data(), json!({"number": "AT1"}));
        let listed = http.get("access_tokens/list", "rewards_participant_identifier=number=RP1&fields_set=identifier").await;
        assert_eq!(listed.data(), json!([{"identifier": null}]));
        let answer = http.get("access_tokens/configuration/classifications/list", "").await;
        assert_eq!(answer.json(), json!({"data": [], "status": {"code": "OK", "description": "", "message": ""}}));
    }

    async fn a_release_has_the_keys_of_its_time(app) {
        app.import("DEMO", RECORDS).await;
        let old = presenting(&app, "R12").await;
        let shown = old.post(SHOW, wanted("")).await.data();
        assert_eq!(shown["reward_participant"]["number"], "RP1");
        assert_eq!(shown["reward_participant"]["life_cycle_state"], "EFFECTIVE");
        for later in ["rewards_participant", "card_masked_number", "card_last_4_digits"] {
            assert!(!keys(&shown).contains(&later), "{later}");
        }
        assert!(!keys(&shown["log_information"]).contains(&"created_by_business_unit"));
        let part = old.post(SHOW, wanted("reward_participant.number,rewards_participant.id")).await.data();
        assert_eq!(part, json!({"reward_participant": {"id": "P", "number": "RP1"}}));
        let refused = old.post(SHOW, wanted("card_masked_number")).await.refused("UNKNOWN_FIELD");
        assert!(refused.contains("R12.0.0") && refused.contains("reward_participant"), "{refused}");

        let last = presenting(&app, "R18.0.0").await;
        let shown = last.post(SHOW, wanted("")).await.data();
        assert_eq!((&shown["card_masked_number"], &shown["card_last_4_digits"]), (&json!("************4242"), &json!("4242")));
        assert_eq!(shown["rewards_participant"]["number"], "RP1");
        assert!(!keys(&shown).contains(&"reward_participant"));
        assert!(keys(&shown["log_information"]).contains(&"created_by_business_unit"));
        last.post(SHOW, wanted("reward_participant")).await.refused("UNKNOWN_FIELD");
    }

    async fn dates_are_in_the_configured_zone_both_ways(app) {
        app.import("DEMO", RECORDS).await;
        for zone in ["Asia/Nicosia", "Europe/Athens"] {
            let config = GatewayConfig { time_zone: zone.parse().expect("a zone"), ..Default::default() };
            let local = app.gateway(Deployment::InProcess, config).await;
            let dates = local.post(SHOW, wanted("udf_date_1,udf_date_2")).await.data();
            assert_eq!(dates, json!({"udf_date_1": "2024-07-02T00:30:00", "udf_date_2": "2024-01-02T00:30:00"}), "{zone}");
            for (given, shown) in [
                ("2024-07-02T00:30:00", "2024-07-02T00:30:00"),
                ("2024-07-01T21:30:00Z", "2024-07-02T00:30:00"),
                ("2024-07-01T23:30:00+02:00", "2024-07-02T00:30:00"),
                ("Fri Nov 27 16:08:55 EET 2015", "2015-11-27T16:08:55"),
            ] {
                let mut request = wanted("udf_date_3");
                request["udf_date_3"] = json!(given);
                assert_eq!(local.post(UPDATE, request).await.data(), json!({"udf_date_3": shown}), "{given}");
            }
            let everywhere = app.http().await.post(SHOW, wanted("udf_date_3")).await.data();
            assert_eq!(everywhere, json!({"udf_date_3": "2015-11-27T14:08:55"}));
            for bad in ["2024-13-01T00:00:00", "yesterday", "2024-02-30T00:00:00", "2024-01-01T00:00:00 EET", ""] {
                let mut request = wanted("");
                request["udf_date_3"] = json!(bad);
                assert!(local.post(UPDATE, request).await.refused("INVALID_FIELD_VALUE").starts_with("udf_date_3: "), "{bad}");
            }
        }
        let stamped = app.http().await.post(SHOW, wanted("log_information.updated_date")).await.data();
        assert_eq!(stamped["log_information"]["updated_date"], "2026-01-15T12:00:00");
    }

    async fn a_list_says_in_a_header_how_it_goes_on(app) {
        let http = app.http().await;
        let account = json!({"accounts_receivable": {"id": "A", "number": "ACR1"}});
        app.import("DEMO", &account.to_string()).await;
        for _ in 0..5 {
            http.post("access_tokens/create", json!({"accounts_receivable_identifier": {"id": "A"}})).await.data();
        }
        let (mut page, mut seen) = (String::new(), Vec::new());
        loop {
            let query = format!("accounts_receivable_identifier=id=A&number_of_results=2&fields_set=id{page}");
            let answer = http.get("access_tokens/list", &query).await;
            seen.extend(answer.data().as_array().expect("a list").iter().map(|token| token["id"].to_string()));
            match answer.header("x-next-page-token") {
                "" => break,
                token => page = format!("&page_token={token}"),
            }
        }
        assert_eq!(seen.len(), 5);
        assert!(seen.is_sorted_by(|a, b| a < b));
        let skipped = http.get("access_tokens/list", "accounts_receivable_identifier=id=A&offset=3&fields_set=id").await.data();
        assert_eq!(skipped.as_array().map(Vec::len), Some(2));
    }

    async fn both_deployments_and_both_mounts_answer_alike(app) {
        app.import("DEMO", RECORDS).await;
        let near = app.gateway(Deployment::InProcess, GatewayConfig::default()).await;
        let far = app.gateway(Deployment::Separate, GatewayConfig::default()).await;
        for (method, request) in [
            (SHOW, wanted("")), (SHOW, json!({"access_token_identifier": {"id": "nobody"}})), (SHOW, json!({})),
            (UPDATE, json!({"access_token_identifier": {"id": "T"}, "udf_string_1": 7, "life_cycle_state": 1})),
        ] {
            let first = near.post(method, request.clone()).await;
            for http in [far.clone(), near.canonical(), far.canonical()] {
                let answer = http.post(method, request.clone()).await;
                assert_eq!((&answer.text, answer.reason()), (&first.text, first.reason()));
            }
        }
        for http in [near, far] {
            let target = http.target(SHOW);
            let headers = [("x-request-id", "of-this-call")];
            for body in [json!({"token": app.session(), "access_token_identifier": {"id": "T"}}), json!({})] {
                let answer = http.send("POST", &target, &headers, &body.to_string()).await;
                assert_eq!(answer.header("x-request-id"), "of-this-call", "{}", answer.text);
            }
        }
    }
}
