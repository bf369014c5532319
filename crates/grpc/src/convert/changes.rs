//! Requests that create and update access tokens.

use access_tokens_domain::access_token::UserDefinedFields;
use access_tokens_domain::identifier::AccessTokenIdentifier;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::{CreateToken, UpdateToken};
use access_tokens_proto::v1;

use super::mask::UpdateMask;
use super::request::{Parsed, parsed};
use super::{identifier, time};

pub(crate) fn create(request: v1::CreateAccessTokenRequest) -> Parsed<CreateToken> {
    parsed::<v1::AccessToken, _>(request.fields_set, |faults| {
        Some(CreateToken {
            authentication_code: request.authentication_code,
            identifier: request.identifier,
            pass_code: request.pass_code.map(Secret::new),
            card_masked_number: request.card_masked_number,
            udf: UserDefinedFields {
                strings: [
                    request.udf_string_1,
                    request.udf_string_2,
                    request.udf_string_3,
                    request.udf_string_4,
                    request.udf_string_5,
                    request.udf_string_6,
                    request.udf_string_7,
                    request.udf_string_8,
                ],
                floats: [request.udf_float_1, request.udf_float_2, request.udf_float_3, request.udf_float_4],
                dates: [
                    time::from_wire("udf_date_1", request.udf_date_1, faults),
                    time::from_wire("udf_date_2", request.udf_date_2, faults),
                    time::from_wire("udf_date_3", request.udf_date_3, faults),
                    time::from_wire("udf_date_4", request.udf_date_4, faults),
                ],
            },
            accounts_receivable: identifier::accounts_receivable(request.accounts_receivable_identifier, faults),
            rewards_participant: identifier::rewards_participant(request.rewards_participant_identifier, faults),
            classification: identifier::classification(request.classification_identifier, faults),
        })
    })
}

pub(crate) fn update(request: v1::UpdateAccessTokenRequest) -> Parsed<(AccessTokenIdentifier, UpdateToken)> {
    parsed::<v1::AccessToken, _>(request.fields_set, |faults| {
        let identifier = identifier::access_token(request.access_token_identifier, faults);
        let mask = UpdateMask::of(request.update_mask, faults);
        let dates = [
            time::from_wire("udf_date_1", request.udf_date_1, faults),
            time::from_wire("udf_date_2", request.udf_date_2, faults),
            time::from_wire("udf_date_3", request.udf_date_3, faults),
            time::from_wire("udf_date_4", request.udf_date_4, faults),
        ];
        let update = UpdateToken {
            authentication_code: mask.apply("authentication_code", request.authentication_code, faults),
            identifier: mask.apply("identifier", request.identifier, faults),
            pass_code: mask.apply("pass_code", request.pass_code.map(Secret::new), faults),
            card_masked_number: mask.apply("card_masked_number", request.card_masked_number, faults),
            udf_strings: [
                mask.apply("udf_string_1", request.udf_string_1, faults),
                mask.apply("udf_string_2", request.udf_string_2, faults),
                mask.apply("udf_string_3", request.udf_string_3, faults),
                mask.apply("udf_string_4", request.udf_string_4, faults),
                mask.apply("udf_string_5", request.udf_string_5, faults),
                mask.apply("udf_string_6", request.udf_string_6, faults),
                mask.apply("udf_string_7", request.udf_string_7, faults),
                mask.apply("udf_string_8", request.udf_string_8, faults),
            ],
            udf_floats: [
                mask.apply("udf_float_1", request.udf_float_1, faults),
                mask.apply("udf_float_2", request.udf_float_2, faults),
                mask.apply("udf_float_3", request.udf_float_3, faults),
                mask.apply("udf_float_4", request.udf_float_4, faults),
            ],
            udf_dates: [
                mask.apply("udf_date_1", dates[0], faults),
                mask.apply("udf_date_2", dates[1], faults),
                mask.apply("udf_date_3", dates[2], faults),
                mask.apply("udf_date_4", dates[3], faults),
            ],
        };
        Some((identifier?, update))
    })
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::Reason;
    use prost_types::{FieldMask, Timestamp};

    use super::*;

    fn token() -> Option<v1::AccessTokenIdentifier> {
        let number = v1::access_token_identifier::Identifier::Number("AT0000000001".to_owned());
        Some(v1::AccessTokenIdentifier { identifier: Some(number) })
    }

    #[test]
    fn a_creation_names_every_field_at_fault() {
        let request = v1::CreateAccessTokenRequest {
            udf_date_2: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
            accounts_receivable_identifier: Some(v1::AccountsReceivableIdentifier::default()),
            fields_set: Some(FieldMask { paths: vec!["x".to_owned()] }),
            ..Default::default()
        };
        let error = create(request).err().expect("three faults");
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["udf_date_2", "accounts_receivable_identifier", "fields_set"]);
    }

    #[test]
    fn empty_texts_and_numbers_that_are_none_reach_the_rules() {
        let request = v1::CreateAccessTokenRequest {
            identifier: Some(String::new()),
            udf_float_3: Some(f64::NAN),
            udf_string_8: Some(String::new()),
            ..Default::default()
        };
        let (read, _) = create(request).expect("the rules decide");
        assert_eq!(read.identifier.as_deref(), Some(""));
        assert_eq!(read.udf.strings[7].as_deref(), Some(""));
        assert!(read.udf.floats[2].is_some_and(f64::is_nan));
    }

    #[test]
    fn a_path_without_value_is_null_and_the_rest_is_left_alone() {
        let request = v1::UpdateAccessTokenRequest {
            access_token_identifier: token(),
            udf_date_4: Some(Timestamp { seconds: 1, nanos: 1_999 }),
            update_mask: Some(FieldMask { paths: vec!["authentication_code".to_owned(), "udf_date_4".to_owned()] }),
            ..Default::default()
        };
        let ((_, update), _) = update(request).expect("valid");
        assert_eq!(update.authentication_code, Some(None));
        assert_eq!(update.udf_dates[3].flatten().expect("set").timestamp_subsec_nanos(), 1_000);
        assert!(update.identifier.is_none() && update.pass_code.is_none() && update.udf_strings[0].is_none());
    }

    #[test]
    fn a_value_outside_of_the_mask_is_not_lost_silently() {
        let request = v1::UpdateAccessTokenRequest {
            access_token_identifier: token(),
            pass_code: Some("1234".to_owned()),
            udf_string_1: Some("a".to_owned()),
            update_mask: Some(FieldMask { paths: vec!["identifier".to_owned()] }),
            ..Default::default()
        };
        let error = update(request).err().expect("two changes would be lost");
        assert_eq!(error.reason(), Reason::InvalidFieldValue);
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["pass_code", "udf_string_1"]);
        assert!(!error.message().contains("1234"));
    }
}
