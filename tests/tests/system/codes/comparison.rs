//! Comparison of a presented secret: numbers without their leading zeros, and secrets longer than a scheme reads.

use serde_json::{Value, json};

use crate::fleet::{Door, Outcome};
use crate::on_both_databases;

/// bcrypt of 80 times `x`, of which it reads 72.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";

fn token(id: &str, more: Value) -> String {
    let mut record =
        json!({"id": id, "number": format!("AT {id}"), "authentication_code": id, "identifier": format!("login {id}")});
    record.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"access_token": record}).to_string()
}

fn by_id(id: &str, field: &str, secret: Value) -> Value {
    json!({"access_token_identifier": {"id": id}, field: secret})
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused(reason.to_owned())
}

on_both_databases! {
    async fn a_code_that_was_sent_as_an_integer_is_right(app) {
        let (grpc, http) = (Door::Grpc(app.caller().clone()), Door::Http(app.http().await));
        let cases = [
            (&grpc, json!("12345"), "012345"),
            (&http, json!("12345"), "012345"),
            (&http, json!(12345), "012345"),
            (&http, json!(0), "000000"),
            (&http, json!(7), "00000007"),
        ];
        for (n, (door, presented, code)) in cases.into_iter().enumerate() {
            let within = |id: &str| json!({"access_token_identifier": {"credential": {"identifier": format!("login {id}"), "one_time_password": presented}}});
            let ways = [
                ("VerifyOtp", (|id, secret| by_id(id, "one_time_password", secret)) as fn(&str, Value) -> Value),
                ("ChangePassCode", |id, secret| json!({"access_token_identifier": {"id": id}, "one_time_password": secret, "new_pass_code": "another"})),
            ];
            for (way, (method, request)) in ways.into_iter().enumerate() {
                let id = format!("T{n}-{way}");
                app.import("DEMO", &token(&id, json!({"one_time_password": code, "expiration_date": "2100-01-01T00:00:00"}))).await;
                assert_eq!(door.call(method, request(&id, presented.clone())).await, Outcome::Right, "{presented} for {code}");
                assert_eq!(door.call(method, request(&id, presented.clone())).await, refused("INVALID_CREDENTIAL"), "it was used");
            }
            let id = format!("S{n}");
            app.import("DEMO", &token(&id, json!({"one_time_password": code, "expiration_date": "2100-01-01T00:00:00"}))).await;
            assert_eq!(door.call("ShowAccessToken", within(&id)).await, Outcome::Right);
            let id = format!("P{n}");
            app.import("DEMO", &token(&id, json!({"verification_code": code, "life_cycle_state": "PENDING_VERIFICATION"}))).await;
            assert_eq!(door.call("VerifyAccessToken", by_id(&id, "verification_code", presented.clone())).await, Outcome::Right);
        }
    }

    async fn a_number_is_one_attempt_and_only_leading_zeros_are_filled_in(app) {
        let doors = [Door::Grpc(app.caller().clone()), Door::Http(app.http().await)];
        for (n, door) in doors.iter().enumerate() {
            let id = format!("T{n}");
            let record = json!({"pass_code": "01234567", "one_time_password": "012345", "expiration_date": "2100-01-01T00:00:00"});
            app.import("DEMO", &token(&id, record)).await;
            for wrong in ["12346", "0012345", "1234", "-12345"] {
                let outcome = door.call("VerifyOtp", by_id(&id, "one_time_password", json!(wrong))).await;
                assert_eq!(outcome, refused("INVALID_CREDENTIAL"), "{wrong}");
            }
            let explained = app.ok("ExplainAccessToken", json!({"access_token_identifier": {"id": id}})).await;
            let secrets = explained["secrets"].as_array().expect("secrets");
            let otp = secrets.iter().find(|secret| secret["secret_kind"] == "ONE_TIME_PASSWORD").expect("the kind");
            assert_eq!(otp["lock"]["failed_attempts"], 4, "one attempt each");
            let pass_code = door.call("CheckPassCode", by_id(&id, "pass_code", json!("1234567"))).await;
            assert_eq!(pass_code, refused("INVALID_CREDENTIAL"), "a pass code is a text");
            assert_eq!(door.call("VerifyOtp", by_id(&id, "one_time_password", json!("12345"))).await, Outcome::Right);
        }
        // Other types are refused with errors that name the field.
        for odd in [json!(12345.5), json!(true), json!(["012345"])] {
            let refusal = app.http().await.post("access_tokens/verify_otp", by_id("T0", "one_time_password", odd)).await;
            assert_eq!(refusal.reason(), "INVALID_FIELD_VALUE");
            assert!(refusal.description().starts_with("one_time_password: must be a string"), "{}", refusal.text);
        }
    }

    async fn a_secret_of_which_the_scheme_reads_a_part_is_never_hashed_anew(app) {
        let (x80, x72, other) = ("x".repeat(80), "x".repeat(72), "x".repeat(72) + "another");
        app.import("DEMO", &token("T", json!({"pass_code_hash": BCRYPT}))).await;
        let doors = [Door::Grpc(app.caller().clone()), Door::Http(app.http().await)];
        for door in &doors {
            for _ in 0..2 {
                for text in [&other, &x72, &x80] {
                    assert_eq!(door.call("CheckPassCode", by_id("T", "pass_code", json!(text))).await, Outcome::Right);
                }
            }
        }
        let user = json!({"user": {"id": "U", "username": "imported", "password_hash": BCRYPT, "permissions": ["access_tokens.read"]}});
        app.import("DEMO", &user.to_string()).await;
        for text in [&other, &x72, &x80, &other, &x80] {
            app.login("DEMO", "imported", text, None).await.expect("the scheme reads no more");
        }
        // A new pass code is read completely.
        let change = json!({"access_token_identifier": {"id": "T"}, "pass_code": x80, "new_pass_code": x80});
        app.ok("ChangePassCode", change).await;
        app.refused("CheckPassCode", by_id("T", "pass_code", json!(other)), "INVALID_CREDENTIAL").await;
        app.ok("CheckPassCode", by_id("T", "pass_code", json!(x80))).await;
    }
}
