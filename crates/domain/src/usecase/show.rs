//! Show one access token, in any state.

use super::{AccessTokens, Answer, Want};
use crate::Result;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{ReadOptions, Store};

impl<S: Store> AccessTokens<S> {
    /// Shows the token that the caller names. With a pass code or one-time password it is read strongly, whatever `read` says.
    pub async fn show(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        want: Want,
        read: ReadOptions<'_>,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensRead)?;
        let found = self.find(caller, identifier, want.owners, read).await?;
        self.answer(caller, found, want)
    }
}
