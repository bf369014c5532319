//! Requests about existing access tokens. Requests that create and change them are in [`super::changes`], requests about secrets in
//! [`super::credential`].

use access_tokens_domain::error::Violations;
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::identifier::{AccessTokenIdentifier, ResetIdentifier};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::{ListTokens, NotAssociated, VerifyToken};
use access_tokens_domain::{Error, Reason, Result};
use access_tokens_proto::v1;
use prost::Name;
use prost_types::FieldMask;

use super::fields::selection;
use super::identifier;

/// A converted request with the wanted fields of its response.
pub(crate) type Parsed<T> = Result<(T, FieldSelection)>;

pub(crate) fn show(request: v1::ShowAccessTokenRequest) -> Parsed<AccessTokenIdentifier> {
    one::<v1::AccessToken>(request.access_token_identifier, request.fields_set)
}

pub(crate) fn set_as_effective(request: v1::SetAsEffectiveRequest) -> Parsed<AccessTokenIdentifier> {
    one::<v1::AccessToken>(request.access_token_identifier, request.fields_set)
}

pub(crate) fn set_as_not_effective(request: v1::SetAsNotEffectiveRequest) -> Parsed<AccessTokenIdentifier> {
    one::<v1::AccessToken>(request.access_token_identifier, request.fields_set)
}

pub(crate) fn generate_otp(request: v1::GenerateOtpRequest) -> Parsed<AccessTokenIdentifier> {
    one::<v1::GenerateOtpResponse>(request.access_token_identifier, request.fields_set)
}

pub(crate) fn explain(request: v1::ExplainAccessTokenRequest) -> Parsed<AccessTokenIdentifier> {
    one::<v1::ExplainAccessTokenResponse>(request.access_token_identifier, request.fields_set)
}

/// Converts a request that names one token and nothing else. The response is an `M`.
fn one<M: Name>(
    identifier: Option<v1::AccessTokenIdentifier>,
    mask: Option<FieldMask>,
) -> Parsed<AccessTokenIdentifier> {
    parsed::<M, _>(mask, |violations| identifier::access_token(identifier, violations))
}

pub(crate) fn list(request: v1::ListAccessTokensRequest) -> Parsed<ListTokens> {
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        let owner = identifier::owner(request.owner, violations);
        let classification = identifier::classification(request.classification_identifier, violations);
        Some(ListTokens {
            owner: owner?,
            classification,
            number_of_results: request.number_of_results,
            offset: request.offset,
            // The field has no presence in the contract. An empty text means the first page.
            page_token: Some(request.page_token).filter(|token| !token.is_empty()),
        })
    })
}

pub(crate) fn not_associated(request: v1::GetNotAssociatedAccessTokensRequest) -> Parsed<NotAssociated> {
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        if request.number.is_none() {
            violations.add(Reason::RequiredFieldMissing, "number", "is required");
        }
        let life_cycle_state = state(request.life_cycle_state, violations);
        Some(NotAssociated { number: request.number, life_cycle_state })
    })
}

/// Reads a state to filter by. Unspecified means any.
fn state(number: Option<i32>, violations: &mut Violations) -> Option<LifeCycleState> {
    use v1::access_token::LifeCycleState as Wire;
    match Wire::try_from(number?) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Effective) => Some(LifeCycleState::Effective),
        Ok(Wire::NotEffective) => Some(LifeCycleState::NotEffective),
        Ok(Wire::PendingVerification) => Some(LifeCycleState::PendingVerification),
        Err(_) => {
            violations.add(Reason::InvalidFieldValue, "life_cycle_state", "is not a life cycle state");
            None
        }
    }
}

pub(crate) fn verify(request: v1::VerifyAccessTokenRequest) -> Parsed<VerifyToken> {
    parsed::<v1::AccessToken, _>(request.fields_set, |violations| {
        let identifier = identifier::access_token(request.access_token_identifier, violations);
        if request.verification_code.is_empty() {
            violations.add(Reason::RequiredFieldMissing, "verification_code", "is required");
        }
        Some(VerifyToken {
            identifier: identifier?,
            verification_code: Secret::new(request.verification_code),
            pass_code: request.pass_code.map(Secret::new),
        })
    })
}

pub(crate) fn reset_pass_code(request: v1::ResetPassCodeRequest) -> Parsed<ResetIdentifier> {
    parsed::<v1::ResetPassCodeResponse, _>(request.fields_set, |violations| {
        identifier::reset_pass_code(request.access_token, violations)
    })
}

pub(crate) fn reset_verification_code(request: v1::ResetVerificationCodeRequest) -> Parsed<ResetIdentifier> {
    parsed::<v1::ResetVerificationCodeResponse, _>(request.fields_set, |violations| {
        identifier::reset_verification_code(request.access_token, violations)
    })
}

pub(crate) fn list_classifications(request: v1::ListClassificationsRequest) -> Result<FieldSelection> {
    all::<v1::Classification>(request.fields_set)
}

pub(crate) fn list_guess_budgets(request: v1::ListGuessBudgetsRequest) -> Result<FieldSelection> {
    all::<v1::GuessBudget>(request.fields_set)
}

/// Converts a request for all objects of type `M`.
fn all<M: Name>(mask: Option<FieldMask>) -> Result<FieldSelection> {
    parsed::<M, _>(mask, |_| Some(())).map(|((), fields)| fields)
}

/// Converts a request whose response is an `M`, and then its mask, so that one error has the violations of both. `read` returns `None` only
/// after it has added a violation.
pub(super) fn parsed<M: Name, T>(
    mask: Option<FieldMask>,
    read: impl FnOnce(&mut Violations) -> Option<T>,
) -> Parsed<T> {
    let mut violations = Violations::default();
    let value = read(&mut violations);
    let fields = selection::<M>(mask.as_ref(), &mut violations);
    Ok((checked(value, violations)?, fields))
}

/// Returns the value if there are no violations. A missing required value has added one.
pub(super) fn checked<T>(value: Option<T>, violations: Violations) -> Result<T> {
    violations.into_result()?;
    value.ok_or_else(|| Error::internal("a required value is missing, and no violation says so"))
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::FieldViolation;

    use super::*;

    fn fields<T>(read: Parsed<T>) -> Vec<String> {
        let violations: Vec<FieldViolation> = read.err().expect("refused").violations().to_vec();
        violations.into_iter().map(|v| v.field).collect()
    }

    fn unknown_field() -> Option<FieldMask> {
        Some(FieldMask { paths: vec!["nonsense".to_owned()] })
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let request = v1::VerifyAccessTokenRequest { fields_set: unknown_field(), ..Default::default() };
        assert_eq!(fields(verify(request)), ["access_token_identifier", "verification_code", "fields_set"]);
        let request = v1::GetNotAssociatedAccessTokensRequest {
            life_cycle_state: Some(9),
            fields_set: unknown_field(),
            ..Default::default()
        };
        assert_eq!(fields(not_associated(request)), ["number", "life_cycle_state", "fields_set"]);
    }

    #[test]
    fn an_unspecified_state_filters_nothing() {
        for state in [None, Some(0)] {
            let request = v1::GetNotAssociatedAccessTokensRequest {
                number: Some(1),
                life_cycle_state: state,
                ..Default::default()
            };
            assert_eq!(not_associated(request).expect("valid").0.life_cycle_state, None);
        }
    }

    #[test]
    fn an_empty_page_token_is_the_first_page() {
        let owner =
            v1::list_access_tokens_request::Owner::RewardsParticipantIdentifier(v1::RewardsParticipantIdentifier {
                identifier: Some(v1::rewards_participant_identifier::Identifier::Number("1".to_owned())),
            });
        let request = v1::ListAccessTokensRequest { owner: Some(owner), ..Default::default() };
        assert_eq!(list(request).expect("valid").0.page_token, None);
    }

    #[test]
    fn an_identifier_without_its_alternative_does_not_become_no_filter() {
        let request = v1::ListAccessTokensRequest {
            classification_identifier: Some(v1::ClassificationIdentifier::default()),
            ..Default::default()
        };
        assert!(fields(list(request)).contains(&"classification_identifier".to_owned()));
    }
}
