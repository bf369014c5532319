//! Requests about the secrets of an access token: to check, to change and to unlock them.

use access_tokens_domain::Reason;
use access_tokens_domain::attempts::SecretKind;
use access_tokens_domain::error::Violations;
use access_tokens_domain::identifier::{AccessTokenIdentifier, Proof, ResetIdentifier};
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::{ChangePassCode, Presented};
use access_tokens_proto::v1;

use super::fields::SHOWN_PATHS;
use super::identifier;
use super::request::{Parsed, checked, parsed};

const PASS_CODE: &str = "pass_code";
const ONE_TIME_PASSWORD: &str = "one_time_password";

pub(crate) fn check_pass_code(request: v1::CheckPassCodeRequest) -> Parsed<Presented> {
    let proof = request.pass_code.map(|code| Proof::PassCode(Secret::new(code)));
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        presented(request.access_token_identifier, proof, &[PASS_CODE], violations)
    })
}

pub(crate) fn verify_otp(request: v1::VerifyOtpRequest) -> Parsed<Presented> {
    let proof = request.one_time_password.map(|code| Proof::OneTimePassword(Secret::new(code)));
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        presented(request.access_token_identifier, proof, &[ONE_TIME_PASSWORD], violations)
    })
}

pub(crate) fn change_pass_code(request: v1::ChangePassCodeRequest) -> Parsed<ChangePassCode> {
    use v1::change_pass_code_request::Proof as Wire;
    let proof = request.proof.map(|proof| match proof {
        Wire::PassCode(code) => Proof::PassCode(Secret::new(code)),
        Wire::OneTimePassword(code) => Proof::OneTimePassword(Secret::new(code)),
    });
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        let expected = [PASS_CODE, ONE_TIME_PASSWORD];
        let presented = presented(request.access_token_identifier, proof, &expected, violations);
        if request.new_pass_code.is_empty() {
            violations.add(Reason::RequiredFieldMissing, "new_pass_code", "is required");
        }
        Some(ChangePassCode { presented: presented?, new_pass_code: Secret::new(request.new_pass_code) })
    })
}

pub(crate) fn forgot_pass_code(request: v1::ForgotPassCodeRequest) -> access_tokens_domain::Result<ResetIdentifier> {
    let mut violations = Violations::default();
    let identifier = identifier::forgot_pass_code(request.access_token, &mut violations);
    checked(identifier, violations)
}

pub(crate) fn unlock(request: v1::UnlockAccessTokenRequest) -> Parsed<(AccessTokenIdentifier, Vec<SecretKind>)> {
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        let identifier = identifier::access_token(request.access_token_identifier, violations);
        let kinds = secret_kinds(&request.secret_kinds, violations);
        Some((identifier?, kinds))
    })
}

/// Reads a token and its secret. The secret is required: in the credential of the identifier, or in one of these separate fields. The use
/// case refuses a second secret, or one of the wrong kind.
fn presented(
    identifier: Option<v1::AccessTokenIdentifier>,
    proof: Option<Proof>,
    fields: &[&str],
    violations: &mut Violations,
) -> Option<Presented> {
    let identifier = identifier::access_token(identifier, violations);
    let within = matches!(identifier, Some(AccessTokenIdentifier::Credential { proof: Some(_), .. }));
    if proof.is_none() && !within {
        for field in fields {
            let others: Vec<_> = fields.iter().filter(|other| *other != field).copied().collect();
            let unless = if others.is_empty() { String::new() } else { format!(", unless {} is", others.join(" or ")) };
            let text = format!("is required, here or within the credential{unless}");
            violations.add(Reason::RequiredFieldMissing, *field, text);
        }
    }
    Some(Presented { identifier: identifier?, proof })
}

fn secret_kinds(numbers: &[i32], violations: &mut Violations) -> Vec<SecretKind> {
    use v1::access_token::SecretKind as Wire;
    let kind = |number: i32| match Wire::try_from(number) {
        Ok(Wire::PassCode) => Some(SecretKind::PassCode),
        Ok(Wire::VerificationCode) => Some(SecretKind::VerificationCode),
        Ok(Wire::OneTimePassword) => Some(SecretKind::OneTimePassword),
        Ok(Wire::Unspecified) | Err(_) => None,
    };
    let bad = numbers.iter().enumerate().filter(|(_, number)| kind(**number).is_none());
    for (index, _) in bad.take(SHOWN_PATHS) {
        violations.add(Reason::InvalidFieldValue, format!("secret_kinds[{index}]"), "is not a kind of secret");
    }
    numbers.iter().filter_map(|number| kind(*number)).collect()
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::v1::access_token_identifier::{Credential, Identifier};
    use prost_types::FieldMask;

    use super::*;

    fn by(identifier: Identifier) -> Option<v1::AccessTokenIdentifier> {
        Some(v1::AccessTokenIdentifier { identifier: Some(identifier) })
    }

    fn credential(pass_code: Option<&str>, one_time_password: Option<&str>) -> Option<v1::AccessTokenIdentifier> {
        let [pass_code, one_time_password] = [pass_code, one_time_password].map(|code| code.map(str::to_owned));
        by(Identifier::Credential(Credential { identifier: "shemar".to_owned(), pass_code, one_time_password }))
    }

    fn faults<T>(read: access_tokens_domain::Result<T>) -> Vec<(String, Reason)> {
        let error = read.err().expect("refused");
        assert!(!error.message().contains("s3cret"), "{}", error.message());
        error.violations().iter().map(|v| (v.field.clone(), v.reason)).collect()
    }

    fn missing(fields: &[&str]) -> Vec<(String, Reason)> {
        fields.iter().map(|field| ((*field).to_owned(), Reason::RequiredFieldMissing)).collect()
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let mask = || Some(FieldMask { paths: vec!["nonsense".to_owned()] });
        let unknown = ("fields_set".to_owned(), Reason::UnknownField);
        let check = v1::CheckPassCodeRequest { fields_set: mask(), ..Default::default() };
        let expected = [missing(&["access_token_identifier", "pass_code"]), vec![unknown.clone()]].concat();
        assert_eq!(faults(check_pass_code(check)), expected);
        let otp = v1::VerifyOtpRequest { fields_set: mask(), ..Default::default() };
        let expected = [missing(&["access_token_identifier", "one_time_password"]), vec![unknown.clone()]].concat();
        assert_eq!(faults(verify_otp(otp)), expected);
        let change = v1::ChangePassCodeRequest { fields_set: mask(), ..Default::default() };
        let fields = ["access_token_identifier", "pass_code", "one_time_password", "new_pass_code"];
        assert_eq!(faults(change_pass_code(change)), [missing(&fields), vec![unknown]].concat());
        let identifiers = ["authentication_code", "identifier"].map(|f| (f.to_owned(), Reason::InvalidIdentifier));
        assert_eq!(faults(forgot_pass_code(v1::ForgotPassCodeRequest::default())), identifiers);
    }

    #[test]
    fn a_secret_is_given_within_the_credential_or_beside_it() {
        let beside = v1::CheckPassCodeRequest {
            access_token_identifier: credential(None, None),
            pass_code: Some("1234".to_owned()),
            ..Default::default()
        };
        let (read, _) = check_pass_code(beside).expect("valid");
        assert!(matches!(read.proof, Some(Proof::PassCode(code)) if code.expose() == "1234"));
        assert!(matches!(read.identifier, AccessTokenIdentifier::Credential { proof: None, .. }));
        let within =
            v1::VerifyOtpRequest { access_token_identifier: credential(None, Some("012345")), ..Default::default() };
        let (read, _) = verify_otp(within).expect("valid");
        assert!(read.proof.is_none());
        let AccessTokenIdentifier::Credential { proof: Some(proof), .. } = read.identifier else { panic!("none") };
        assert!(matches!(proof, Proof::OneTimePassword(code) if code.expose() == "012345"));
    }

    #[test]
    fn either_secret_proves_a_change() {
        use v1::change_pass_code_request::Proof as Wire;
        let change = |proof| v1::ChangePassCodeRequest {
            access_token_identifier: by(Identifier::Number("AT1".to_owned())),
            proof,
            new_pass_code: "5678".to_owned(),
            ..Default::default()
        };
        let kind = |proof| {
            let (read, _) = change_pass_code(change(Some(proof))).expect("valid");
            assert_eq!(read.new_pass_code.expose(), "5678");
            read.presented.proof.map(|proof| proof.kind())
        };
        assert_eq!(kind(Wire::PassCode("1234".to_owned())), Some(SecretKind::PassCode));
        assert_eq!(kind(Wire::OneTimePassword("1234".to_owned())), Some(SecretKind::OneTimePassword));
        assert_eq!(faults(change_pass_code(change(None))), missing(&["pass_code", "one_time_password"]));
    }

    #[test]
    fn two_secrets_in_a_credential_exclude_each_other() {
        let both = v1::CheckPassCodeRequest {
            access_token_identifier: credential(Some("s3cret"), Some("s3cret")),
            ..Default::default()
        };
        let field = "access_token_identifier.credential.one_time_password".to_owned();
        assert_eq!(faults(check_pass_code(both)), [(field, Reason::InvalidFieldValue)]);
    }

    #[test]
    fn kinds_that_are_none_are_named_by_their_place() {
        let unlock = |secret_kinds: Vec<i32>| {
            let access_token_identifier = by(Identifier::Id("1".to_owned()));
            unlock(v1::UnlockAccessTokenRequest { access_token_identifier, secret_kinds, fields_set: None })
        };
        let ((_, kinds), _) = unlock(vec![1, 3, 2]).expect("valid");
        assert_eq!(kinds, [SecretKind::PassCode, SecretKind::OneTimePassword, SecretKind::VerificationCode]);
        assert!(unlock(Vec::new()).expect("valid").0.1.is_empty());
        let bad = |index| (format!("secret_kinds[{index}]"), Reason::InvalidFieldValue);
        assert_eq!(faults(unlock(vec![0, 1, 4, -1])), [bad(0), bad(2), bad(3)]);
        assert_eq!(faults(unlock(vec![9; 10_000])).len(), SHOWN_PATHS);
    }
}
