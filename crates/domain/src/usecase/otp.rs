//! Issues a one-time password.

use std::sync::Arc;

use chrono::Duration;

use super::AccessTokens;
use crate::Result;
use crate::model::access_token::{AccessToken, OneTimePassword, Precondition, TokenChanges};
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::life_cycle::{self, LifeCycleState};
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::{Caller, Permission};
use crate::model::time::Timestamp;
use crate::ports::Purpose;
use crate::ports::code;
use crate::ports::store::{OwnerJoins, ReadOptions, Store};

/// A new one-time password, which is shown only once.
pub struct IssuedOneTimePassword {
    /// The token.
    pub token: AccessToken,
    /// The code in clear.
    pub one_time_password: Secret,
    /// Time from which the password is no longer valid.
    pub expiration_date: Timestamp,
}

impl<S: Store> AccessTokens<S> {
    /// Issues a one-time password for an EFFECTIVE token (D3). It replaces an earlier one.
    pub async fn generate_otp(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
    ) -> Result<IssuedOneTimePassword> {
        caller.require(Permission::AccessTokensSecrets)?;
        let found = self.find(caller, identifier, OwnerJoins::NONE, ReadOptions::STRONG).await?;
        life_cycle::require(LifeCycleState::Effective, found.token.life_cycle_state)?;
        let reference = Arc::clone(&found.reference);
        let policy = reference.policy(found.token.classification.as_deref());
        self.admit_issue(caller.organisation, &found.token.id, SecretKind::OneTimePassword, policy).await?;
        let one_time_password = code::digits(self.random.as_ref(), policy.otp_length.into())?;
        let expiration_date = self.clock.now() + Duration::seconds(policy.otp_lifetime_seconds.into());
        let kept = OneTimePassword {
            hash: self.secrets.code_hash(Purpose::OneTimePassword, &found.token.id, &one_time_password)?,
            expiration_date,
        };
        let changes = TokenChanges { one_time_password: Some(Some(kept)), ..TokenChanges::default() };
        let precondition =
            Precondition { life_cycle_state: Some(LifeCycleState::Effective), ..Precondition::default() };
        let token = self.write(caller, found, precondition, changes).await?.token;
        Ok(IssuedOneTimePassword { token, one_time_password, expiration_date })
    }
}
