//! List access tokens that belong to nobody.

use super::list::results;
use super::{AccessTokens, Answer, Want};
use crate::model::life_cycle::LifeCycleState;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{ReadConsistency, Store};
use crate::{Error, Reason, Result};

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct NotAssociated {
    /// How many, 1 to 1,000; mandatory.
    pub number: Option<i32>,
    /// Only in this state.
    pub life_cycle_state: Option<LifeCycleState>,
}

impl<S: Store> AccessTokens<S> {
    /// Lists tokens without an existing owner, in ascending id. A terminated owner does not exist (D2).
    pub async fn not_associated(
        &self,
        caller: &Caller,
        request: NotAssociated,
        want: Want,
        consistency: ReadConsistency,
    ) -> Result<Vec<Answer>> {
        caller.require(Permission::AccessTokensRead)?;
        let number =
            request.number.ok_or_else(|| Error::field(Reason::RequiredFieldMissing, "number", "is required"))?;
        let limit = results("number", number)?;
        let (organisation, state) = (caller.organisation, request.life_cycle_state);
        let found = self.store.not_associated(organisation, state, limit, want.owners, consistency).await?;
        found.into_iter().map(|found| self.answer(caller, found, want)).collect()
    }
}
