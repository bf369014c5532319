//! No import removes the last administrator of an organisation.

use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_testapp::{Refusal, TestApp};
use serde_json::{Value, json};

use crate::on_both_databases;

/// Creates an organisation with one administrator, `anna`, and a user, `bob`.
async fn organisation(app: &TestApp, name: &str) {
    let records = [user("anna", &["admin", "directory.write"]), user("bob", &["access_tokens.read"])];
    app.import(name, &lines(&records)).await;
}

fn user(name: &str, permissions: &[&str]) -> Value {
    json!({"user": {"id": name, "username": name, "password": "correct horse", "permissions": permissions}})
}

fn lines(records: &[Value]) -> String {
    records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

async fn one(app: &TestApp, name: &str, record: Value) -> Option<(String, String)> {
    let refusal = app.import_results(name, &record.to_string()).await.remove(0).err()?;
    Some((refusal.reason.clone(), refusal.fields().join(",")))
}

fn last_admin(field: &str) -> Option<(String, String)> {
    Some(("LAST_ADMIN".to_owned(), field.to_owned()))
}

on_both_databases! {
    async fn an_import_leaves_an_administrator(app) {
        organisation(&app, "ACME").await;
        for permissions in [json!([]), json!(null), json!(["access_tokens.read", "directory.write"])] {
            let record = json!({"user": {"id": "anna", "permissions": permissions}});
            assert_eq!(one(&app, "ACME", record).await, last_admin("user.permissions"), "{permissions}");
            let by_name = json!({"user": {"username": "anna", "permissions": permissions}});
            assert_eq!(one(&app, "ACME", by_name).await, last_admin("user.permissions"), "{permissions}");
            let embedded = json!({"access_token": {"number": "1", "verified_by_user": {"id": "anna", "permissions": permissions}}});
            assert_eq!(one(&app, "ACME", embedded).await, last_admin("access_token.verified_by_user.permissions"), "{permissions}");
        }
        let nameless = json!({"user": {"id": "anna", "username": null}});
        assert_eq!(one(&app, "ACME", nameless).await, Some(("INVALID_FIELD_VALUE".to_owned(), "user.username".to_owned())));
        // Her other permissions may change.
        assert_eq!(one(&app, "ACME", json!({"user": {"id": "anna", "permissions": ["admin"]}})).await, None);
        // An administrator without a password does not count, nor does a disabled one.
        app.import("ACME", &json!({"user": {"id": "carol", "username": "carol", "permissions": ["admin"]}}).to_string()).await;
        assert_eq!(one(&app, "ACME", json!({"user": {"id": "anna", "permissions": []}})).await, last_admin("user.permissions"));
        assert_eq!(one(&app, "ACME", json!({"user": {"id": "carol", "permissions": []}})).await, None);
        let in_one_record = json!({"access_token": {"number": "1", "verified_by_user": {"id": "anna", "permissions": []}, "log_information": {"created_by_user": {"id": "bob", "permissions": []}}}});
        assert_eq!(one(&app, "ACME", in_one_record).await, last_admin("access_token.verified_by_user.permissions"));
    }

    async fn the_permission_is_handed_over_in_one_file(app) {
        organisation(&app, "ACME").await;
        let (strip, give) = (user("anna", &["access_tokens.read"]), user("bob", &["admin"]));
        let refused: Vec<_> = app.import_results("ACME", &lines(&[strip.clone(), give.clone(), strip.clone()])).await;
        let reasons: Vec<_> = refused.iter().map(|one| one.as_ref().err().map(|refusal| refusal.reason.as_str())).collect();
        assert_eq!(reasons, [Some("LAST_ADMIN"), None, None]);
        assert_eq!(one(&app, "ACME", user("bob", &[])).await, last_admin("user.permissions"));
        // Two administrators in one record.
        app.import("ACME", &user("anna", &["admin"]).to_string()).await;
        let both = json!({"access_token": {"number": "1", "verified_by_user": {"id": "anna", "permissions": []}, "log_information": {"created_by_user": {"id": "bob", "permissions": []}}}});
        assert_eq!(one(&app, "ACME", both).await.map(|(reason, _)| reason).as_deref(), Some("LAST_ADMIN"));
    }

    /// Over gRPC, by an administrator; a check gives the same result.
    async fn an_administrator_keeps_the_permission_that_it_would_take_from_itself(app) {
        let me = json!({"user": {"id": "tester", "permissions": ["access_tokens.read"]}});
        for check in [true, false] {
            let answer = app.caller().import_directory_as(std::slice::from_ref(&me), Existing::Overwrite, check).await.expect("an answer");
            let result = &answer.results[0];
            assert_eq!((result.reason().as_str_name(), result.field_violations[0].field.as_str()), ("LAST_ADMIN", "permissions"));
        }
        // A check remembers the permissions that it would have given and removed.
        let other = user("other", &["admin"]);
        let records = [other.clone(), me.clone(), json!({"user": {"id": "other", "permissions": ["access_tokens.read"]}})];
        for check in [true, false] {
            let answer = app.caller().import_directory_as(&records, Existing::Overwrite, check).await.expect("an answer");
            let reasons: Vec<_> = answer.results.iter().map(|one| one.reason().as_str_name()).collect();
            assert_eq!(reasons, ["ERROR_REASON_UNSPECIFIED", "ERROR_REASON_UNSPECIFIED", "LAST_ADMIN"], "check {check}");
        }
    }

    /// Two callers remove the permission from two administrators concurrently.
    async fn of_two_administrators_that_are_stripped_at_once_one_remains(app) {
        organisation(&app, "ACME").await;
        let other = app.second_replica().await;
        for round in 0..25 {
            app.import("ACME", &lines(&[user("anna", &["admin"]), user("bob", &["admin"])])).await;
            let strip = |name: &str| json!({"user": {"id": name, "permissions": ["access_tokens.read"]}}).to_string();
            let (anna, bob) = (strip("anna"), strip("bob"));
            let (one, two) = tokio::join!(app.import_results("ACME", &anna), other.import_results("ACME", &bob));
            let refused: Vec<&Refusal> = one.iter().chain(&two).filter_map(|result| result.as_ref().err()).collect();
            assert_eq!(refused.len(), 1, "round {round}");
            assert_eq!(refused[0].reason, "LAST_ADMIN");
        }
    }
}
