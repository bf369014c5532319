//! Show one access token, in any state.

use super::{AccessTokens, Answer, Want};
use crate::Result;
use crate::identifier::AccessTokenIdentifier;
use crate::session::{Caller, Permission};
use crate::store::Store;

impl<S: Store> AccessTokens<S> {
    /// Shows the token that the caller names.
    pub async fn show(&self, caller: &Caller, identifier: &AccessTokenIdentifier, want: Want) -> Result<Answer> {
        caller.require(Permission::AccessTokensRead)?;
        let found = self.find(caller, identifier, want.owners).await?;
        self.answer(caller, found, want)
    }
}
