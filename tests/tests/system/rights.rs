//! No import gives a permission that its caller does not have: every set of permissions against every kind of record.

use access_tokens_domain::directory::{Organisation, User};
use access_tokens_domain::session::{Permission, Permissions};
use access_tokens_domain::store::{AccountStore, Credential, Store};
use access_tokens_proto::v1::record_result::Outcome;
use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

use crate::on_both_databases;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
const OTHER_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q";

/// Permissions for a change of the user `strong`, which has all six.
const ALL: &str =
    "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets,directory.write,admin";
/// Permissions for a change of the user `weak`: those of an administrator with its permissions.
const WEAK: &str = "admin,access_tokens.read";

/// The interface by which a record is imported. Over gRPC an embedded user has only some of its members.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Grpc,
    Importer,
}

/// A record, the permissions that it needs besides `directory.write` (`None`: it is always refused), and its interface.
type Attack = (Value, Option<&'static str>, Way);

/// Returns the objects that attacks change, in their initial state. `n` distinguishes the objects of each attack.
fn baseline(n: &str) -> String {
    let all: Vec<&str> = ALL.split(',').collect();
    [
        json!({"organisation": {"number_prefix": "AT", "legacy_compatibility": true, "definition": {"otp_length": 6}}}),
        json!({"unit": {"id": "D", "name": "Unit"}}),
        json!({"user": {"id": "S", "username": "strong", "password_hash": HASH, "permissions": all, "default_unit": {"id": "D"}}}),
        json!({"user": {"id": "W", "username": "weak", "password_hash": HASH, "permissions": ["access_tokens.read"], "default_unit": {"id": "D"}}}),
        json!({"user": {"id": format!("P{n}"), "username": format!("plain{n}")}}),
        json!({"classification": {"id": "C", "name": "Card", "policy": {"otp_length": 7}}}),
        json!({"classification": {"id": "B", "name": "Bare"}}),
    ]
    .map(|record| record.to_string())
    .join("\n")
}

/// Returns users of records: the object, the permissions that it needs as a record, and those that it needs embedded in a token.
fn users(n: &str) -> Vec<(Value, &'static str, Option<&'static str>)> {
    let (plain, fresh) = (format!("P{n}"), format!("N{n}"));
    let unit = json!({"id": format!("D{n}"), "name": "New unit"});
    vec![
        (json!({"id": "S", "username": format!("taken{n}")}), ALL, Some("")),
        (json!({"id": "S", "username": "strong", "email": format!("{n}@example.com")}), "admin", Some("")),
        (json!({"username": "strong", "person_name": format!("Strong {n}")}), "admin", Some("")),
        (json!({"id": "S", "username": "strong"}), "", Some("")),
        (json!({"id": "W", "username": format!("taken{n}")}), WEAK, Some("")),
        (json!({"id": plain, "username": format!("taken{n}")}), "", Some("")),
        (json!({"id": fresh, "username": format!("new{n}")}), "", Some("")),
        (json!({"username": "weak", "person_name": format!("Weak {n}")}), "", Some("")),
        (json!({"id": "S", "password_hash": OTHER_HASH}), ALL, Some(ALL)),
        // The outcome does not tell whether a hash is the stored one.
        (json!({"id": "S", "password_hash": HASH}), ALL, Some(ALL)),
        (json!({"id": "W", "password_hash": OTHER_HASH}), WEAK, Some(WEAK)),
        (json!({"username": "weak", "password_hash": OTHER_HASH}), WEAK, Some(WEAK)),
        (json!({"id": plain, "password_hash": HASH}), "admin", Some("admin")),
        (json!({"id": fresh, "username": format!("new{n}"), "password_hash": HASH}), "admin", Some("admin")),
        (json!({"id": "S", "permissions": []}), ALL, Some(ALL)),
        (json!({"id": "W", "permissions": ["access_tokens.read", "admin"]}), WEAK, Some(WEAK)),
        (
            json!({"id": "W", "permissions": ["access_tokens.lookup"]}),
            "admin,access_tokens.read,access_tokens.lookup",
            Some("admin,access_tokens.read,access_tokens.lookup"),
        ),
        (
            json!({"id": plain, "permissions": ["access_tokens.secrets"]}),
            "admin,access_tokens.secrets",
            Some("admin,access_tokens.secrets"),
        ),
        (json!({"id": fresh, "permissions": ["admin"], "password_hash": HASH}), "admin", Some("admin")),
        (json!({"id": "W", "default_unit": unit}), WEAK, Some(WEAK)),
        (json!({"id": "W", "default_unit": {"id": "D"}}), "", Some("")),
        (json!({"id": plain, "default_unit": unit}), "", Some("")),
        (json!({"id": fresh, "username": format!("new{n}"), "default_unit": {"id": "D"}}), "", Some("")),
    ]
}

/// Returns a token with a new account and a user in one of the places where tokens have users.
fn token(n: &str, place: usize, user: &Value) -> Value {
    let mut token = json!({
        "id": format!("T{n}"), "number": format!("X{n}"), "authentication_code": format!("code {n}"),
        "accounts_receivable": {"id": format!("A{n}"), "number": format!("ACR{n}")},
        "log_information": {"created_by_unit": {"id": format!("D{n}"), "name": "Unit of a token"}},
    });
    match place {
        0 => token["verified_by_user"] = user.clone(),
        1 => token["log_information"]["created_by_user"] = user.clone(),
        _ => token["log_information"]["updated_by_user"] = user.clone(),
    }
    json!({ "access_token": token })
}

fn attacks(n: &str) -> Vec<Attack> {
    let mut found: Vec<Attack> = Vec::new();
    for (at, (user, alone, embedded)) in users(n).into_iter().enumerate() {
        let guarded = ["password_hash", "permissions", "default_unit"].iter().any(|name| user.get(*name).is_some());
        let way = if guarded { Way::Importer } else { Way::Grpc };
        found.push((token(n, at % 3, &user), embedded, way));
        // Over gRPC an empty list is the same as no list.
        let way = if user["permissions"] == json!([]) { Way::Importer } else { Way::Grpc };
        found.push((json!({ "user": user }), Some(alone), way));
    }
    let weak = |value: Value| json!({"user": {"id": "W", "password": value}});
    found.push((weak(json!("another password")), Some(WEAK), Way::Grpc));
    // A user with a password has a name to log in with.
    found.push((json!({"user": {"id": "S", "username": null}}), None, Way::Importer));
    found.push((json!({"user": {"id": "W", "permissions": null}}), Some(WEAK), Way::Importer));
    for (settings, needs) in [
        (json!({"definition": {"otp_length": 8}}), Some("admin")),
        (json!({"number_prefix": "XY"}), Some("admin")),
        (json!({"legacy_compatibility": false}), Some("admin")),
        (
            json!({"name": "DEMO", "number_prefix": "AT", "legacy_compatibility": true, "definition": {"otp_length": 6}}),
            Some(""),
        ),
        (json!({"name": "Free"}), None),
        (json!({"name": "OTHER"}), None),
        (json!({"id": "FREE", "name": "DEMO"}), None),
        (json!({"id": "ID OF OTHER"}), None),
        (json!({"id": "ID OF DEMO", "name": "Free"}), None),
    ] {
        found.push((json!({ "organisation": settings }), needs, Way::Grpc));
    }
    for (classification, needs) in [
        (json!({"id": "C", "policy": {"otp_length": 8}}), "admin"),
        (json!({"name": "Card", "policy": {"otp_length": 8}}), "admin"),
        (json!({"id": "C", "name": "Card", "policy": {"otp_length": 7}}), ""),
        (json!({"id": "B", "policy": {"otp_length": 6}}), "admin"),
        (json!({"id": format!("K{n}"), "name": format!("New {n}"), "policy": {"otp_length": 6}}), "admin"),
        (json!({"id": format!("K{n}"), "name": format!("New {n}")}), ""),
    ] {
        found.push((json!({ "classification": classification }), Some(needs), Way::Grpc));
        let mut embedded = token(n, 0, &json!({"id": "S"}));
        embedded["access_token"]["classification"] = classification;
        found.push((embedded, Some(needs), Way::Importer));
    }
    found.push((json!({"classification": {"id": "C", "policy": null}}), Some("admin"), Way::Importer));
    for record in [
        json!({"unit": {"id": format!("U{n}"), "business_unit": {"id": format!("BU{n}"), "name": "New"}}}),
        json!({"business_unit": {"id": format!("BU{n}"), "name": "New"}}),
        json!({"country": {"id": format!("CY{n}"), "name": "New"}}),
        json!({"industry": {"id": format!("I{n}"), "name": "New"}}),
        json!({"industry_sector": {"id": format!("IS{n}"), "name": "New"}}),
        json!({"contact_information": {"id": format!("CI{n}"), "name": "New"}}),
        json!({"accounts_receivable": {"id": format!("A{n}"), "number": format!("ACR{n}")}}),
        json!({"rewards_participant": {"id": format!("R{n}"), "accounts_receivable": {"id": format!("A{n}"), "number": format!("ACR{n}")}}}),
    ] {
        found.push((record, Some(""), Way::Grpc));
    }
    found
}

/// Everything that determines a permission, and whether anything else of the directory changed.
#[derive(Debug, Clone, PartialEq)]
struct State {
    version: i64,
    organisation: Organisation,
    policies: Vec<(String, Option<access_tokens_domain::policy::Policy>)>,
    users: Vec<(String, Option<User>, Option<Credential>)>,
    token: Option<Value>,
}

async fn state(app: &TestApp, n: &str) -> State {
    let key = app.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO is never renamed").key;
    let reference = app.database.reference(key).await.expect("a store");
    let mut users = Vec::new();
    for id in ["S".to_owned(), "W".to_owned(), format!("P{n}"), format!("N{n}"), "tester".to_owned()] {
        let credential = app.database.credential(key, &id).await.expect("a store");
        users.push((id.clone(), reference.users.get(&id).cloned(), credential));
    }
    let mut policies: Vec<_> =
        reference.classifications.values().map(|one| (one.id.clone(), one.policy.clone())).collect();
    policies.sort_by(|a, b| a.0.cmp(&b.0));
    let token = app.try_call("ShowAccessToken", json!({"access_token_identifier": {"id": format!("T{n}")}})).await.ok();
    State { version: reference.version, organisation: reference.organisation.clone(), policies, users, token }
}

/// Checks the rules, for a caller with these permissions.
fn check(before: &State, after: &State, rights: Permissions, what: &str) {
    let admin = rights.contains(Permission::Admin);
    let held = |credential: &Option<Credential>| credential.as_ref().map(|one| one.permissions).unwrap_or_default();
    let password = |credential: &Option<Credential>| credential.as_ref().and_then(|one| one.password.clone());
    let name = |user: &Option<User>| user.as_ref().and_then(|user| user.username.clone());
    let person = |user: &Option<User>| user.as_ref().map(|user| (user.person_name.clone(), user.email.clone()));
    for ((id, user, credential), (_, new_user, new_credential)) in before.users.iter().zip(&after.users) {
        let gained = held(new_credential).without(held(credential)).without(rights);
        assert!(gained.is_empty(), "{id} gained {gained}: {what}");
        if password(credential) != password(new_credential) {
            let beyond = held(credential).without(rights);
            assert!(admin && beyond.is_empty(), "the password of {id}, who may {beyond}: {what}");
            assert!(held(new_credential).without(rights).is_empty(), "{id}: {what}");
        }
        let administrates = held(credential).contains(Permission::Admin);
        assert!(admin || !administrates || person(user) == person(new_user), "the person of {id}: {what}");
        let renamed = name(user) != name(new_user) && (credential.is_some() || new_credential.is_some());
        let changed = credential != new_credential || renamed;
        assert!(!changed || admin, "{id} changed: {what}");
        assert!(!renamed || held(credential).without(rights).is_empty(), "{id} has another name: {what}");
    }
    let (old, new) = (&before.organisation, &after.organisation);
    assert_eq!((&old.id, &old.name), (&new.id, &new.name), "{what}");
    assert!(admin || old == new, "settings: {what}");
    let policy =
        |state: &State, id: &str| state.policies.iter().find(|(one, _)| one == id).and_then(|(_, p)| p.clone());
    for (id, _) in &after.policies {
        assert!(admin || policy(before, id) == policy(after, id), "the policy of {id}: {what}");
    }
}

fn sets() -> impl Iterator<Item = Permissions> {
    (0..64_u8).map(|bits| {
        Permission::ALL.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, p)| p).collect()
    })
}

/// Imports one record as a caller with these permissions. Returns whether it was accepted.
async fn goes_in(app: &TestApp, key: &str, rights: Permissions, record: &Value, way: Way) -> bool {
    match way {
        Way::Importer => app.import_with(rights, "DEMO", &record.to_string()).await[0].is_ok(),
        Way::Grpc => {
            let answer = app.with_api_key(key).import_directory(std::slice::from_ref(record)).await.expect("an answer");
            answer.results[0].outcome() != Outcome::Failed
        }
    }
}

on_both_databases! {
    async fn no_import_gives_a_right_that_its_caller_does_not_hold(app) {
        app.import("OTHER", r#"{"unit": {"id": "1"}}"#).await;
        app.import("DEMO", r#"{"organisation": {"definition": {"otp_length": 6}}}"#).await;
        for (set, rights) in sets().enumerate() {
            let key = app.add_api_key(&format!("caller{set}"), &rights.to_string()).await;
            let importer = rights.contains(Permission::DirectoryWrite);
            let count = attacks("").len();
            let mut changed = true;
            for at in 0..count {
                let n = format!("-{set}-{at}");
                let (record, needs, way) = attacks(&n).swap_remove(at);
                let what = format!("{record} by {rights}");
                if !importer {
                    // The call is refused before any record is read, so one record is enough.
                    if at == 0 {
                        let refusal = app.with_api_key(&key).import_directory(&[record]).await.expect_err("refused");
                        assert_eq!(refusal.reason, "PERMISSION_DENIED", "{what}");
                    }
                    continue;
                }
                if changed || record.to_string().contains(&format!("P{n}")) {
                    app.import("DEMO", &baseline(&n)).await;
                }
                let before = state(&app, &n).await;
                let went_in = goes_in(&app, &key, rights, &record, way).await;
                let after = state(&app, &n).await;
                check(&before, &after, rights, &what);
                let needed = needs.map(|list| Permissions::parse(list).expect("permissions"));
                let expected = needed.is_some_and(|needed| needed.without(rights).is_empty());
                assert_eq!(went_in, expected, "{what}");
                changed = went_in;
                if !went_in {
                    assert_eq!(before, after, "something of a refused record is left: {what}");
                    let account = json!({"accounts_receivable_identifier": {"id": format!("A{n}")}});
                    app.refused("ListAccessTokens", account, "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
                }
            }
        }
    }

    async fn a_created_credential_may_what_its_creator_may(app) {
        for (set, rights) in sets().enumerate().filter(|(_, rights)| rights.contains(Permission::DirectoryWrite)) {
            let record = json!({"user": {"id": format!("U{set}"), "password_hash": HASH, "default_unit": {"id": "test-unit"}}});
            let results = app.import_with(rights, "DEMO", &record.to_string()).await;
            let key = app.direct_caller("").await.organisation;
            let credential = app.database.credential(key, &format!("U{set}")).await.expect("a store");
            if rights.contains(Permission::Admin) {
                let expected = rights.intersection(Permissions::of_an_imported_user());
                assert_eq!(credential.expect("a credential").permissions, expected, "{rights}");
            } else {
                assert!(results[0].is_err() && credential.is_none(), "{rights}");
            }
        }
    }

    async fn a_record_that_names_another_organisation_does_not_tell_whether_it_exists(app) {
        app.import("OTHER", r#"{"unit": {"id": "1"}}"#).await;
        let admin = app.client("DEMO", "directory.write,admin").await;
        for (existing, free) in [
            (json!({"name": "OTHER"}), json!({"name": "NOWHERE"})),
            (json!({"id": "ID OF OTHER"}), json!({"id": "ID OF NOWHERE"})),
            (json!({"id": "ID OF DEMO", "name": "OTHER"}), json!({"id": "ID OF DEMO", "name": "Demo"})),
        ] {
            let records = [existing, free].map(|organisation| json!({ "organisation": organisation }));
            let answer = admin.import_directory(&records).await.expect("an answer");
            let said = |at: usize| {
                let result = &answer.results[at];
                assert_eq!(result.outcome(), Outcome::Failed);
                (result.reason(), result.message.clone(), result.field_violations.clone())
            };
            assert_eq!(said(0), said(1));
        }
        app.login("DEMO", "tester", "correct horse", None).await.expect("the organisation has kept its name");
    }

    async fn a_captured_answer_with_old_user_names_still_goes_in(app) {
        app.import("DEMO", r#"{"user": {"id": "1", "username": "anna", "password": "correct horse"}}"#).await;
        let user = |name: &str| json!({"id": "1", "username": name, "person_name": "Anna"});
        let token = json!({"id": "T", "number": "AT1", "authentication_code": "7", "verified_by_user": user("ann"),
            "log_information": {"created_by_user": user("Anna B."), "updated_by_user": user("admin")}});
        let writer = app.client("DEMO", "directory.write").await;
        let answer = writer.import_directory(&[json!({ "access_token": token })]).await.expect("an answer");
        assert_eq!(answer.created, 1, "{:?}", answer.results);
        app.import("DEMO", &json!({ "access_token": token }).to_string()).await;
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        assert_eq!(shown["verified_by_user"]["username"], "anna");
        app.login("DEMO", "anna", "correct horse", None).await.expect("under the name that it has");
    }

    async fn an_import_refuses_unknown_permissions(app) {
        for list in [json!(["history.read"]), json!(["access_tokens.read", "Admin"]), json!(["access_tokens.read,x"]), json!("admin")] {
            let record = json!({"user": {"id": "W", "permissions": list}});
            let results = app.import_results("DEMO", &record.to_string()).await;
            assert_eq!(results[0].as_ref().expect_err("refused").fields(), ["user.permissions"], "{record}");
        }
    }
}
