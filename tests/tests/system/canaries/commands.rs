//! Commands of operators, valid and invalid, with everything logged.

use std::path::Path;
use std::process::Output;

use access_tokens_testapp::canary::Kind;
use access_tokens_testapp::process::Installation;
use serde_json::{Value, json};

use super::recorder::{Recorder, policy};
use crate::processes::{EVERY_PERMISSION, add_organisation, text};

/// Users that may log in.
pub(super) struct Users {
    /// Name and password of a user with all permissions.
    pub(super) operator: (String, String),
    /// Name and password of a user without access to secrets.
    pub(super) till: (String, String),
    /// The API key of a service.
    pub(super) api_key: String,
}

/// Checks that a command succeeded. Its output may contain personal values, which its operator may see.
fn done(recorder: &Recorder, output: &Output) {
    assert!(output.status.success(), "{}", text(output));
    recorder.answered(&String::from_utf8_lossy(&output.stdout));
    recorder.refused(&String::from_utf8_lossy(&output.stderr));
}

fn failed(recorder: &Recorder, output: &Output) {
    assert!(!output.status.success(), "{}", text(output));
    recorder.refused(&text(output));
}

/// Adds users and a key.
pub(super) fn users(recorder: &Recorder, installation: &Installation) -> Users {
    let canaries = &recorder.canaries;
    add_organisation(installation);
    let add = |username: &str, password: &str, more: &[&str]| {
        let more =
            if more.contains(&"--permissions") { more.to_vec() } else { [more, &["--permissions", "admin"]].concat() };
        let arguments = ["user", "add", "--organisation", "DEMO", "--username", username, "--password-stdin"];
        installation.run_with_input(&[&arguments, more.as_slice()].concat(), password)
    };
    let user = |permissions: &str| {
        let (name, password) = (canaries.personal("user name"), canaries.secret("password"));
        done(recorder, &add(&name, &canaries.secret("password of before"), &[]));
        done(recorder, &add(&name, &password, &["--permissions", permissions]));
        (name, password)
    };
    let operator =
        user("access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets,directory.write,admin");
    let till = user("access_tokens.read,access_tokens.write");
    let new = || canaries.personal("user that is refused");
    failed(recorder, &add(&new(), &canaries.secret("password of nobody"), &["--unit", "nowhere"]));
    failed(recorder, &add(&new(), &canaries.secret("too long password").repeat(200), &[]));
    failed(recorder, &add(&new().repeat(9), &canaries.secret("password of nobody"), &[]));
    failed(recorder, &add(&new(), &canaries.secret("password of nobody"), &["--permissions", "nonsense"]));
    failed(recorder, &add(&new(), "", &[]));
    failed(
        recorder,
        &installation.run(&["user", "add", &format!("--password={}", canaries.secret("password in an argument"))]),
    );

    failed(recorder, &add(&new(), "too short", &[]));
    let permissions = ["--permissions", EVERY_PERMISSION];
    let key = |name: &str| {
        installation.run(&[&["api-key", "add", "--organisation", "DEMO", "--name", name], &permissions[..]].concat())
    };
    let made = key("till");
    assert!(made.status.success(), "{}", text(&made));
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    let api_key = said.split_whitespace().last().expect("a key").to_owned();
    recorder.api_key(&api_key);
    recorder.refused(&String::from_utf8_lossy(&made.stderr));
    failed(recorder, &key(&operator.0));
    Users { operator, till, api_key }
}

/// Imports an organisation with an account, and invalid records among valid ones. Returns the name of the account.
pub(super) fn import(recorder: &Recorder, installation: &Installation, folder: &Path) -> String {
    let canaries = &recorder.canaries;
    let account = canaries.personal("name of an account");
    let lines: Vec<_> = good(recorder, &account).iter().chain(&bad(recorder)).map(Value::to_string).collect();
    let secret = || canaries.secret("secret on a broken line");
    let broken = [
        format!(r#"{{"access_token": {{"id": "B", "pass_code": "{}"#, secret()),
        format!(r#"{{"access_token": {{"id": "B", "pass_code": {}}}}}"#, secret()),
        format!(r#"{{"access_token": {{"pass_code": "a", "pass_code": "{}"}}}}"#, secret()),
        format!("{}\u{7}", secret()),
    ];
    std::fs::write(folder.join("records.ndjson"), [lines, broken.to_vec()].concat().join("\n")).expect("written");
    add_organisation(installation);
    for arguments in [&["import", "--check", "records.ndjson"][..], &["import", "records.ndjson"]] {
        failed(recorder, &installation.run(arguments));
    }
    failed(
        recorder,
        &installation.run_with_input(&["import", "-"], &format!(r#"{{"data": [{{"pass_code": "{}""#, secret())),
    );
    done(
        recorder,
        &installation.run_with_input(&["import", "-"], &json!({"unit": {"id": "U", "name": "Unit"}}).to_string()),
    );
    account
}

/// Returns valid records.
pub(super) fn good(recorder: &Recorder, account: &str) -> Vec<Value> {
    let canaries = &recorder.canaries;
    let personal = |what: &str| canaries.personal(what);
    let rules = |more: Value| {
        let mut policy = policy();
        policy.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        policy
    };
    let created = json!({"pass_code": {"creation": "AUTO_NUMBER", "min_length": 30}});
    let owner = json!({
        "id": "C", "type": "PERSON", "name": personal("name"), "first_name": personal("first name"),
        "middle_name": personal("middle name"), "last_name": personal("last name"),
        "demographics": {
            "id_number": personal("identity card"), "passport_number": personal("passport"),
            "social_security_number": personal("social security number"),
        },
    });
    vec![
        json!({"organisation": {"name": "DEMO", "definition": policy()}}),
        json!({"classification": {"id": "PENDING", "policy": rules(json!({"verification_required": true}))}}),
        json!({"classification": {"id": "CREATED", "policy": rules(created)}}),
        json!({"accounts_receivable": {"id": "A", "number": "ACR1", "name": account, "account_owner": owner}}),
        json!({"user": {
            "id": "ANNA", "username": personal("imported user name"), "password": canaries.secret("imported password"),
            "person_name": personal("name of a user"), "email": canaries.email("e-mail address"),
        }}),
        json!({"access_token": {
            "id": "IMPORTED", "number": "AT7000000001", "authentication_code": personal("imported authentication code"),
            "identifier": canaries.email("imported identifier"), "pass_code": canaries.secret("imported pass code"),
            "card_masked_number": canaries.card("imported card number"), "accounts_receivable": {"id": "A"},
            "verification_code": canaries.secret("imported verification code"),
            "one_time_password": canaries.secret("imported one-time password"),
        }}),
        json!({"access_token": {
            "id": "RESET", "number": "AT7000000002", "authentication_code": personal("imported authentication code"),
            "identifier": canaries.email("imported identifier"), "random_pass_code": canaries.secret("imported pass code"),
        }}),
    ]
}

/// Returns records that are refused, each for another reason.
pub(super) fn bad(recorder: &Recorder) -> Vec<Value> {
    let canaries = &recorder.canaries;
    let secret = || canaries.secret("secret in a bad record");
    let personal = || canaries.personal("value in a bad record");
    let token = |more: Value| {
        let mut token = json!({"number": "AT7000000003", "authentication_code": personal(), "pass_code": secret()});
        token.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "access_token": token })
    };
    vec![
        token(json!({"id": "BAD", "number": "AT7000000001"})),
        token(json!({"id": "BAD", "pin": secret()})),
        token(json!({"id": "BAD", "pass_code": [secret()]})),
        token(json!({"id": "BAD", "pass_code": {"value": secret()}})),
        token(json!({"id": "BAD", "pass_code": secret().repeat(9)})),
        token(json!({"id": "BAD", "pass_code_hash": secret(), "pass_code": null})),
        token(
            json!({"id": "BAD", "pass_code_hash": format!("$argon2id$v=19$m=9,t=9,p=9${}", secret()), "pass_code": null}),
        ),
        token(json!({"id": "BAD", "pass_code": secret(), "random_pass_code": secret()})),
        token(json!({"id": "BAD", "verification_code": [secret()]})),
        token(json!({"id": "BAD", "one_time_password": {"value": secret()}})),
        token(json!({"id": "BAD", "authentication_code": personal().repeat(9)})),
        token(json!({"id": "BAD", "identifier": [personal()]})),
        token(json!({"id": "BAD", "life_cycle_state": personal()})),
        token(json!({"id": "BAD", "verified_date": personal()})),
        token(json!({"id": "BAD", "udf_float_1": personal(), "udf_string_1": personal().repeat(130)})),
        token(json!({"id": "BAD", "card_masked_number": canaries.number(Kind::Personal, "whole card number", 16)})),
        token(json!({"id": "BAD", "accounts_receivable": {"id": "A", "name": personal().repeat(40)}})),
        token(json!({"id": "BAD", "accounts_receivable": personal()})),
        token(json!({"id": "BAD", "log_information": {"created_by_user": personal()}})),
        json!({"user": {"id": "BAD", "username": personal(), "password": [secret()]}}),
        json!({"user": {"id": "BAD", "username": personal(), "password": secret().repeat(200)}}),
        json!({"user": {"id": "BAD", "username": personal(), "password": secret(), "password_hash": secret()}}),
        json!({"user": {"id": "BAD", "username": personal(), "permissions": [personal()]}}),
        json!({"user": {"id": "BAD", "username": personal(), "email": {"address": personal()}, "pin": secret()}}),
        json!({"contact_information": {"id": "BAD", "type": personal(), "name": personal()}}),
        json!({"contact_information": {"id": "BAD", "demographics": {"id_number": [personal()], "date_of_birth": personal()}}}),
        json!({"nonsense": {"password": secret()}}),
        json!({"user": secret()}),
        json!([secret()]),
    ]
}

/// Runs commands with settings that contain secrets, most of them invalid.
pub(super) fn configure(recorder: &Recorder, installation: &Installation, folder: &Path) {
    let canaries = &recorder.canaries;
    let secret = || canaries.secret("secret in the settings");
    let file = |text: &str| std::fs::write(folder.join("settings.toml"), text).expect("written");
    let check = ["check-config", "--config", "settings.toml"];
    file(&format!("[notifications]\nwebhook = \"http://127.0.0.1:9/{}\"\nsecret = \"{}\"\n", secret(), secret()));
    done(recorder, &installation.run(&check));
    for (toml, kind) in [
        (format!("[keys]\nring = \"{}\n", secret()), "open text"),
        (format!("[keys]\nring = {}\n", secret()), "no text"),
        (format!("[keys]\nring = [\"{}\"]\n", secret()), "list"),
        (format!("[keys]\nring = {}\n", canaries.number(Kind::Secret, "secret of digits", 18)), "number"),
        (format!("[notifications]\nsecret = {{ value = \"{}\" }}\n", secret()), "table"),
        (format!("[notifications]\nwebhook = \"http://u:{}@127.0.0.1\"\n", secret()), "user"),
        (format!("[notifications]\nwebhook = \"https://127.0.0.1/{}\"\n", secret()), "https"),
    ] {
        file(&toml);
        let output = installation.run(&check);
        // A number is valid as a text.
        assert!(!output.status.success() || kind == "number", "{kind}: {}", text(&output));
        recorder.refused(&text(&output));
    }
    let url = |scheme: &str| format!("{scheme}://u:{}@[::1:/d?password={}", secret(), secret());
    for (name, value) in [
        ("ACCESS_TOKENS__KEYS__RING", secret()),
        ("ACCESS_TOKENS__KEYS__RING", format!("a {}", secret())),
        ("ACCESS_TOKENS__KEYS__RING", format!("{} {}", secret(), secret())),
        ("ACCESS_TOKENS__DATABASE__URL", url("postgres")),
        ("ACCESS_TOKENS__DATABASE__URL", url("mysql")),
        ("ACCESS_TOKENS__DATABASE__URL", format!("postgres://u:{}@127.0.0.1:1/d", secret())),
        ("ACCESS_TOKENS__DATABASE__URL", format!("postgres://u@127.0.0.1:1/d?pwd={}", secret())),
        ("ACCESS_TOKENS__NOTIFICATIONS__WEBHOOK", format!("http://u:{}@127.0.0.1", secret())),
        ("ACCESS_TOKENS__NOTIFICATIONS__SECERT", secret()),
    ] {
        failed(recorder, &installation.with(name, &value).run(&["keys", "list"]));
        recorder.refused(&text(&installation.with(name, &value).run(&["check-config"])));
    }
    std::fs::write(folder.join("garbage.db"), secret().repeat(100)).expect("written");
    failed(
        recorder,
        &installation.with("ACCESS_TOKENS__DATABASE__URL", "sqlite://garbage.db").run(&["import", "records.ndjson"]),
    );
    std::fs::remove_file(folder.join("garbage.db")).expect("removed");
}

/// Adds a key while servers run.
pub(super) fn keys(recorder: &Recorder, installation: &Installation, folder: &Path) {
    for arguments in [&["keys", "list"][..], &["keys", "rotate"], &["keys", "re-encrypt"], &["keys", "list"]] {
        done(recorder, &installation.run(arguments));
    }
    recorder.key_file(&std::fs::read_to_string(folder.join("access-tokens.keys")).expect("a key file"));
}
