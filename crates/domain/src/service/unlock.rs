//! Unlock an access token.

use super::{AccessTokens, Answer, Want};
use crate::Result;
use crate::attempts::{Attempts, SecretKind};
use crate::identifier::AccessTokenIdentifier;
use crate::session::{Caller, Permission};
use crate::store::Store;

impl<S: Store> AccessTokens<S> {
    /// Ends the locks of a token at once, of these kinds of secrets or, if none is named, of all. What was counted is
    /// forgotten, so a new guess budget begins.
    pub async fn unlock(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        kinds: &[SecretKind],
        want: Want,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let found = self.find(caller, identifier, want.owners).await?;
        let (organisation, id) = (caller.organisation, &found.token.id);
        for (kind, entry) in self.store.all_attempts(organisation, id).await? {
            if kinds.is_empty() || kinds.contains(&kind) {
                self.recount(organisation, id, kind, entry, Attempts::unlocked).await?;
            }
        }
        self.answer(caller, found, want)
    }
}
