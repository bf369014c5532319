//! Checks and consumes a one-time password.

use super::check_pass_code::Presented;
use super::{AccessTokens, Answer};
use crate::Result;
use crate::model::field_selection::FieldSelection;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{OwnerJoins, Store};

impl<S: Store> AccessTokens<S> {
    /// Checks the one-time password of an EFFECTIVE token and consumes it. If several calls present the right password
    /// concurrently, exactly one succeeds. All refusals have the same answer.
    pub async fn verify_otp(&self, caller: &Caller, presented: &Presented, fields: &FieldSelection) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let proof = presented.proof(&[SecretKind::OneTimePassword])?;
        let verified =
            self.authenticate(caller, presented.identifier.key(), proof, None, OwnerJoins::from(fields)).await?;
        self.answer(caller, verified.found, fields)
    }
}
