//! Unlocks an access token.

use super::{AccessTokens, Answer};
use crate::Result;
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::policy::attempts::Attempts;
use crate::ports::store::{OwnerJoins, ReadOptions, Store};

impl<S: Store> AccessTokens<S> {
    /// Ends the locks of a token immediately: those of the given kinds of secrets, or all if none is given.
    ///
    /// The attempts of the day stay counted, so that unlocking does not allow more guesses. For callers with
    /// `access_tokens.secrets`, who can read or replace the secrets anyway, the count of the day begins again.
    pub async fn unlock(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        kinds: &[SecretKind],
        fields: &FieldSelection,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let found = self.find(caller, identifier, OwnerJoins::from(fields), ReadOptions::STRONG).await?;
        let secrets = caller.permissions.contains(Permission::AccessTokensSecrets);
        let unlock = if secrets { Attempts::unlocked } else { Attempts::series_ended };
        let (organisation, id) = (caller.organisation, &found.token.id);
        for (kind, entry) in self.store.all_attempts(organisation, id).await? {
            if kinds.is_empty() || kinds.contains(&kind) {
                self.update_attempts(organisation, id, kind, entry, unlock).await?;
            }
        }
        self.answer(caller, found, fields)
    }
}
