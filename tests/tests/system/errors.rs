//! Invalid input of every kind: an error that names the fields, and no write.

use serde_json::json;

use crate::on_both_databases;

on_both_databases! {
    async fn texts_have_limits(app) {
        let long_code = "x".repeat(257);
        for (request, field, reason) in [
            (json!({"authentication_code": long_code}), "authentication_code", "FIELD_TOO_LONG"),
            (json!({"authentication_code": ""}), "authentication_code", "INVALID_FIELD_VALUE"),
            (json!({"authentication_code": "a\u{0}b"}), "authentication_code", "INVALID_FIELD_VALUE"),
            (json!({"authentication_code": "a\u{7f}b"}), "authentication_code", "INVALID_FIELD_VALUE"),
            (json!({"identifier": long_code, "pass_code": "1234"}), "identifier", "FIELD_TOO_LONG"),
            (json!({"identifier": "i", "pass_code": long_code}), "pass_code", "FIELD_TOO_LONG"),
            (json!({"identifier": "i"}), "pass_code", "REQUIRED_FIELD_MISSING"),
            (json!({"udf_string_8": "x".repeat(4_001)}), "udf_string_8", "FIELD_TOO_LONG"),
            (json!({"udf_string_8": "a\u{0}b"}), "udf_string_8", "INVALID_FIELD_VALUE"),
        ] {
            let refusal = app.refused("CreateAccessToken", request, reason).await;
            assert_eq!(refusal.fields(), [field]);
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
        }
        let fits = json!({"authentication_code": "é".repeat(256), "udf_string_1": "é".repeat(4_000)});
        app.ok("CreateAccessToken", fits).await;
        let list = app.ok("GetNotAssociatedAccessTokens", json!({"number": 10, "fields_set": "id"})).await;
        assert_eq!(list["access_tokens"].as_array().map(Vec::len), Some(1), "a refused request wrote something");
    }

    async fn numbers_are_finite(app) {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refusal = app.create_with_float(number).await.expect_err("refused");
            assert_eq!((refusal.reason.as_str(), refusal.fields()), ("INVALID_FIELD_VALUE", vec!["udf_float_2"]));
        }
        app.create_with_float(f64::MIN_POSITIVE).await.expect("created");
    }

    async fn dates_are_within_the_calendar(app) {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)] {
            let refusal = app.create_with_date(seconds, nanos).await.expect_err("refused");
            assert_eq!((refusal.reason.as_str(), refusal.fields()), ("INVALID_FIELD_VALUE", vec!["udf_date_3"]), "{seconds}.{nanos}");
        }
        app.create_with_date(253_402_300_799, 0).await.expect("created");
    }

    async fn an_identifier_is_exactly_one_alternative(app) {
        for method in ["ShowAccessToken", "UpdateAccessToken", "VerifyAccessToken", "GenerateOtp", "SetAsEffective", "SetAsNotEffective"] {
            for request in [json!({"verification_code": "1"}), json!({"verification_code": "1", "access_token_identifier": {}})] {
                let mut request = request;
                if method != "VerifyAccessToken" {
                    request.as_object_mut().expect("an object").remove("verification_code");
                }
                let refusal = app.try_call(method, request).await.expect_err("refused");
                assert!(["INVALID_IDENTIFIER", "REQUIRED_FIELD_MISSING"].contains(&refusal.reason.as_str()), "{method}: {}", refusal.reason);
                assert!(refusal.fields().iter().all(|f| f.starts_with("access_token_identifier")), "{method}: {:?}", refusal.fields());
            }
        }
    }

    async fn what_cannot_exist_is_refused_before_it_is_looked_up(app) {
        for identifier in [json!({"authentication_code": "a\u{0}b"}), json!({"id": ""}), json!({"number": "x".repeat(257)}), json!({"credential": {"identifier": "\u{0}"}})] {
            let refusal = app.try_call("ShowAccessToken", json!({"access_token_identifier": identifier})).await.expect_err("refused");
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument, "{}", refusal.text());
        }
        let refusal = app.try_call("ListAccessTokens", json!({"accounts_receivable_identifier": {"name": "a\u{0}b"}})).await;
        assert_eq!(refusal.expect_err("refused").code(), tonic::Code::InvalidArgument);
    }

    async fn large_requests_are_refused(app) {
        let refusal = app.try_call("CreateAccessToken", json!({"udf_string_1": "x".repeat(70_000)})).await.expect_err("refused");
        assert!(matches!(refusal.code(), tonic::Code::OutOfRange | tonic::Code::ResourceExhausted), "{:?}", refusal.code());
    }

    async fn sql_in_a_value_is_a_value(app) {
        for code in ["'; DROP TABLE access_token; --", "\" OR 1=1 --", "$1", "%", "\\"] {
            app.ok("CreateAccessToken", json!({"authentication_code": code, "udf_string_1": code})).await;
            let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await;
            assert_eq!(shown["udf_string_1"], code);
        }
    }
}
