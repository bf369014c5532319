//! Identifiers. The caller gives exactly one alternative of a oneof: it cannot carry several, and none is a violation.

use access_tokens_domain::Reason;
use access_tokens_domain::error::Violations;
use access_tokens_domain::identifier::{
    AccessTokenIdentifier, AccountsReceivableIdentifier, ClassificationIdentifier, OwnerIdentifier, Proof,
    ResetIdentifier, RewardsParticipantIdentifier,
};
use access_tokens_domain::secret::Secret;
use access_tokens_proto::v1::{self, list_access_tokens_request};

const TOKEN: &str = "access_token_identifier";
const ACCOUNT: &str = "accounts_receivable_identifier";
const PARTICIPANT: &str = "rewards_participant_identifier";
const CLASSIFICATION: &str = "classification_identifier";

/// Converts the alternatives of a oneof that have the same names and values in the domain. `None`: no alternative is given.
macro_rules! same_alternatives {
    ($given:expr, $wire:path => $domain:ident { $($alternative:ident),+ }) => {{
        use $wire as Wire;
        match $given {
            $(Some(Wire::$alternative(value)) => Some($domain::$alternative(value)),)+
            None => None,
        }
    }};
}

/// Reads the identifier of the access token, which is required.
pub(super) fn access_token(
    identifier: Option<v1::AccessTokenIdentifier>,
    violations: &mut Violations,
) -> Option<AccessTokenIdentifier> {
    use v1::access_token_identifier::Identifier;
    let Some(identifier) = identifier else {
        violations.add(Reason::RequiredFieldMissing, TOKEN, "is required");
        return None;
    };
    match identifier.identifier {
        Some(Identifier::AuthenticationCode(code)) => Some(AccessTokenIdentifier::AuthenticationCode(code)),
        Some(Identifier::Credential(given)) => Some(credential(given, violations)),
        Some(Identifier::Id(id)) => Some(AccessTokenIdentifier::Id(id)),
        Some(Identifier::Number(number)) => Some(AccessTokenIdentifier::Number(number)),
        None => none_of(TOKEN, "authentication_code, credential, id, number", violations),
    }
}

/// Reads a login, with at most one secret.
fn credential(given: v1::access_token_identifier::Credential, violations: &mut Violations) -> AccessTokenIdentifier {
    if given.pass_code.is_some() && given.one_time_password.is_some() {
        let field = format!("{TOKEN}.credential.one_time_password");
        violations.add(Reason::InvalidFieldValue, field, "excludes pass_code: only one of them may be given");
    }
    let pass_code = given.pass_code.map(|code| Proof::PassCode(Secret::new(code)));
    let one_time_password = given.one_time_password.map(|code| Proof::OneTimePassword(Secret::new(code)));
    AccessTokenIdentifier::Credential { identifier: given.identifier, proof: pass_code.or(one_time_password) }
}

/// Reads the identifier of an accounts receivable, if one is given.
pub(super) fn accounts_receivable(
    identifier: Option<v1::AccountsReceivableIdentifier>,
    violations: &mut Violations,
) -> Option<AccountsReceivableIdentifier> {
    same_alternatives!(
        identifier?.identifier,
        v1::accounts_receivable_identifier::Identifier => AccountsReceivableIdentifier { Id, Number, Name }
    )
    .or_else(|| none_of(ACCOUNT, "id, number, name", violations))
}

/// Reads the identifier of a rewards participant, if one is given.
pub(super) fn rewards_participant(
    identifier: Option<v1::RewardsParticipantIdentifier>,
    violations: &mut Violations,
) -> Option<RewardsParticipantIdentifier> {
    same_alternatives!(
        identifier?.identifier,
        v1::rewards_participant_identifier::Identifier => RewardsParticipantIdentifier { Id, Number }
    )
    .or_else(|| none_of(PARTICIPANT, "id, number", violations))
}

/// Reads the identifier of a classification, if one is given.
pub(super) fn classification(
    identifier: Option<v1::ClassificationIdentifier>,
    violations: &mut Violations,
) -> Option<ClassificationIdentifier> {
    same_alternatives!(
        identifier?.identifier,
        v1::classification_identifier::Identifier => ClassificationIdentifier { Id, Name, AlternativeCode }
    )
    .or_else(|| none_of(CLASSIFICATION, "id, name, alternative_code", violations))
}

/// Reads the owner whose tokens are listed, which is required.
pub(super) fn owner(
    owner: Option<list_access_tokens_request::Owner>,
    violations: &mut Violations,
) -> Option<OwnerIdentifier> {
    match owner {
        Some(list_access_tokens_request::Owner::AccountsReceivableIdentifier(identifier)) => {
            accounts_receivable(Some(identifier), violations).map(OwnerIdentifier::AccountsReceivable)
        }
        Some(list_access_tokens_request::Owner::RewardsParticipantIdentifier(identifier)) => {
            rewards_participant(Some(identifier), violations).map(OwnerIdentifier::RewardsParticipant)
        }
        None => {
            for (field, other) in [(ACCOUNT, PARTICIPANT), (PARTICIPANT, ACCOUNT)] {
                violations.add(Reason::RequiredFieldMissing, field, format!("is required, unless {other} is given"));
            }
            None
        }
    }
}

/// Declares functions that read the access token that a request is about, which is required.
macro_rules! reset_identifiers {
    ($($name:ident: $request:ident),+) => {$(
        pub(super) fn $name(
            identifier: Option<v1::$request::AccessToken>,
            violations: &mut Violations,
        ) -> Option<ResetIdentifier> {
            same_alternatives!(
                identifier,
                v1::$request::AccessToken => ResetIdentifier { AuthenticationCode, Identifier }
            )
            .or_else(|| neither(violations))
        }
    )+};
}

reset_identifiers! {
    reset_pass_code: reset_pass_code_request,
    reset_verification_code: reset_verification_code_request,
    forgot_pass_code: forgot_pass_code_request
}

fn none_of<T>(field: &str, alternatives: &str, violations: &mut Violations) -> Option<T> {
    violations.add(Reason::InvalidIdentifier, field, format!("must have exactly one of: {alternatives}"));
    None
}

fn neither<T>(violations: &mut Violations) -> Option<T> {
    for (field, other) in [("authentication_code", "identifier"), ("identifier", "authentication_code")] {
        violations.add(Reason::InvalidIdentifier, field, format!("is required, unless {other} is given"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault<T>(read: impl FnOnce(&mut Violations) -> Option<T>) -> (Reason, Vec<String>) {
        let mut violations = Violations::default();
        assert!(read(&mut violations).is_none());
        let error = violations.into_result().expect_err("a violation");
        (error.reason(), error.violations().iter().map(|v| v.field.clone()).collect())
    }

    #[test]
    fn none_of_the_alternatives_is_an_error_that_names_the_field() {
        let token = v1::AccessTokenIdentifier::default();
        assert_eq!(fault(|v| access_token(None, v)), (Reason::RequiredFieldMissing, vec![TOKEN.to_owned()]));
        assert_eq!(fault(|v| access_token(Some(token), v)), (Reason::InvalidIdentifier, vec![TOKEN.to_owned()]));
        let account = Some(v1::AccountsReceivableIdentifier::default());
        assert_eq!(fault(|v| accounts_receivable(account, v)).1, [ACCOUNT]);
        let participant = Some(v1::RewardsParticipantIdentifier::default());
        assert_eq!(fault(|v| rewards_participant(participant, v)).1, [PARTICIPANT]);
        let class = Some(v1::ClassificationIdentifier::default());
        assert_eq!(fault(|v| classification(class, v)).1, [CLASSIFICATION]);
    }

    #[test]
    fn a_missing_owner_names_both_alternatives() {
        let both = vec![ACCOUNT.to_owned(), PARTICIPANT.to_owned()];
        assert_eq!(fault(|v| owner(None, v)), (Reason::RequiredFieldMissing, both));
        let both = vec!["authentication_code".to_owned(), "identifier".to_owned()];
        assert_eq!(fault(|v| reset_pass_code(None, v)), (Reason::InvalidIdentifier, both.clone()));
        assert_eq!(fault(|v| reset_verification_code(None, v)), (Reason::InvalidIdentifier, both.clone()));
        assert_eq!(fault(|v| forgot_pass_code(None, v)), (Reason::InvalidIdentifier, both));
    }

    #[test]
    fn an_empty_text_is_a_value() {
        let mut violations = Violations::default();
        let empty = v1::AccountsReceivableIdentifier {
            identifier: Some(v1::accounts_receivable_identifier::Identifier::Name(String::new())),
        };
        let read = accounts_receivable(Some(empty), &mut violations);
        assert!(matches!(read, Some(AccountsReceivableIdentifier::Name(name)) if name.is_empty()));
        assert!(violations.is_empty());
    }
}
