//! List how likely it is that somebody guesses a secret, under each policy of the organisation.

use super::AccessTokens;
use crate::Result;
use crate::guess_budget::GuessBudget;
use crate::reference::Reference;
use crate::session::{Caller, Permission};
use crate::store::Store;

/// A policy, and what it lets an attacker do.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyBudget {
    /// The classification whose policy it is, by id; `None`: the organisation's definition.
    pub classification: Option<String>,
    /// The name of that classification.
    pub name: Option<String>,
    /// The bound.
    pub budget: GuessBudget,
    /// The bound above which a policy is refused when it comes in.
    pub limit: f64,
}

impl PolicyBudget {
    /// That of the policy that applies to tokens of a classification, or of none.
    pub(super) fn of(reference: &Reference, classification: Option<&str>, limit: f64) -> Self {
        let own = classification.and_then(|id| reference.classifications.get(id)).filter(|c| c.policy.is_some());
        Self {
            classification: own.map(|classification| classification.id.clone()),
            name: own.and_then(|classification| classification.name.clone()),
            budget: GuessBudget::of(reference.policy(classification)),
            limit,
        }
    }

    /// The definition's and that of every classification with a policy of its own, by name.
    pub fn all(reference: &Reference, limit: f64) -> Vec<Self> {
        let own = reference.classifications.values().filter(|classification| classification.policy.is_some());
        let mut own: Vec<_> = own.map(|classification| Self::of(reference, Some(&classification.id), limit)).collect();
        own.sort_by(|a, b| (&a.name, &a.classification).cmp(&(&b.name, &b.classification)));
        own.insert(0, Self::of(reference, None, limit));
        own
    }
}

impl<S: Store> AccessTokens<S> {
    /// Every policy of the organisation with its bound: the definition first.
    pub async fn list_guess_budgets(&self, caller: &Caller) -> Result<Vec<PolicyBudget>> {
        caller.require(Permission::AccessTokensRead)?;
        let reference = self.store.reference(caller.organisation).await?;
        Ok(PolicyBudget::all(&reference, self.guess_limit))
    }
}
