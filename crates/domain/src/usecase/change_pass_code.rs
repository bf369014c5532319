//! Changes a pass code, for a caller that presents the old one or a one-time password.

use super::check_pass_code::Presented;
use super::verifier::{Check, Verified, invalid_credential};
use super::{AccessTokens, Answer};
use crate::model::access_token::{Precondition, TokenChanges};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::Proof;
use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::{Caller, Permission};
use crate::policy::attempts::Attempts;
use crate::ports::HashWork;
use crate::ports::store::{OwnerJoins, Store};
use crate::{Error, Reason, Result};

/// A request to change a pass code.
#[derive(Clone)]
pub struct ChangePassCode {
    /// The token, with its old pass code or a one-time password.
    pub presented: Presented,
    /// The new pass code.
    pub new_pass_code: Secret,
}

impl<S: Store> AccessTokens<S> {
    /// Sets a new pass code of an EFFECTIVE token. The same write removes the one-time password, whether or not the
    /// caller presented it. A new pass code that breaks the policy leaves both as they were.
    pub async fn change_pass_code(
        &self,
        caller: &Caller,
        request: ChangePassCode,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let proof = request.presented.proof(&[SecretKind::PassCode, SecretKind::OneTimePassword])?;
        Error::of_check("new_pass_code", crate::model::text::written(request.new_pass_code.expose()))?;
        let (key, state) = (request.presented.identifier.key(), Some(LifeCycleState::Effective));
        let check = Check { key, kind: proof.kind(), secret: proof.secret(), state, joins: OwnerJoins::from(fields) };
        let Verified { found, .. } = match self.verify_secret(caller, check).await? {
            Ok(verified) => verified,
            Err(rejection) => return Err(rejection.error(caller, Reason::InvalidCredential)),
        };
        let token = &found.token;
        let policy = found.reference.policy(token.classification.as_deref());
        Error::of_check("new_pass_code", policy.check_pass_code(request.new_pass_code.expose(), token.names()))?;

        let mut precondition =
            Precondition { life_cycle_state: Some(LifeCycleState::Effective), ..Precondition::default() };
        match proof {
            Proof::PassCode(_) => precondition.pass_code = token.pass_code.clone(),
            Proof::OneTimePassword(_) => {
                precondition.one_time_password = token.one_time_password.as_ref().map(|code| code.hash.clone());
            }
        }
        let id = token.id.clone();
        let hash = self.secrets.hash(HashWork::call(caller.organisation), request.new_pass_code.clone()).await?;
        let changes = TokenChanges { pass_code: Some(Some(hash)), ..TokenChanges::default() };
        let written = match self.write(caller, found, precondition, changes).await {
            // Another call used the password in the meantime. The error is that of a used password.
            Err(error) if error.reason() == Reason::Conflict && proof.kind() == SecretKind::OneTimePassword => {
                return Err(invalid_credential());
            }
            written => written?,
        };
        if proof.kind() != SecretKind::PassCode {
            // The old pass code is gone, so its lock must not delay the owner, who proved another secret.
            let attempts = self.store.attempts(caller.organisation, &id, SecretKind::PassCode).await?;
            if attempts.state.in_a_row > 0 {
                self.update_attempts(caller.organisation, &id, SecretKind::PassCode, attempts, Attempts::series_ended)
                    .await?;
            }
        }
        self.answer(caller, written, fields)
    }
}
