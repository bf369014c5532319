//! Resets a pass code or a verification code.

use std::sync::Arc;

use super::AccessTokens;
use crate::Result;
use crate::model::access_token::{AccessToken, Precondition, TokenChanges};
use crate::model::identifier::ResetIdentifier;
use crate::model::life_cycle::{self, LifeCycleState};
use crate::model::policy::{CodePolicy, Creation};
use crate::model::reference::Reference;
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::{Caller, Permission};
use crate::ports::HashWork;
use crate::ports::store::{FoundToken, Store};

/// A new pass code, which is shown only once.
pub struct IssuedPassCode {
    /// The token.
    pub token: AccessToken,
    /// Reference data of the token.
    pub reference: Arc<Reference>,
    /// The pass code in clear.
    pub random_pass_code: Secret,
}

/// A new verification code, which is shown to the caller.
pub struct IssuedVerificationCode {
    /// The token.
    pub token: AccessToken,
    /// Reference data of the token.
    pub reference: Arc<Reference>,
    /// The code in clear.
    pub verification_code: Secret,
}

impl<S: Store> AccessTokens<S> {
    /// Gives an EFFECTIVE token a random pass code: six digits, or a code in the format of the policy.
    pub async fn reset_pass_code(&self, caller: &Caller, identifier: &ResetIdentifier) -> Result<IssuedPassCode> {
        caller.require(Permission::AccessTokensSecrets)?;
        let found = self.find_for_reset(caller, identifier).await?;
        life_cycle::require(LifeCycleState::Effective, found.token.life_cycle_state)?;
        let reference = Arc::clone(&found.reference);
        let policy = reference.policy(found.token.classification.as_deref());
        self.admit_issue(caller.organisation, &found.token.id, SecretKind::PassCode, policy).await?;
        // AUTO_ID concerns creation only. A person types a reset code.
        let rules = CodePolicy { creation: Creation::None, ..policy.pass_code.clone() };
        let random_pass_code = rules.random(self.random.as_ref())?;
        let hash = self.secrets.hash(HashWork::call(caller.organisation), random_pass_code.clone()).await?;
        let changes = TokenChanges { pass_code: Some(Some(hash)), ..TokenChanges::default() };
        let precondition =
            Precondition { life_cycle_state: Some(LifeCycleState::Effective), ..Precondition::default() };
        let FoundToken { token, reference, .. } = self.write(caller, found, precondition, changes).await?;
        Ok(IssuedPassCode { token, reference, random_pass_code })
    }

    /// Gives a PENDING_VERIFICATION token a new verification code, which replaces the old one. The state stays.
    pub async fn reset_verification_code(
        &self,
        caller: &Caller,
        identifier: &ResetIdentifier,
    ) -> Result<IssuedVerificationCode> {
        caller.require(Permission::AccessTokensSecrets)?;
        let found = self.find_for_reset(caller, identifier).await?;
        life_cycle::require(LifeCycleState::PendingVerification, found.token.life_cycle_state)?;
        let reference = Arc::clone(&found.reference);
        let policy = reference.policy(found.token.classification.as_deref());
        self.admit_issue(caller.organisation, &found.token.id, SecretKind::VerificationCode, policy).await?;
        let (verification_code, kept) = self.issue_verification_code(&found.token.id, policy)?;
        let changes = TokenChanges { verification: Some(kept), ..TokenChanges::default() };
        let precondition =
            Precondition { life_cycle_state: Some(LifeCycleState::PendingVerification), ..Precondition::default() };
        let FoundToken { token, reference, .. } = self.write(caller, found, precondition, changes).await?;
        Ok(IssuedVerificationCode { token, reference, verification_code })
    }
}
