//! Lists the classifications.

use super::AccessTokens;
use crate::Result;
use crate::model::directory::Classification;
use crate::model::session::{Caller, Permission};
use crate::ports::store::Store;

impl<S: Store> AccessTokens<S> {
    /// Returns the classifications of the organisation, ordered by name, then by id.
    pub async fn list_classifications(&self, caller: &Caller) -> Result<Vec<Classification>> {
        caller.require(Permission::AccessTokensRead)?;
        let reference = self.store.reference(caller.organisation).await?;
        let mut all: Vec<_> = reference.classifications.values().cloned().collect();
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(all)
    }
}
