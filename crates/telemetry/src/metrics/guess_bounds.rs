//! Upper bounds on the probability that a secret is guessed, for each policy of each organisation.

use std::collections::BTreeMap;

use access_tokens_domain::service::PolicyBudget;
use access_tokens_domain::store::{AccountStore, Store, StoreResult};

/// Maximum number of series. Organisations come in the order in which they were created, so that the same ones are
/// always reported.
pub(super) const MAX_SERIES: usize = 100;

/// The bounds at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GuessBounds {
    /// The probability by the names of organisation and classification. The classification is empty for the policy of
    /// the organisation itself.
    pub(super) series: BTreeMap<(String, String), f64>,
    /// Minimum number of bounds that are left out.
    pub(super) dropped: u64,
}

impl GuessBounds {
    /// Computes the bounds of the stored policies.
    ///
    /// When there are enough series, further organisations are not read, and count as one bound each.
    pub async fn of(store: &(impl Store + AccountStore)) -> StoreResult<Self> {
        let mut bounds = Self::default();
        for organisation in store.organisations().await? {
            if bounds.series.len() >= MAX_SERIES {
                bounds.dropped += 1;
                continue;
            }
            let reference = store.reference(organisation.key).await?;
            // The limit is a metric of its own.
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
            // Names of classifications need not be unique. The highest bound is reported.
            let worst = self.series.entry(name).or_insert(chance);
            *worst = worst.max(chance);
        }
    }
}
