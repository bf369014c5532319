//! Shows one access token, in any state.

use super::{AccessTokens, Answer};
use crate::Result;
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{OwnerJoins, ReadOptions, Store};

impl<S: Store> AccessTokens<S> {
    /// Returns the token that the caller names. If the caller presents a pass code or one-time password, `read` is
    /// ignored and [`ReadOptions::STRONG`] is used.
    pub async fn show(
        &self,
        caller: &Caller,
        identifier: &AccessTokenIdentifier,
        fields: &FieldSelection,
        read: ReadOptions<'_>,
    ) -> Result<Answer> {
        caller.require(Permission::AccessTokensRead)?;
        let found = self.find(caller, identifier, OwnerJoins::from(fields), read).await?;
        self.answer(caller, found, fields)
    }
}
