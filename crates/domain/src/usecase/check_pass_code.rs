//! Checks the pass code of an access token.

use super::find::{check_key, field_of_proof};
use super::{AccessTokens, Answer};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::{AccessTokenIdentifier, Proof};
use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::model::text;
use crate::ports::store::{OwnerJoins, Store};
use crate::{Error, Reason, Result};

/// A token and the secret that the caller presents for it: inside of the identifier of the token, or in a separate
/// field.
#[derive(Clone)]
pub struct Presented {
    /// Identifier of the token. A credential needs no secret of its own here.
    pub identifier: AccessTokenIdentifier,
    /// Secret in a field of its own.
    pub proof: Option<Proof>,
}

impl Presented {
    /// Returns the one secret that was presented, if it has one of the expected kinds.
    pub(super) fn proof(&self, expected: &[SecretKind]) -> Result<&Proof> {
        let within = match &self.identifier {
            AccessTokenIdentifier::Credential { proof, .. } => proof.as_ref(),
            _ => None,
        };
        check_key(&self.identifier)?;
        match (within, &self.proof) {
            (Some(_), Some(beside)) => {
                let text = "is given beside a credential that has a secret already";
                Err(Error::field(Reason::InvalidFieldValue, field_of_proof(beside), text))
            }
            (Some(proof), None) if !expected.contains(&proof.kind()) => {
                let field = format!("access_token_identifier.credential.{}", field_of_proof(proof));
                Err(Error::field(Reason::InvalidFieldValue, field, "is not the secret that this call checks"))
            }
            (Some(proof), None) => Ok(proof),
            (None, Some(proof)) => {
                Error::of_check(field_of_proof(proof), text::bounded(proof.secret().expose(), text::MAX_CODE_LENGTH))?;
                Ok(proof)
            }
            (None, None) => {
                let missing = if expected.contains(&SecretKind::PassCode) { "pass_code" } else { "one_time_password" };
                Err(Error::field(Reason::RequiredFieldMissing, missing, "is required"))
            }
        }
    }
}

impl<S: Store> AccessTokens<S> {
    /// Checks the pass code of an EFFECTIVE token. Every other case gets the same answer.
    pub async fn check_pass_code(
        &self,
        caller: &Caller,
        presented: &Presented,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensRead)?;
        let proof = presented.proof(&[SecretKind::PassCode])?;
        let (key, state) = (presented.identifier.key(), Some(LifeCycleState::Effective));
        let verified = self.authenticate(caller, key, proof, state, OwnerJoins::from(fields)).await?;
        self.answer(caller, verified.found, fields)
    }
}
