//! Lists the chance that an attacker guesses a secret, for each policy of the organisation.

use std::collections::BTreeMap;

use super::AccessTokens;
use crate::Result;
use crate::model::directory::Classification;
use crate::model::reference::Reference;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::policy::guess_budget::{GuessBudget, WeakSecrets};
use crate::policy::strength::StoredStrength;
use crate::ports::store::Store;

/// A policy, with the chance that it leaves to an attacker.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyBudget {
    /// Id of the classification that has the policy. `None`: the policy is the definition of the organisation.
    pub classification: Option<String>,
    /// Name of that classification.
    pub name: Option<String>,
    /// Bound of the chance.
    pub budget: GuessBudget,
    /// Bound above which a new policy is refused.
    pub limit: f64,
    /// Stored secrets that are weaker than the policy requires, by kind. `None`: they were not counted.
    pub weak_secrets: Option<BTreeMap<SecretKind, WeakSecrets>>,
}

impl PolicyBudget {
    /// Returns the budget of the policy that applies to tokens of a classification, or of none.
    pub(super) fn of(reference: &Reference, classification: Option<&str>, limit: f64) -> Self {
        let own = with_policy(reference, classification);
        Self {
            classification: own.map(|classification| classification.id.clone()),
            name: own.and_then(|classification| classification.name.clone()),
            budget: GuessBudget::of(reference.policy(classification)),
            limit,
            weak_secrets: None,
        }
    }

    /// Returns all policies as [`Self::all`] does, with the stored secrets that are weaker than each.
    pub fn all_with(reference: &Reference, limit: f64, stored: &[StoredStrength]) -> Vec<Self> {
        let mut by_policy: BTreeMap<Option<&str>, BTreeMap<SecretKind, WeakSecrets>> = BTreeMap::new();
        for StoredStrength { classification, kind, strength, count } in stored {
            let classification = classification.as_deref();
            let own = with_policy(reference, classification).map(|own| own.id.as_str());
            let weak_secrets = by_policy.entry(own).or_default().entry(*kind).or_default();
            weak_secrets.add(reference.policy(classification), *kind, *strength, *count);
        }
        let mut all = Self::all(reference, limit);
        for budget in &mut all {
            budget.weak_secrets = Some(by_policy.remove(&budget.classification.as_deref()).unwrap_or_default());
        }
        all
    }

    /// Returns the definition and the policies of classifications that have their own, ordered by name.
    pub fn all(reference: &Reference, limit: f64) -> Vec<Self> {
        let own = reference.classifications.values().filter(|classification| classification.policy.is_some());
        let mut own: Vec<_> = own.map(|classification| Self::of(reference, Some(&classification.id), limit)).collect();
        own.sort_by(|a, b| (&a.name, &a.classification).cmp(&(&b.name, &b.classification)));
        own.insert(0, Self::of(reference, None, limit));
        own
    }
}

/// Returns the classification if it has a policy of its own, which applies in place of the definition.
fn with_policy<'r>(reference: &'r Reference, classification: Option<&str>) -> Option<&'r Classification> {
    classification.and_then(|id| reference.classifications.get(id)).filter(|found| found.policy.is_some())
}

impl<S: Store> AccessTokens<S> {
    /// Returns every policy of the organisation with its bound, the definition first. Callers with
    /// `access_tokens.secrets` also get the number of stored secrets that are weaker than each policy.
    pub async fn list_guess_budgets(&self, caller: &Caller) -> Result<Vec<PolicyBudget>> {
        caller.require(Permission::AccessTokensRead)?;
        let reference = self.store.reference(caller.organisation).await?;
        if !caller.permissions.contains(Permission::AccessTokensSecrets) {
            return Ok(PolicyBudget::all(&reference, self.max_guess_chance));
        }
        let stored = self.store.stored_strengths(caller.organisation).await?;
        Ok(PolicyBudget::all_with(&reference, self.max_guess_chance, &stored))
    }
}
