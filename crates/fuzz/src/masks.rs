use access_tokens_grpc::fuzzing::convert;
use access_tokens_proto::fields::{select, validate_path_of};
use access_tokens_proto::json::{field_mask_from_str, field_mask_to_string};
use access_tokens_proto::v1;
use prost::Message;
use prost_types::{FieldMask, Timestamp};

const SHOW_ACCESS_TOKEN: &str = "/accesstoken.v1.AccessTokenService/ShowAccessToken";

/// Field masks. Asserts that names of fields survive camel case, that a request with only such names is accepted and one with
/// others is not, and that selecting twice gives the same as selecting once.
pub fn masks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mask = field_mask_from_str(text);
    let known = |path: &str| validate_path_of::<v1::AccessToken>(path).is_ok();
    for path in &mask.paths {
        if let Err(unknown) = validate_path_of::<v1::AccessToken>(path) {
            assert!(path.split('.').any(|segment| segment == unknown.segment), "{unknown:?} of {path}");
        } else {
            let single = FieldMask { paths: vec![path.clone()] };
            assert_eq!(field_mask_from_str(&field_mask_to_string(&single)), single);
        }
    }
    let all_known = mask.paths.iter().all(|path| known(path));
    accepted(&mask, all_known);
    let chosen = select(token(), &mask);
    assert_eq!(select(chosen.clone(), &mask), chosen);
    if all_known && !mask.paths.is_empty() {
        let reversed = FieldMask { paths: mask.paths.into_iter().rev().collect() };
        assert_eq!(select(token(), &reversed), chosen, "the order of a mask matters");
    }
}

fn accepted(mask: &FieldMask, all_known: bool) {
    let number = v1::access_token_identifier::Identifier::Number("AT0000000001".to_owned());
    let request = v1::ShowAccessTokenRequest {
        access_token_identifier: Some(v1::AccessTokenIdentifier { identifier: Some(number) }),
        fields_set: Some(mask.clone()),
    };
    let converted = convert(SHOW_ACCESS_TOKEN, &request.encode_to_vec()).expect("a request");
    if let Err(error) = &converted {
        assert!(error.violations().iter().all(|fault| fault.field == "fields_set"), "{error}");
        assert!(error.message().len() < 8_000, "{}", error.message().len());
    }
    // An unknown path may become known in the spelling of the contract, or be blank, or a star.
    assert!(converted.is_ok() || !all_known, "{mask:?} is refused");
}

fn token() -> v1::AccessToken {
    let owner = v1::ContactInformation { id: "C".to_owned(), name: Some("n".to_owned()), ..Default::default() };
    let account =
        v1::AccountsReceivable { id: "A".to_owned(), account_owner: Some(Box::new(owner)), ..Default::default() };
    v1::AccessToken {
        id: "T".to_owned(),
        number: "AT1".to_owned(),
        udf_string_1: Some(String::new()),
        udf_date_1: Some(Timestamp::default()),
        accounts_receivable: Some(Box::new(account.clone())),
        rewards_participant: Some(Box::new(v1::RewardsParticipant {
            id: "P".to_owned(),
            accounts_receivable: Some(Box::new(account)),
            ..Default::default()
        })),
        ..Default::default()
    }
}
