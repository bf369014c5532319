//! JSON forms, field masks, and what `Debug` shows.

use access_tokens_proto::v1::{
    AccessToken, AccessTokenIdentifier, AccountsReceivable, ChangePassCodeRequest, CompanyProfile, ContactInformation,
    Country, ErrorReason, ListAccessTokensRequest, ListAccessTokensResponse, Policy, UnlockAccessTokenRequest,
    UpdateAccessTokenRequest, UserRecord, access_token, access_token_identifier, change_pass_code_request, code_policy,
};
use access_tokens_proto::{fields, json};
use prost_types::{FieldMask, Timestamp};
use serde_json::json;

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

fn token() -> AccessToken {
    AccessToken {
        id: "607F9A540C2E4698A0598B8880F873F4".to_owned(),
        number: "AT0000000671".to_owned(),
        life_cycle_state: access_token::LifeCycleState::NotEffective.into(),
        authentication_code: "99021047380".to_owned(),
        udf_string_1: Some(String::new()),
        udf_float_2: Some(0.5),
        verified_date: Some(Timestamp { seconds: 1_505_391_481, nanos: 0 }),
        accounts_receivable: Some(Box::new(AccountsReceivable {
            id: "8C1E866074D743EE834E910A28C1E582".to_owned(),
            name: Some("Polina".to_owned()),
            account_owner: Some(Box::new(ContactInformation {
                company_profile: Some(Box::new(CompanyProfile { number_of_employees: Some(30), ..Default::default() })),
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    }
}

#[test]
fn messages_are_written_with_contract_names_and_only_what_is_set() {
    let expected = json!({
        "id": "607F9A540C2E4698A0598B8880F873F4",
        "number": "AT0000000671",
        "life_cycle_state": "NOT_EFFECTIVE",
        "authentication_code": "99021047380",
        "udf_string_1": "",
        "udf_float_2": 0.5,
        "verified_date": "2017-09-14T12:18:01Z",
        "accounts_receivable": {
            "id": "8C1E866074D743EE834E910A28C1E582",
            "name": "Polina",
            "account_owner": { "company_profile": { "number_of_employees": 30 } },
        },
    });
    assert_eq!(json::to_value(&token()), expected);
    assert_eq!(json::from_value::<AccessToken>(&expected), Ok(token()));
}

#[test]
fn lists_and_oneofs_survive_both_ways() {
    let list = ListAccessTokensResponse { access_tokens: vec![token(), token()], next_page_token: "x".to_owned() };
    assert_eq!(json::from_value(&json::to_value(&list)), Ok(list));
    let credential = json!({ "credential": { "identifier": "250", "pass_code": "1234" } });
    let read: AccessTokenIdentifier = json::from_value(&credential).expect("valid");
    assert!(
        matches!(&read.identifier, Some(access_token_identifier::Identifier::Credential(c)) if c.identifier == "250")
    );
    assert_eq!(json::to_value(&read), credential);
}

#[test]
fn a_secret_beside_an_identifier_is_not_the_one_within() {
    let both = json!({
        "access_token_identifier": { "credential": { "identifier": "250", "one_time_password": "123456" } },
        "pass_code": "1234",
        "new_pass_code": "5678",
    });
    let read: ChangePassCodeRequest = json::from_value(&both).expect("the rules decide");
    assert_eq!(json::to_value(&read), both);
    assert_eq!(read.proof, Some(change_pass_code_request::Proof::PassCode("1234".to_owned())));
    let text = format!("{read:?}");
    assert!(text.contains("250") && !text.contains("1234") && !text.contains("5678"), "{text}");
}

#[test]
fn lists_of_names_are_read_by_name() {
    let request = json!({ "secret_kinds": ["ONE_TIME_PASSWORD", "PASS_CODE"] });
    let read: UnlockAccessTokenRequest = json::from_value(&request).expect("valid");
    let kinds: Vec<_> = read.secret_kinds().collect();
    assert_eq!(kinds, [access_token::SecretKind::OneTimePassword, access_token::SecretKind::PassCode]);
    assert_eq!(json::to_value(&read), request);
    let faults = json::from_value::<UnlockAccessTokenRequest>(&json!({ "secret_kinds": ["PASS_CODE", "PIN"] }));
    assert_eq!(faults.expect_err("no such kind")[0].field, "secret_kinds[1]");
}

#[test]
fn null_means_not_set() {
    let read: AccessToken =
        json::from_value(&json!({ "identifier": null, "accounts_receivable": null })).expect("valid");
    assert_eq!(read, AccessToken::default());
}

#[test]
fn numbers_come_in_their_canonical_forms() {
    let read: CompanyProfile =
        json::from_value(&json!({ "number_of_employees": "30", "profile_year": 2014.0 })).expect("valid");
    assert_eq!((read.number_of_employees, read.profile_year), (Some(30), Some(2014)));
}

#[test]
fn policies_have_bare_enum_names() {
    let read: Policy =
        json::from_value(&json!({ "authentication_code": { "creation": "AUTO_ID", "format": "EMAIL" } }))
            .expect("valid");
    let code = read.authentication_code.expect("is set");
    assert_eq!((code.creation(), code.format()), (code_policy::Creation::AutoId, code_policy::Format::Email));
}

#[test]
fn every_fault_is_reported_without_its_value() {
    let faults = json::from_value::<UpdateAccessTokenRequest>(&json!({
        "access_token_identifier": { "id": "1", "number": "secret-1" },
        "pass_code": 918_273,
        "udf_date_1": "secret-2",
        "udf_float_1": true,
        "pascode": "secret-3",
    }))
    .expect_err("five faults");
    let mut found: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.reason)).collect();
    found.sort_by_key(|(field, _)| field.to_owned());
    let expected = [
        ("access_token_identifier.number", ErrorReason::InvalidIdentifier),
        ("pascode", ErrorReason::UnknownField),
        ("pass_code", ErrorReason::InvalidFieldValue),
        ("udf_date_1", ErrorReason::InvalidFieldValue),
        ("udf_float_1", ErrorReason::InvalidFieldValue),
    ];
    assert_eq!(found, expected);
    let text = format!("{faults:?}");
    assert!(!text.contains("secret") && !text.contains("918273"), "{text}");
    assert!(text.contains("known: access_token_identifier, authentication_code"), "{text}");
}

#[test]
fn wrong_enum_names_are_answered_with_the_right_ones() {
    let faults = json::from_value::<AccessToken>(&json!({ "life_cycle_state": "ACTIVE" })).expect_err("no such state");
    assert_eq!(faults[0].description, "must be one of EFFECTIVE, NOT_EFFECTIVE, PENDING_VERIFICATION");
}

#[test]
fn timestamps_have_their_canonical_form() {
    for (nanos, text) in [
        (0, "2017-09-14T12:18:01Z"),
        (500_000_000, "2017-09-14T12:18:01.500Z"),
        (1_000, "2017-09-14T12:18:01.000001Z"),
        (1, "2017-09-14T12:18:01.000000001Z"),
    ] {
        let message =
            AccessToken { udf_date_1: Some(Timestamp { seconds: 1_505_391_481, nanos }), ..Default::default() };
        assert_eq!(json::to_value(&message), json!({ "udf_date_1": text }));
        assert_eq!(json::from_value(&json!({ "udf_date_1": text })), Ok(message));
    }
    let zone: AccessToken = json::from_value(&json!({ "udf_date_1": "2017-09-14T14:18:01+02:00" })).expect("valid");
    assert_eq!(zone.udf_date_1, Some(Timestamp { seconds: 1_505_391_481, nanos: 0 }));
    let bad = [
        "",
        "2017-09-14",
        "2017-09-14T12:18:01",
        "2017-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "12:18Z",
        "ééééééééééééé",
    ];
    for text in bad {
        assert!(json::from_value::<AccessToken>(&json!({ "udf_date_1": text })).is_err(), "{text}");
    }
}

#[test]
fn field_masks_have_their_canonical_form() {
    let paths =
        mask(&["verified_by_user", "number", "udf_date_1", "card_last_4_digits", "accounts_receivable.account_owner"]);
    let request = ListAccessTokensRequest { fields_set: Some(paths), ..Default::default() };
    let text = "verifiedByUser,number,udfDate1,cardLast4Digits,accountsReceivable.accountOwner";
    assert_eq!(json::to_value(&request), json!({ "fields_set": text }));
    assert_eq!(json::from_value(&json!({ "fields_set": text })), Ok(request.clone()));
    let as_in_the_contract =
        " verified_by_user, number ,udf_date_1,card_last_4_digits,accounts_receivable.account_owner";
    assert_eq!(json::from_value(&json!({ "fieldsSet": as_in_the_contract })), Ok(request));
    assert_eq!(json::field_mask_from_str(""), FieldMask::default());
}

/// The canonical form loses nothing, for any field of the contract.
#[test]
fn field_masks_survive_for_every_field() {
    for message in
        access_tokens_proto::descriptor_pool().all_messages().filter(|m| m.package_name() == "accesstoken.v1")
    {
        for field in message.fields() {
            let one = mask(&[field.name()]);
            assert_eq!(json::field_mask_from_str(&json::field_mask_to_string(&one)), one, "{}", field.full_name());
        }
    }
}

#[test]
fn paths_are_checked_against_the_contract() {
    let known = [
        "id",
        "udf_date_4",
        "accounts_receivable.account_owner.demographics.country_of_residence.country_flag.file.file_name",
    ];
    for path in known {
        assert_eq!(fields::validate_path("accesstoken.v1.AccessToken", path), Ok(()), "{path}");
    }
    for (path, segment, count) in [
        ("ID", "ID", 30),
        ("", "", 30),
        ("id.x", "x", 0),
        ("verified_date.seconds", "seconds", 0),
        ("classification.policy", "policy", 3),
        ("classification.", "", 3),
    ] {
        let unknown = fields::validate_path_of::<AccessToken>(path).expect_err("unknown");
        assert_eq!((unknown.segment.as_str(), unknown.known.len()), (segment, count), "{path}");
    }
    let unknown = fields::validate_path_of::<AccessToken>("classification.policy").expect_err("unknown");
    assert_eq!(unknown.to_string(), "unknown field `policy`; known: id, name, alternative_code");
}

#[test]
fn selecting_keeps_exactly_the_paths() {
    assert_eq!(fields::select(token(), &FieldMask::default()), token());
    let selected = fields::select(token(), &mask(&["number", "accounts_receivable.name", "classification.id"]));
    assert_eq!(
        json::to_value(&selected),
        json!({ "number": "AT0000000671", "accounts_receivable": { "name": "Polina" } })
    );
    let whole = fields::select(token(), &mask(&["accounts_receivable.name", "accounts_receivable"]));
    assert_eq!(whole.accounts_receivable, token().accounts_receivable);
    assert_eq!(whole.number, "");
}

#[test]
fn debug_hides_secrets_and_shows_the_rest() {
    let text = format!("{:?}", AccessToken { verification_code: Some("273562".to_owned()), ..token() });
    assert!(text.contains("AT0000000671") && !text.contains("99021047380") && !text.contains("273562"), "{text}");
    let identifier = access_token_identifier::Identifier::AuthenticationCode("99021047380".to_owned());
    let identifier = AccessTokenIdentifier { identifier: Some(identifier) };
    assert!(!format!("{identifier:?}").contains("99021047380"));
    let user =
        UserRecord { username: Some("anna".to_owned()), password: Some("s3cret".to_owned()), ..Default::default() };
    let text = format!("{user:?}");
    assert!(text.contains("anna") && !text.contains("s3cret"), "{text}");
    let country = Country { name: Some("CYPRUS".to_owned()), ..Default::default() };
    assert!(format!("{country:?}").contains("CYPRUS"));
}
