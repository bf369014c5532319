//! Unlock an access token.

use super::{AccessTokens, Answer};
use crate::Result;
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::policy::attempts::Attempts;
use crate::ports::store::{OwnerJoins, ReadOptions, Store};

impl<S: Store> AccessTokens<S> {
    /// Ends the locks of a token at once, of these kinds of secrets or, if none is named, of all.
    ///
    /// The attempts of the day stay counted, so that a caller cannot guess more often by unlocking. Callers with
    /// `access_tokens.secrets` can read or replace the secrets anyway: for them a new day begins.
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
