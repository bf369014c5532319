//! Updates the codes, the card and the user defined fields of an access token.

use std::sync::Arc;

use super::{AccessTokens, Answer, udf};
use crate::model::access_token::{AccessToken, Precondition, TokenChanges};
use crate::model::card;
use crate::model::error::Violations;
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::{AccessTokenIdentifier, TokenKey};
use crate::model::policy::Policy;
use crate::model::secret::Secret;
use crate::model::session::{Caller, Permission};
use crate::model::time::Timestamp;
use crate::ports::HashWork;
use crate::ports::code;
use crate::ports::store::{FoundToken, OwnerJoins, ReadOptions, Sequence, Store};
use crate::{Error, Reason, Result};

/// A request for changes. `None` leaves a field as it is, `Some(None)` sets it to null.
#[derive(Clone, Default)]
pub struct UpdateToken {
    /// A new authentication code. Null creates one.
    pub authentication_code: Option<Option<String>>,
    /// A new identifier, which requires a pass code in the same call (D6). Null clears the pass code too.
    pub identifier: Option<Option<String>>,
    /// A new pass code.
    pub pass_code: Option<Option<Secret>>,
    /// A new masked card number.
    pub card_masked_number: Option<Option<String>>,
    /// New user defined strings.
    pub udf_strings: [Option<Option<String>>; 8],
    /// New user defined numbers.
    pub udf_floats: [Option<Option<f64>>; 4],
    /// New user defined dates.
    pub udf_dates: [Option<Option<Timestamp>>; 4],
}

/// Maximum number of attempts to create a code that is not in use.
const MAX_CODE_ATTEMPTS: usize = 8;

impl<S: Store> AccessTokens<S> {
    /// Updates the token that the caller names, in any state.
    pub async fn update(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        mut request: UpdateToken,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let found = self.find(caller, identifier, OwnerJoins::from(fields), ReadOptions::STRONG).await?;
        let reference = Arc::clone(&found.reference);
        let policy = reference.policy(found.token.classification.as_deref());
        check(&request, policy, &found.token)?;
        let own = Some(found.token.id.as_str());
        if let Some(Some(code)) = &mut request.authentication_code {
            *code = self.normalised(caller.organisation, TokenKey::AuthenticationCode(code), own).await?;
        }
        if let Some(Some(identifier)) = &mut request.identifier {
            *identifier = self.normalised(caller.organisation, TokenKey::Identifier(identifier), own).await?;
        }

        let request_clears_pass_code_only =
            matches!(request.pass_code, Some(None)) && !matches!(request.identifier, Some(None));
        let mut changes = TokenChanges {
            identifier: request.identifier.clone(),
            card_masked_number: request.card_masked_number,
            udf_strings: request.udf_strings,
            udf_floats: request.udf_floats,
            udf_dates: request.udf_dates,
            ..TokenChanges::default()
        };
        let makes_code = request.authentication_code == Some(None);
        changes.authentication_code = match request.authentication_code {
            Some(None) => Some(self.new_code(caller, policy).await?),
            given => given.flatten(),
        };
        changes.pass_code = match (request.pass_code, &request.identifier) {
            (Some(Some(pass_code)), _) => {
                Some(Some(self.secrets.hash(HashWork::call(caller.organisation), pass_code).await?))
            }
            (Some(None), _) | (None, Some(None)) => Some(None),
            (None, _) => None,
        };
        // A pass code may be cleared only while no identifier needs it.
        let precondition =
            Precondition { without_identifier: request_clears_pass_code_only, ..Precondition::default() };
        let found = if makes_code {
            self.write_new_code(caller, found, policy, precondition, changes).await?
        } else {
            self.write(caller, found, precondition, changes).await?
        };
        self.answer(caller, found, fields)
    }

    /// Returns a new code for a caller that requests one. It is random if the policy creates none.
    async fn new_code(&self, caller: &Caller, policy: &Policy) -> Result<String> {
        let (rules, sequence) = (&policy.authentication_code, Sequence::AuthenticationCode);
        let generated = self.generate(caller.organisation, rules, sequence).await?;
        generated.map_or_else(|| code::hex_id(self.random.as_ref()), Ok)
    }

    /// Writes changes with a created code. A code that turns out to be in use is created again.
    async fn write_new_code(
        &self,
        caller: &Caller,
        found: FoundToken,
        policy: &Policy,
        precondition: Precondition,
        mut changes: TokenChanges,
    ) -> Result<FoundToken> {
        for _ in 1..MAX_CODE_ATTEMPTS {
            match self.write(caller, found.clone(), precondition.clone(), changes.clone()).await {
                Err(error) if error.reason() == Reason::AuthenticationCodeAlreadyExists => {
                    let (rules, sequence) = (&policy.authentication_code, Sequence::AuthenticationCode);
                    self.skip_taken_numbers(caller.organisation, rules, sequence).await?;
                    changes.authentication_code = Some(self.new_code(caller, policy).await?);
                }
                written => return written,
            }
        }
        self.write(caller, found, precondition, changes).await
    }
}

/// Checks the rules of an update. The error names all fields at fault.
fn check(request: &UpdateToken, policy: &Policy, token: &AccessToken) -> Result<()> {
    let mut violations = Violations::default();
    if let Some(Some(code)) = &request.authentication_code {
        violations.check("authentication_code", policy.authentication_code.check(code));
    }
    if let Some(Some(identifier)) = &request.identifier {
        violations.check("identifier", policy.identifier.check(identifier));
        if !matches!(request.pass_code, Some(Some(_))) {
            violations.add(Reason::RequiredFieldMissing, "pass_code", "is required with an identifier");
        }
    }
    if let Some(Some(pass_code)) = &request.pass_code {
        let new =
            [&request.authentication_code, &request.identifier].into_iter().filter_map(|new| new.as_ref()?.as_deref());
        violations.check("pass_code", policy.check_pass_code(pass_code.expose(), token.names().chain(new)));
        if matches!(request.identifier, Some(None)) {
            violations.add(Reason::InvalidFieldValue, "pass_code", "is cleared together with the identifier");
        }
    }
    if let Some(Some(masked)) = &request.card_masked_number {
        violations.check("card_masked_number", card::check(masked));
    }
    let strings = request.udf_strings.iter().map(|text| text.as_ref().and_then(Option::as_deref));
    violations.extend(udf::check(strings, request.udf_floats.map(Option::flatten)));
    violations.into_result()?;
    check_what_remains(request, policy, token)
}

/// Checks rule 2 of a creation for the token as it would be after the update.
fn check_what_remains(request: &UpdateToken, policy: &Policy, token: &AccessToken) -> Result<()> {
    let clears_identifier = matches!(request.identifier, Some(None));
    let clears_pass_code = matches!(request.pass_code, Some(None));
    if clears_identifier && !policy.allow_without_identifier_and_pass_code {
        let text = "the policy does not allow a token without identifier and pass code";
        return Err(Error::field(Reason::IdentifierRequired, "identifier", text));
    }
    if clears_pass_code && !clears_identifier && token.identifier.is_some() {
        let text = "a token with an identifier must have a pass code";
        return Err(Error::field(Reason::IdentifierRequired, "pass_code", text));
    }
    Ok(())
}
