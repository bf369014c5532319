//! Lists access tokens without an owner.

use super::list::results;
use super::{AccessTokens, Answer};
use crate::model::field_selection::FieldSelection;
use crate::model::life_cycle::LifeCycleState;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{OwnerJoins, ReadConsistency, Store};
use crate::{Error, Reason, Result};

/// A request for tokens without an owner.
#[derive(Debug, Clone, Copy)]
pub struct NotAssociated {
    /// Maximum number of tokens, 1 to 1,000; mandatory.
    pub number: Option<i32>,
    /// Only tokens in this state.
    pub life_cycle_state: Option<LifeCycleState>,
}

impl<S: Store> AccessTokens<S> {
    /// Returns tokens without an existing owner, in ascending id. A terminated owner does not count as existing (D2).
    pub async fn not_associated(
        &self,
        caller: &Caller,
        request: NotAssociated,
        fields: &FieldSelection,
        consistency: ReadConsistency,
    ) -> Result<Vec<Answer>> {
        caller.require(Permission::AccessTokensRead)?;
        let number =
            request.number.ok_or_else(|| Error::field(Reason::RequiredFieldMissing, "number", "is required"))?;
        let limit = results("number", number)?;
        let (organisation, state) = (caller.organisation, request.life_cycle_state);
        let found =
            self.store.not_associated(organisation, state, limit, OwnerJoins::from(fields), consistency).await?;
        found.into_iter().map(|found| self.answer(caller, found, fields)).collect()
    }
}
