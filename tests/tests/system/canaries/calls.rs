//! Calls of clients, valid and invalid: every method with every kind of confidential value.

use access_tokens_testapp::canary::Kind;
use serde_json::{Value, json};

use super::recorder::{Caller, RecordedClient};

/// Number of notifications of one round.
pub(super) const NOTIFICATIONS: usize = 2;

/// Makes all calls with one client. `account` was imported before.
pub(super) async fn round(recorded: &RecordedClient<'_>, account: &str) {
    let token = Token::new(recorded);
    let created = recorded.ok("CreateAccessToken", token.request(recorded, account)).await;
    let id = created["id"].clone();
    create_wrongly(recorded, &token, account).await;
    look(recorded, &token, &id, account).await;
    let pass_code = pass_codes(recorded, &token, &id).await;
    one_time_passwords(recorded, &token, &id, &pass_code).await;
    change(recorded, &token, &id).await;
    verify(recorded).await;
    notify(recorded, account).await;
    // The original API has no such method, so its paths are not called.
    if matches!(recorded.caller, Caller::Grpc(_)) {
        recorded.ok("GetSession", json!({})).await;
    }
}

/// A token with all fields that identify a person.
struct Token {
    code: String,
    identifier: String,
    pass_code: String,
}

impl Token {
    fn new(recorded: &RecordedClient<'_>) -> Self {
        let canaries = &recorded.recorder.canaries;
        Self {
            code: canaries.personal("authentication code"),
            identifier: canaries.email("identifier"),
            pass_code: canaries.secret("pass code"),
        }
    }

    fn request(&self, recorded: &RecordedClient<'_>, account: &str) -> Value {
        json!({
            "authentication_code": self.code, "identifier": self.identifier, "pass_code": self.pass_code,
            "card_masked_number": recorded.recorder.canaries.card("card number"), "udf_string_1": recorded.recorder.canaries.personal("user defined field"),
            "accounts_receivable_identifier": {"name": account},
        })
    }
}

/// Returns the request with one field added or replaced.
fn with(request: &Value, field: &str, value: impl Into<Value>) -> Value {
    let mut request = request.clone();
    request[field] = value.into();
    request
}

async fn create_wrongly(recorded: &RecordedClient<'_>, taken: &Token, account: &str) {
    let canaries = &recorded.recorder.canaries;
    let fresh = || Token::new(recorded).request(recorded, account);
    let create = async |field: &str, value: String, reason: &str| {
        recorded.refused("CreateAccessToken", with(&fresh(), field, value), reason).await;
    };
    create("authentication_code", taken.code.clone(), "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
    create("identifier", taken.identifier.clone(), "IDENTIFIER_ALREADY_EXISTS").await;
    for field in ["authentication_code", "identifier", "card_masked_number"] {
        create(field, canaries.personal("too long value").repeat(9), "FIELD_TOO_LONG").await;
        create(field, format!("{}\u{7}", canaries.personal("value with a bell")), "INVALID_FIELD_VALUE").await;
    }
    create("udf_string_8", canaries.personal("too long value").repeat(130), "FIELD_TOO_LONG").await;
    create("udf_string_8", format!("{}\0", canaries.personal("value with a NUL")), "INVALID_FIELD_VALUE").await;
    create("pass_code", canaries.secret("too long pass code").repeat(9), "FIELD_TOO_LONG").await;
    create("pass_code", canaries.number(Kind::Secret, "pass code without letters", 40), "POLICY_VIOLATION").await;
    create("card_masked_number", canaries.number(Kind::Personal, "whole card number", 16), "CARD_NUMBER_NOT_MASKED")
        .await;
    let owner = json!({"name": canaries.personal("unknown account")});
    let request = with(&fresh(), "accounts_receivable_identifier", owner);
    recorded.refused("CreateAccessToken", request, "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
    let without = json!({"identifier": canaries.email("identifier without a pass code")});
    recorded.refused("CreateAccessToken", without, "REQUIRED_FIELD_MISSING").await;
}

async fn look(recorded: &RecordedClient<'_>, token: &Token, id: &Value, account: &str) {
    let canaries = &recorded.recorder.canaries;
    let show = |identifier: Value| json!({ "access_token_identifier": identifier });
    for identifier in [
        json!({"id": id}),
        json!({"authentication_code": token.code}),
        recorded.login(&token.identifier, "pass_code", &token.pass_code),
    ] {
        recorded.ok("ShowAccessToken", show(identifier)).await;
    }
    for identifier in [
        recorded.login(&token.identifier, "pass_code", &canaries.secret("wrong pass code")),
        recorded.login(&canaries.email("unknown identifier"), "pass_code", &canaries.secret("wrong pass code")),
        recorded.login(&token.identifier, "one_time_password", &canaries.secret("wrong one-time password")),
    ] {
        recorded.refused("ShowAccessToken", show(identifier), "INVALID_CREDENTIAL").await;
    }
    let unknown = show(json!({"authentication_code": canaries.personal("unknown code")}));
    recorded.refused("ShowAccessToken", unknown.clone(), "ACCESS_TOKEN_NOT_FOUND").await;
    recorded.refused("SetAsNotEffective", unknown.clone(), "ACCESS_TOKEN_NOT_FOUND").await;
    recorded.refused("ExplainAccessToken", unknown, "ACCESS_TOKEN_NOT_FOUND").await;
    recorded.ok("ExplainAccessToken", show(json!({"id": id}))).await;
    // A client with access to secrets is shown verification codes, unless it selects other fields.
    let fields = "number,authentication_code,accounts_receivable";
    let list =
        json!({"accounts_receivable_identifier": {"name": account}, "number_of_results": 9, "fields_set": fields});
    recorded.ok("ListAccessTokens", list).await;
    let nobody = json!({"accounts_receivable_identifier": {"name": canaries.personal("unknown account")}});
    recorded.refused("ListAccessTokens", nobody, "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
    let nowhere = json!({
        "accounts_receivable_identifier": {"name": account}, "page_token": canaries.personal("page token of nobody"),
    });
    recorded.refused("ListAccessTokens", nowhere, "INVALID_PAGE_TOKEN").await;
    recorded.ok("ListClassifications", json!({})).await;
    recorded.ok("ListGuessBudgets", json!({})).await;
}

/// Makes calls with pass codes, and returns the one that is valid at the end.
async fn pass_codes(recorded: &RecordedClient<'_>, token: &Token, id: &Value) -> String {
    let canaries = &recorded.recorder.canaries;
    let named = json!({"id": id});
    let check =
        |pass_code: &str| json!({"access_token_identifier": named, "pass_code": pass_code, "fields_set": "number"});
    recorded.ok("CheckPassCode", check(&token.pass_code)).await;
    recorded.refused("CheckPassCode", check(&canaries.secret("wrong pass code")), "INVALID_CREDENTIAL").await;
    recorded.refused("CheckPassCode", check(&canaries.secret("too long pass code").repeat(9)), "FIELD_TOO_LONG").await;
    let change = |old: &str, new: &str| json!({"access_token_identifier": named, "pass_code": old, "new_pass_code": new, "fields_set": "number"});
    let new = canaries.secret("new pass code");
    recorded.refused("ChangePassCode", change(&canaries.secret("wrong pass code"), &new), "INVALID_CREDENTIAL").await;
    let weak = canaries.number(Kind::Secret, "pass code without letters", 40);
    recorded.refused("ChangePassCode", change(&token.pass_code, &weak), "POLICY_VIOLATION").await;
    recorded.ok("ChangePassCode", change(&token.pass_code, &new)).await;
    recorded.refused("CheckPassCode", check(&token.pass_code), "INVALID_CREDENTIAL").await;
    let reset = json!({"identifier": token.identifier});
    let reset = recorded.issued("ResetPassCode", reset, "random_pass_code").await;
    recorded.ok("CheckPassCode", check(&reset)).await;
    let unknown = json!({"identifier": canaries.email("unknown identifier")});
    recorded.refused("ResetPassCode", unknown, "ACCESS_TOKEN_NOT_FOUND").await;
    reset
}

async fn one_time_passwords(recorded: &RecordedClient<'_>, token: &Token, id: &Value, pass_code: &str) {
    let canaries = &recorded.recorder.canaries;
    let named = json!({"id": id});
    let issue =
        async || recorded.issued("GenerateOtp", json!({"access_token_identifier": named}), "one_time_password").await;
    let verify =
        |code: &str| json!({"access_token_identifier": named, "one_time_password": code, "fields_set": "number"});
    let code = issue().await;
    recorded.refused("VerifyOtp", verify(&canaries.secret("wrong one-time password")), "INVALID_CREDENTIAL").await;
    recorded.ok("VerifyOtp", verify(&code)).await;
    recorded.refused("VerifyOtp", verify(&code), "INVALID_CREDENTIAL").await;
    let credential = recorded.login(&token.identifier, "one_time_password", &issue().await);
    recorded.ok("ShowAccessToken", json!({"access_token_identifier": credential, "fields_set": "number"})).await;
    let new = json!({
        "access_token_identifier": named, "one_time_password": issue().await, "new_pass_code": canaries.secret("new pass code"),
        "fields_set": "number",
    });
    recorded.ok("ChangePassCode", new).await;
    let old = json!({"access_token_identifier": named, "pass_code": pass_code});
    recorded.refused("CheckPassCode", old, "INVALID_CREDENTIAL").await;
}

async fn change(recorded: &RecordedClient<'_>, token: &Token, id: &Value) {
    let canaries = &recorded.recorder.canaries;
    let named = json!({"access_token_identifier": {"id": id}});
    let change = json!({
        "access_token_identifier": {"authentication_code": token.code},
        "authentication_code": canaries.personal("new authentication code"), "identifier": canaries.email("new identifier"),
        "pass_code": canaries.secret("new pass code"), "card_masked_number": canaries.card("card number"),
        "udf_string_2": canaries.personal("user defined field"),
    });
    recorded.ok("UpdateAccessToken", change).await;
    let other = Token::new(recorded);
    recorded.ok("CreateAccessToken", json!({"authentication_code": other.code, "fields_set": "number"})).await;
    let taken = with(&named, "authentication_code", other.code);
    recorded.refused("UpdateAccessToken", taken, "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
    for (field, value, reason) in [
        ("pass_code", canaries.secret("too long pass code").repeat(9), "FIELD_TOO_LONG"),
        ("pass_code", canaries.number(Kind::Secret, "pass code without letters", 40), "POLICY_VIOLATION"),
        ("identifier", canaries.personal("too long value").repeat(9), "FIELD_TOO_LONG"),
        ("card_masked_number", canaries.number(Kind::Personal, "whole card number", 16), "CARD_NUMBER_NOT_MASKED"),
    ] {
        recorded.refused("UpdateAccessToken", with(&named, field, value), reason).await;
    }
    recorded.ok("SetAsNotEffective", named.clone()).await;
    let late = with(&named, "pass_code", canaries.secret("pass code of a token that is off"));
    recorded.refused("CheckPassCode", late, "INVALID_CREDENTIAL").await;
    recorded.ok("UnlockAccessToken", named).await;
}

async fn verify(recorded: &RecordedClient<'_>) {
    let canaries = &recorded.recorder.canaries;
    let token = Token::new(recorded);
    let create = json!({
        "authentication_code": token.code, "identifier": token.identifier, "pass_code": token.pass_code,
        "classification_identifier": {"id": "PENDING"},
    });
    let first = recorded.issued("CreateAccessToken", create, "verification_code").await;
    let named = json!({"authentication_code": token.code});
    let verify = |code: &str, pass_code: &str| json!({"access_token_identifier": named, "verification_code": code, "pass_code": pass_code, "fields_set": "number"});
    let wrong =
        [canaries.secret("wrong verification code"), canaries.number(Kind::Secret, "wrong verification code", 10)];
    for code in wrong {
        let pass_code = canaries.secret("pass code of a verification");
        recorded.refused("VerifyAccessToken", verify(&code, &pass_code), "INVALID_VERIFICATION_CODE").await;
    }
    let second = recorded.issued("ResetVerificationCode", named.clone(), "verification_code").await;
    let pass_code = canaries.secret("pass code of a verification");
    recorded.refused("VerifyAccessToken", verify(&first, &pass_code), "INVALID_VERIFICATION_CODE").await;
    recorded.ok("VerifyAccessToken", verify(&second, &pass_code)).await;
    recorded.refused("ResetVerificationCode", named, "WRONG_LIFE_CYCLE_STATE").await;
}

/// Secrets that only the owner receives: a pass code that the policy creates, and a one-time password after a forgotten pass code.
async fn notify(recorded: &RecordedClient<'_>, account: &str) {
    let identifier = recorded.recorder.canaries.email("identifier");
    let create = json!({
        "identifier": identifier, "classification_identifier": {"id": "CREATED"},
        "accounts_receivable_identifier": {"name": account},
    });
    recorded.ok("CreateAccessToken", create).await;
    recorded.ok("ForgotPassCode", json!({"identifier": identifier})).await;
    recorded.ok("ForgotPassCode", json!({"identifier": recorded.recorder.canaries.email("unknown identifier")})).await;
}
