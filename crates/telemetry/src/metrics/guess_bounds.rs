//! How likely it is that somebody guesses a secret, under each policy of each organisation.

use std::collections::BTreeMap;

use access_tokens_domain::service::PolicyBudget;
use access_tokens_domain::store::{AccountStore, Store, StoreResult};

/// Most series. Organisations come in the order in which they were created, so that the same ones are always there.
pub(super) const MAX_SERIES: usize = 100;

/// The bounds at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GuessBounds {
    /// The chance by the names of organisation and classification. The latter is empty for the organisation's own
    /// policy.
    pub(super) series: BTreeMap<(String, String), f64>,
    /// How many are left out, at least.
    pub(super) dropped: u64,
}

impl GuessBounds {
    /// Those of the policies that are stored.
    ///
    /// Once there are enough, further organisations are not even looked at, and count as one each.
    pub async fn of(store: &(impl Store + AccountStore)) -> StoreResult<Self> {
        let mut bounds = Self::default();
        for organisation in store.organisations().await? {
            if bounds.series.len() >= MAX_SERIES {
                bounds.dropped += 1;
                continue;
            }
            let reference = store.reference(organisation.key).await?;
            // The limit is reported on its own.
            bounds.add(&organisation.name, PolicyBudget::all(&reference, 0.0));
        }
        Ok(bounds)
    }

    pub(super) fn add(&mut self, organisation: &str, budgets: Vec<PolicyBudget>) {
        for budget in budgets {
            let classification = budget.name.or(budget.classification).unwrap_or_default();
            let (name, chance) = ((organisation.to_owned(), classification), budget.budget.chance());
            if self.series.len() >= MAX_SERIES && !self.series.contains_key(&name) {
                self.dropped += 1;
                continue;
            }
            // Names of classifications need not be unique: the worst one counts.
            let worst = self.series.entry(name).or_insert(chance);
            *worst = worst.max(chance);
        }
    }
}
