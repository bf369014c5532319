//! Makes an access token EFFECTIVE or NOT_EFFECTIVE.

use super::{AccessTokens, Answer};
use crate::model::access_token::{Precondition, TokenChanges};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::{AccessTokenIdentifier, TokenKey};
use crate::model::life_cycle::{self, Transition};
use crate::model::session::{Caller, Permission};
use crate::ports::store::{FoundToken, OwnerJoins, ReadOptions, Store};
use crate::{Error, Reason, Result};

impl<S: Store> AccessTokens<S> {
    /// Sets a NOT_EFFECTIVE token EFFECTIVE.
    pub async fn set_as_effective(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        self.switch(caller, identifier, Transition::SetAsEffective, fields).await
    }

    /// Sets an EFFECTIVE token NOT_EFFECTIVE. The state of its owner does not matter (D4).
    pub async fn set_as_not_effective(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        self.switch(caller, identifier, Transition::SetAsNotEffective, fields).await
    }

    async fn switch(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        transition: Transition,
        fields: &FieldSelection,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let found = self.find(caller, identifier, OwnerJoins::from(fields), ReadOptions::STRONG).await?;
        let changes = TokenChanges { life_cycle_state: Some(transition.target()), ..TokenChanges::default() };
        let precondition = Precondition { life_cycle_state: Some(transition.source()), ..Precondition::default() };
        let found = self.write(caller, found, precondition, changes).await?;
        self.answer(caller, found, fields)
    }

    /// Writes a change of a found token in one conditional statement. The statement also removes a one-time password,
    /// if the change requires it. If the precondition no longer holds, another call was faster, and the error describes
    /// the current state of the token.
    pub(super) async fn write(
        &self,
        caller: &Caller,
        found: FoundToken,
        precondition: Precondition,
        changes: TokenChanges,
    ) -> Result<FoundToken> {
        if let Some(expected) = precondition.life_cycle_state {
            life_cycle::require(expected, found.token.life_cycle_state)?;
        }
        let changes = changes.ending_one_time_password();
        let stamp = caller.stamp(&found.reference, self.clock.now()).after(&found.token.updated);
        let id = &found.token.id;
        let written = self.store.update_token(caller.organisation, id, &precondition, &changes, Some(&stamp)).await?;
        if let Some(written) = written {
            return Ok(FoundToken { owners: found.owners, ..written });
        }
        let key = TokenKey::Id(id);
        let now = self.store.find_token(caller.organisation, key, OwnerJoins::NONE, ReadOptions::STRONG).await?.found;
        if let (Some(expected), Some(now)) = (precondition.life_cycle_state, now) {
            life_cycle::require(expected, now.token.life_cycle_state)?;
        }
        Err(Error::new(Reason::Conflict, "the access token was changed at the same time; try again"))
    }
}
