//! Verify an access token with the code that was sent to its owner.

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

/// What a caller presents.
#[derive(Clone)]
pub struct VerifyToken {
    /// Which token.
    pub identifier: AccessTokenIdentifier,
    /// The code.
    pub verification_code: Secret,
    /// A pass code to set in the same step.
    pub pass_code: Option<Secret>,
}

impl<S: Store> AccessTokens<S> {
    /// Verifies a PENDING_VERIFICATION token, which becomes EFFECTIVE.
    ///
    /// Who may not know secrets gets one answer to whatever is not right. Who may is told of an unknown token and of a
    /// wrong state as by every other method.
    pub async fn verify(&self, caller: &Caller, request: VerifyToken, fields: &FieldSelection) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        Error::of_check("verification_code", text::code(request.verification_code.expose()))?;
        match &request.identifier {
            AccessTokenIdentifier::Credential { proof: None, .. } => caller.require(Permission::AccessTokensLookup)?,
            // The credential is a check of its own, of another secret.
            AccessTokenIdentifier::Credential { proof: Some(_), .. } => {
                self.find(caller, &request.identifier, OwnerJoins::from(fields), ReadOptions::STRONG).await?;
            }
            _ => {}
        }
        check_key(&request.identifier)?;
        match self.verify_once(caller, &request, fields).await {
            // The code was replaced between the comparison and the write, or only its key was: that is another attempt.
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
        // The code that was compared must still be the one issued last when the state changes.
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
