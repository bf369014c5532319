//! Verify an access token with the code that was sent to its owner.

use super::{AccessTokens, Answer, Want};
use crate::access_token::{Guard, TokenChanges};
use crate::identifier::AccessTokenIdentifier;
use crate::life_cycle::{self, Transition};
use crate::ports::Purpose;
use crate::secret::Secret;
use crate::session::{Caller, Permission};
use crate::store::Store;
use crate::{Error, Reason, Result, text};

/// What a caller presents.
#[derive(Debug, Clone)]
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
    pub async fn verify(&self, caller: &Caller, request: VerifyToken, want: Want) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        Error::of_check("verification_code", text::code(request.verification_code.expose()))?;
        let found = self.find(caller, &request.identifier, want.owners).await?;
        life_cycle::require(Transition::Verify.source(), found.token.life_cycle_state)?;
        let stored = found.token.verification.as_ref().map(|code| code.hash.clone());
        let matches = stored.as_ref().is_some_and(|hash| {
            self.secrets.code_matches(Purpose::Verification, &found.token.id, &request.verification_code, hash)
        });
        if !matches {
            let text = "is not the verification code of this access token";
            return Err(Error::field(Reason::InvalidVerificationCode, "verification_code", text));
        }
        let reference = self.store.reference(caller.organisation).await?;
        let pass_code = match request.pass_code {
            Some(pass_code) => {
                let policy = reference.policy(found.token.classification.as_deref());
                Error::of_check("pass_code", policy.pass_code.check(pass_code.expose()))?;
                Some(Some(self.secrets.hash(pass_code).await?))
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
        let guard =
            Guard { life_cycle_state: Some(Transition::Verify.source()), verification: stored, ..Guard::default() };
        let found = self.write(caller, &reference, found, guard, changes).await?;
        self.answer(caller, found, want).await
    }
}
