//! Sessions and permissions: deny by default, and permission before existence.

use access_tokens_domain::session::{Permission, Permissions};
use access_tokens_proto::options::methods;
use serde_json::json;

use crate::on_both_databases;

const TOKEN: &str = r#"{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "123456"}}"#;

/// Returns every method of AccessTokenService, from the contract.
fn all_methods() -> impl Iterator<Item = &'static str> {
    let names = methods().iter().filter_map(|m| m.grpc_path.strip_prefix("/accesstoken.v1.AccessTokenService/"));
    let names: Vec<_> = names.collect();
    assert!(names.len() >= 19, "{names:?}");
    names.into_iter()
}

on_both_databases! {
    async fn every_method_refuses_a_caller_without_its_permission(app) {
        let nobody = app.client("DEMO", "").await;
        for method in all_methods() {
            // The request names no existing token: the permission is checked before existence, and before the request.
            let refusal = nobody.refused(method, json!({}), "PERMISSION_DENIED").await;
            assert_eq!(refusal.code(), tonic::Code::PermissionDenied);
            let declared = methods().iter().find(|m| m.grpc_path.ends_with(&format!("/{method}"))).expect("declared");
            assert_eq!(Some(refusal.metadata("permission")), declared.requirement.as_ref().map(|one| one.name().to_owned()), "{method}");
        }
    }

    async fn every_method_refuses_a_caller_without_a_session(app) {
        for token in ["", "nonsense", "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0."] {
            let stranger = app.with_session(token);
            for method in all_methods() {
                let refusal = stranger.refused(method, json!({}), "INVALID_TOKEN").await;
                assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
            }
        }
    }

    async fn an_identifier_without_pass_code_needs_lookup(app) {
        app.import("DEMO", TOKEN).await;
        let reader = app.client("DEMO", "access_tokens.read").await;
        for identifier in ["login", "nobody"] {
            let request = json!({"access_token_identifier": {"credential": {"identifier": identifier}}});
            let refusal = reader.refused("ShowAccessToken", request, "PERMISSION_DENIED").await;
            assert_eq!(refusal.metadata("permission"), "access_tokens.lookup");
        }
        let lookup = app.client("DEMO", "access_tokens.read,access_tokens.lookup").await;
        lookup.ok("ShowAccessToken", json!({"access_token_identifier": {"credential": {"identifier": "login"}}})).await;
    }

    async fn secrets_are_seen_only_with_their_permission(app) {
        app.import("DEMO", TOKEN).await;
        let show = json!({"access_token_identifier": {"id": "T"}});
        let writer = app.client("DEMO", "access_tokens.read,access_tokens.write").await;
        assert_eq!(writer.ok("ShowAccessToken", show.clone()).await.get("verification_code"), None);
        assert_eq!(app.ok("ShowAccessToken", show).await["verification_code"], "123456");
        for (method, request) in [
            ("ResetVerificationCode", json!({"authentication_code": "7"})),
            ("ResetPassCode", json!({"authentication_code": "7"})),
            ("GenerateOtp", json!({"access_token_identifier": {"id": "T"}})),
        ] {
            writer.refused(method, request, "PERMISSION_DENIED").await;
        }
    }

    async fn a_session_ends_after_two_hours_used_or_not(app) {
        let client = app.client("DEMO", "access_tokens.read").await;
        app.clock.advance(std::time::Duration::from_secs(119 * 60));
        client.ok("ListClassifications", json!({})).await;
        app.clock.advance(std::time::Duration::from_secs(60));
        client.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    }

    async fn a_released_session_is_dead_at_once(app) {
        let client = app.client("DEMO", "access_tokens.read").await;
        client.release().await;
        client.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
        app.ok("ListClassifications", json!({})).await;
    }

    async fn logins_tell_nothing_about_what_was_wrong(app) {
        app.import("DEMO", r#"{"user": {"id": "u", "username": "user", "password": "right-password"}}"#).await;
        app.import("DEMO", r#"{"user": {"id": "v", "username": "no-password"}}"#).await;
        app.login("DEMO", "user", "right-password", None).await.expect("logged in");
        let mut texts = Vec::new();
        for (organisation, username, password) in [
            ("DEMO", "user", "wrong"), ("DEMO", "nobody", "right-password"), ("NONE", "user", "right-password"),
            ("DEMO", "no-password", "x"), ("demo", "user", "right-password"),
        ] {
            let refusal = app.login(organisation, username, password, None).await.expect_err("refused");
            assert_eq!((refusal.reason.as_str(), refusal.code()), ("INVALID_LOGIN", tonic::Code::Unauthenticated));
            texts.push(refusal.text());
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
    }

    async fn a_login_names_its_unit(app) {
        app.import("DEMO", r#"{"unit": {"id": "U9", "name": "Nine", "alternative_code": "nine"}}"#).await;
        let refusal = app.login("DEMO", "tester", "correct horse", Some("none")).await.expect_err("refused");
        assert_eq!(refusal.reason, "UNIT_NOT_FOUND");
        let token = app.login("DEMO", "tester", "correct horse", Some("U9")).await.expect("logged in");
        let created = app.with_session(&token).ok("CreateAccessToken", json!({})).await;
        assert_eq!(created["log_information"]["created_by_unit"]["name"], "Nine");
    }

    async fn an_importer_cannot_become_another_user(app) {
        let writer = Permissions::from_iter([Permission::DirectoryWrite]);
        let lines = r#"
{"user": {"id": "mallory", "username": "mallory"}}
{"user": {"id": "mallory", "permissions": ["admin"]}}
{"user": {"id": "tester", "password": "known to mallory"}}
{"user": {"id": "tester", "password_hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"}}
"#;
        let results = app.import_with(writer, "DEMO", lines).await;
        assert!(results[0].is_ok());
        for (result, field) in results[1..].iter().zip(["user.permissions", "user.password", "user.password_hash"]) {
            let refusal = result.as_ref().expect_err("refused");
            assert_eq!((refusal.reason.as_str(), refusal.fields()), ("PERMISSION_DENIED", vec![field]));
            assert_eq!(refusal.metadata("permission"), "admin");
        }
        app.login("DEMO", "tester", "correct horse", None).await.expect("the password is what it was");
    }

    async fn an_api_key_is_a_caller_of_its_own(app) {
        let key = app.add_api_key("till", "access_tokens.read,access_tokens.write").await;
        let service = app.with_api_key(&key);
        let created = service.ok("CreateAccessToken", json!({})).await;
        assert_eq!(created["log_information"]["created_by_user"]["username"], "till");
        service.refused("GenerateOtp", json!({}), "PERMISSION_DENIED").await;
        let session = app.login_with_api_key(&key).await.expect("logged in");
        app.with_session(&session).ok("ListClassifications", json!({})).await;
        let wrong = format!("{}x", &key[..key.len() - 1]);
        if wrong != key {
            app.with_api_key(&wrong).refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
            assert_eq!(app.login_with_api_key(&wrong).await.expect_err("refused").reason, "INVALID_LOGIN");
        }
    }
}
