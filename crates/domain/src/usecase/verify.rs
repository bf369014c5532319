//! Verifies an access token with the code that was sent to its owner.

use super::find::check_key;
use super::verifier::{Check, Rejection, Verified};
use super::{AccessTokens, Answer};
use crate::model::access_token::{Precondition, TokenChanges};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::life_cycle::{self, Transition};
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::{Caller, Permission};
use crate::model::text;
use crate::ports::HashWork;
use crate::ports::store::{OwnerJoins, ReadOptions, Store};
use crate::{Error, Reason, Result};

/// A request to verify a token.
#[derive(Clone)]
pub struct VerifyToken {
    /// Identifier of the token.
    pub identifier: AccessTokenIdentifier,
    /// Verification code.
    pub verification_code: Secret,
    /// Pass code to set in the same write.
    pub pass_code: Option<Secret>,
}

impl<S: Store> AccessTokens<S> {
    /// Verifies a PENDING_VERIFICATION token, which becomes EFFECTIVE.
    ///
    /// Callers without `access_tokens.secrets` get one error for every rejection. Others get the errors for an unknown
    /// token and a wrong state that every other method returns.
    pub async fn verify(&self, caller: &Caller, request: VerifyToken, fields: &FieldSelection) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        Error::of_check("verification_code", text::code(request.verification_code.expose()))?;
        match &request.identifier {
            AccessTokenIdentifier::Credential { proof: None, .. } => caller.require(Permission::AccessTokensLookup)?,
            // The credential contains another secret, which is checked first.
            AccessTokenIdentifier::Credential { proof: Some(_), .. } => {
                self.find(caller, &request.identifier, OwnerJoins::from(fields), ReadOptions::STRONG).await?;
            }
            _ => {}
        }
        check_key(&request.identifier)?;
        match self.verify_once(caller, &request, fields).await {
            // The code, or only its key, was replaced between the comparison and the write. This is another attempt.
            Err(error) if error.reason() == Reason::Conflict => self.verify_once(caller, &request, fields).await,
            done => done,
        }
    }

    async fn verify_once(&self, caller: &Caller, request: &VerifyToken, fields: &FieldSelection) -> Result<Answer> {
        let check = Check {
            key: request.identifier.key(),
            kind: SecretKind::VerificationCode,
            secret: &request.verification_code,
            state: Some(Transition::Verify.source()),
            joins: OwnerJoins::from(fields),
        };
        let Verified { found, .. } = match self.verify_secret(caller, check).await? {
            Ok(verified) => verified,
            Err(rejection) => return Err(self.refused(caller, &request.identifier, &rejection)),
        };
        let pass_code = match &request.pass_code {
            Some(pass_code) => {
                let policy = found.reference.policy(found.token.classification.as_deref());
                Error::of_check("pass_code", policy.check_pass_code(pass_code.expose(), found.token.names()))?;
                Some(Some(self.secrets.hash(HashWork::call(caller.organisation), pass_code.clone()).await?))
            }
            None => None,
        };
        let changes = TokenChanges {
            life_cycle_state: Some(Transition::Verify.target()),
            verified: Some((self.clock.now(), caller.user.clone())),
            pass_code,
            ..TokenChanges::default()
        };
        // When the state changes, the compared code must still be the one that was issued last.
        let verification = found.token.verification.as_ref().map(|code| code.hash.clone());
        let precondition = Precondition {
            life_cycle_state: Some(Transition::Verify.source()),
            verification,
            ..Precondition::default()
        };
        let found = self.write(caller, found, precondition, changes).await?;
        self.answer(caller, found, fields)
    }

    fn refused(&self, caller: &Caller, identifier: &AccessTokenIdentifier, rejection: &Rejection) -> Error {
        if caller.permissions.contains(Permission::AccessTokensSecrets) {
            let Some(found) = &rejection.found else { return super::find::not_found(identifier.key()) };
            if let Err(error) = life_cycle::require(Transition::Verify.source(), found.token.life_cycle_state) {
                return error;
            }
        }
        rejection.error(caller, Reason::InvalidVerificationCode)
    }
}
