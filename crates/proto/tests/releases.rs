//! The release notes of the original API, which the contract carries as options.

use std::collections::BTreeMap;

use access_tokens_proto::{descriptor_pool, options};

type Notes = BTreeMap<String, (Option<String>, Option<String>)>;

/// Message, field, first release, deprecating release. A field that is not listed has no note.
const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("AccessToken", "card_masked_number", "R16.2.0", ""),
    ("AccessToken", "card_last_4_digits", "R15.0.0", "R16.2.0"),
    ("AccessToken", "verification_code", "R9.0.0", ""),
    ("AccessToken", "verified_date", "R9.0.0", ""),
    ("AccessToken", "verified_by_user", "R9.0.0", ""),
    ("AccessToken", "accounts_receivable", "R8.0.0", ""),
    ("AccessToken", "classification", "R10.0.0", ""),
    ("RewardsParticipant", "life_cycle_state", "R12.0.0", ""),
    ("Demographics", "id_number_expiration_date", "R14.0.0", ""),
    ("Demographics", "passport_number_expiration_date", "R14.0.0", ""),
    ("Country", "dialing_code", "R15.1.0", ""),
    ("Country", "country_flag", "R15.1.0", ""),
    ("LogInformation", "created_by_unit", "", "R18.0.0"),
    ("LogInformation", "created_by_business_unit", "R18.0.0", ""),
    ("LogInformation", "updated_by_unit", "", "R18.0.0"),
    ("LogInformation", "updated_by_business_unit", "R18.0.0", ""),
    ("ResetVerificationCodeResponse", "verification_code", "", "R16.0.0"),
    ("ListAccessTokensRequest", "classification_identifier", "R10.0.0", ""),
    ("ListAccessTokensRequest", "number_of_results", "R13.0.0", ""),
    ("ListAccessTokensRequest", "offset", "R13.0.0", ""),
    ("CreateAccessTokenRequest", "accounts_receivable_identifier", "R8.0.0", ""),
    ("CreateAccessTokenRequest", "rewards_participant_identifier", "R8.0.0", ""),
    ("CreateAccessTokenRequest", "classification_identifier", "R10.0.0", ""),
    ("CreateAccessTokenRequest", "card_masked_number", "R16.2.0", ""),
    ("CreateAccessTokenRequest", "fields_set", "R10.0.0", ""),
    ("UpdateAccessTokenRequest", "card_masked_number", "R16.2.0", ""),
    ("UpdateAccessTokenRequest", "fields_set", "R10.0.0", ""),
    ("VerifyAccessTokenRequest", "pass_code", "R14.0.0", ""),
    ("VerifyAccessTokenRequest", "fields_set", "R10.0.0", ""),
    ("ResetPassCodeRequest", "fields_set", "R10.0.0", ""),
    ("SetAsEffectiveRequest", "fields_set", "R10.0.0", ""),
    ("SetAsNotEffectiveRequest", "fields_set", "R10.0.0", ""),
];

/// Messages with user defined fields, all of them from R10.1.0.
const USER_DEFINED: &[&str] = &["AccessToken", "CreateAccessTokenRequest", "UpdateAccessTokenRequest"];

/// Method, first release, deprecating release. A method that is not listed has no note.
const METHODS: &[(&str, &str, &str)] = &[
    ("ShowAccessToken", "R5.0.0", ""),
    ("ListAccessTokens", "R8.0.0", ""),
    ("GetNotAssociatedAccessTokens", "R5.0.0", ""),
    ("CreateAccessToken", "R5.0.0", ""),
    ("UpdateAccessToken", "R5.0.0", ""),
    ("VerifyAccessToken", "R9.0.0", ""),
    ("ResetPassCode", "R9.0.0", ""),
    ("ResetVerificationCode", "R12.0.0", ""),
    ("GenerateOtp", "R13.0.0", ""),
    ("SetAsEffective", "R13.1.0", "R18.0.0"),
    ("SetAsNotEffective", "R13.1.0", "R18.0.0"),
];

fn note(release: &str) -> Option<String> {
    (!release.is_empty()).then(|| release.to_owned())
}

#[test]
fn fields_carry_the_documented_releases() {
    let mut expected: Notes =
        FIELDS.iter().map(|(m, f, from, until)| (format!("{m}.{f}"), (note(from), note(until)))).collect();
    for message in USER_DEFINED {
        for (kind, count) in [("string", 8), ("float", 4), ("date", 4)] {
            for n in 1..=count {
                expected.insert(format!("{message}.udf_{kind}_{n}"), (note("R10.1.0"), None));
            }
        }
    }
    let mut found: Notes = BTreeMap::new();
    let messages = descriptor_pool().all_messages().filter(|message| message.package_name() == "accesstoken.v1");
    // A record of an import corresponds to a message of answers. The next test compares the two.
    for message in messages.filter(|message| !message.name().ends_with("Record")) {
        for field in message.fields() {
            let info = options::field_info(&field);
            if info.available_from.is_some() || info.deprecated_from.is_some() {
                let key = format!("{}.{}", message.name(), field.name());
                found.insert(key, (info.available_from, info.deprecated_from));
            }
        }
    }
    assert_eq!(found, expected);
}

/// An imported record has every field of the message that answers show, with the same notes.
#[test]
fn records_mirror_the_messages_they_stand_for() {
    for (record, message) in [
        ("AccessTokenRecord", "AccessToken"),
        ("UnitRecord", "Unit"),
        ("UserRecord", "User"),
        ("ClassificationRecord", "Classification"),
    ] {
        let [record, message] = [record, message].map(|name| format!("accesstoken.v1.{name}"));
        let fields = descriptor_pool().get_message_by_name(&message).expect("exists");
        for field in fields.fields() {
            let found = options::field(&record, field.name());
            assert_eq!(found, Some(options::field_info(&field)), "{record}.{}", field.name());
        }
    }
}

#[test]
fn methods_carry_the_documented_releases() {
    let expected: Notes =
        METHODS.iter().map(|(name, from, until)| ((*name).to_owned(), (note(from), note(until)))).collect();
    let found: Notes = options::methods()
        .iter()
        .filter(|method| method.available_from.is_some() || method.deprecated_from.is_some())
        .map(|method| {
            let name = method.grpc_path.rsplit('/').next().unwrap_or_default().to_owned();
            (name, (method.available_from.clone(), method.deprecated_from.clone()))
        })
        .collect();
    assert_eq!(found, expected);
}
