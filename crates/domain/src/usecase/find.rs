//! Finds the token that a caller names.

use std::borrow::Cow;

use super::AccessTokens;
use crate::model::error::Violations;
use crate::model::identifier::{
    AccessTokenIdentifier, AccountsReceivableIdentifier, Proof, ResetIdentifier, RewardsParticipantIdentifier, TokenKey,
};
use crate::model::session::{Caller, OrganisationKey, Permission};
use crate::model::text;
use crate::ports::store::{FoundToken, Lookup, OwnerJoins, ReadOptions, Store, StoreError, Unique};
use crate::{Error, Reason, Result};

impl<S: Store> AccessTokens<S> {
    /// Returns the token with an identifier. The verifier checks a credential with a secret. It ignores `read` and uses
    /// [`ReadOptions::STRONG`].
    pub(super) async fn find(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> Result<FoundToken> {
        if let AccessTokenIdentifier::Credential { proof: None, .. } = identifier {
            caller.require(Permission::AccessTokensLookup)?;
        }
        check_key(identifier)?;
        if let AccessTokenIdentifier::Credential { proof: Some(proof), .. } = identifier {
            // Boxed to keep the future of other lookups small.
            let verified = Box::pin(self.authenticate(caller, identifier.key(), proof, None, joins)).await?;
            return Ok(verified.found);
        }
        let lookup = self.store.find_token(caller.organisation, identifier.key(), joins, read).await?;
        lookup.found.ok_or_else(|| not_found(identifier.key()))
    }

    /// Returns a code or identifier in its normalised form, in which it is stored. Refuses it when another token than
    /// `own` has it in the presented form, from before texts were normalised: two tokens would look the same.
    pub(super) async fn normalised(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        own: Option<&str>,
    ) -> Result<String> {
        let Cow::Owned(normalised) = text::nfc(key.text()) else { return Ok(key.text().to_owned()) };
        let other = self.store.find_token(organisation, key, OwnerJoins::NONE, ReadOptions::STRONG).await?.found;
        let unique = match key {
            TokenKey::Identifier(_) => Unique::Identifier,
            _ => Unique::AuthenticationCode,
        };
        match other.is_some_and(|other| Some(other.token.id.as_str()) != own) {
            true => Err(StoreError::Duplicate(unique).into()),
            false => Ok(normalised),
        }
    }

    /// Returns the token of a reset method, which finds it by identifier without a pass code.
    pub(super) async fn find_for_reset(&self, caller: &Caller, identifier: &ResetIdentifier) -> Result<FoundToken> {
        let lookup = self.find_by_reset_identifier(caller, identifier).await?;
        lookup.found.ok_or_else(|| token_not_found(identifier.field()))
    }

    /// Returns the token of a reset method, if there is one. For a method that must not reveal whether the token
    /// exists.
    pub(super) async fn find_by_reset_identifier(
        &self,
        caller: &Caller,
        identifier: &ResetIdentifier,
    ) -> Result<Lookup> {
        let (ResetIdentifier::AuthenticationCode(value) | ResetIdentifier::Identifier(value)) = identifier;
        check_text(identifier.field(), value, text::MAX_CODE_LENGTH)?;
        let (key, read) = (identifier.key(), ReadOptions::STRONG);
        Ok(self.store.find_token(caller.organisation, key, OwnerJoins::NONE, read).await?)
    }
}

const ACCOUNT_FIELD: &str = "accounts_receivable_identifier";
const PARTICIPANT_FIELD: &str = "rewards_participant_identifier";

/// Checks the limits of the identifier of an account.
pub(super) fn check_account(identifier: &AccountsReceivableIdentifier) -> Result<()> {
    match identifier {
        AccountsReceivableIdentifier::Id(id) => check_text(&format!("{ACCOUNT_FIELD}.id"), id, text::MAX_CODE_LENGTH),
        AccountsReceivableIdentifier::Number(number) => {
            check_text(&format!("{ACCOUNT_FIELD}.number"), number, text::MAX_CODE_LENGTH)
        }
        AccountsReceivableIdentifier::Name(name) => {
            check_text(&format!("{ACCOUNT_FIELD}.name"), name, text::MAX_NAME_LENGTH)
        }
    }
}

/// Returns the only account with an identifier.
pub(super) fn single_account<T>(mut found: Vec<T>) -> Result<T> {
    match (found.pop(), found.len()) {
        (Some(account), 0) => Ok(account),
        (Some(_), _) => {
            Err(Error::field(Reason::AmbiguousName, ACCOUNT_FIELD, "several accounts receivable have this name"))
        }
        (None, _) => {
            Err(Error::field(Reason::AccountsReceivableNotFound, ACCOUNT_FIELD, "no such accounts receivable"))
        }
    }
}

/// Checks the limits of the identifier of a participant.
pub(super) fn check_participant(identifier: &RewardsParticipantIdentifier) -> Result<()> {
    match identifier {
        RewardsParticipantIdentifier::Id(id) => {
            check_text(&format!("{PARTICIPANT_FIELD}.id"), id, text::MAX_CODE_LENGTH)
        }
        RewardsParticipantIdentifier::Number(number) => {
            check_text(&format!("{PARTICIPANT_FIELD}.number"), number, text::MAX_CODE_LENGTH)
        }
    }
}

/// Returns the participant, or an error if there is none.
pub(super) fn known_participant<T>(found: Option<T>) -> Result<T> {
    found.ok_or_else(|| {
        Error::field(Reason::RewardsParticipantNotFound, PARTICIPANT_FIELD, "no such rewards participant")
    })
}

/// Checks the limits of the identifier of a token. A value outside of them cannot exist, and must not reach a database.
pub(super) fn check_key(identifier: &AccessTokenIdentifier) -> Result<()> {
    let value = match identifier {
        AccessTokenIdentifier::AuthenticationCode(value)
        | AccessTokenIdentifier::Id(value)
        | AccessTokenIdentifier::Number(value)
        | AccessTokenIdentifier::Credential { identifier: value, .. } => value,
    };
    let mut violations = Violations::default();
    violations.check(&field_of(identifier.key()), text::code(value));
    if let AccessTokenIdentifier::Credential { proof: Some(proof), .. } = identifier {
        let field = format!("access_token_identifier.credential.{}", field_of_proof(proof));
        violations.check(&field, text::bounded(proof.secret().expose(), text::MAX_CODE_LENGTH));
    }
    violations.into_result()
}

/// Returns the error of a token that a caller named and that does not exist.
pub(super) fn not_found(key: TokenKey<'_>) -> Error {
    token_not_found(&field_of(key))
}

fn check_text(field: &str, value: &str, limit: usize) -> Result<()> {
    Error::of_check(field, text::bounded(value, limit))
}

/// Returns the name of the field of a proof.
pub(super) fn field_of_proof(proof: &Proof) -> &'static str {
    match proof {
        Proof::PassCode(_) => "pass_code",
        Proof::OneTimePassword(_) => "one_time_password",
    }
}

fn field_of(key: TokenKey<'_>) -> String {
    let alternative = match key {
        TokenKey::Id(_) => "id",
        TokenKey::Number(_) => "number",
        TokenKey::AuthenticationCode(_) => "authentication_code",
        TokenKey::Identifier(_) => "credential.identifier",
    };
    format!("access_token_identifier.{alternative}")
}

/// Returns the error of a token that does not exist. It names the alternative that was used, not its value.
fn token_not_found(field: &str) -> Error {
    Error::field(Reason::AccessTokenNotFound, field, "no such access token")
}
