//! Checks whether stored policies make secrets easier to guess than the operator allows.

use access_tokens_domain::service::PolicyBudget;
use access_tokens_domain::store::{AccountStore, Store, StoreResult};
use access_tokens_storage::Database;

use super::database::report_unreadable;
use super::report::Report;

const CHECK: &str = "guesses";

pub(super) async fn check(database: &Database, limit: f64, report: &mut Report) {
    match check_policies(database, limit, report).await {
        Ok(Summary { policies, worst, unbounded }) => {
            let message = format!(
                "{policies} policies; the likeliest chance that a secret of a token is guessed within a day is {worst:.1e}, \
                 and {limit:.1e} is allowed; {unbounded} of them do not refuse common pass codes, so there the chance holds \
                 only for codes that the service draws"
            );
            report.ok(CHECK, message);
        }
        Err(error) => {
            report_unreadable(CHECK, "policies cannot be read", error, report);
        }
    }
}

/// Summary of all policies.
#[derive(Default)]
struct Summary {
    policies: usize,
    /// The highest probability.
    worst: f64,
    /// Number of policies that do not refuse common pass codes.
    unbounded: usize,
}

/// Checks every policy. Policies above the limit, and secrets below their policy, are reported one by one.
async fn check_policies(database: &Database, limit: f64, report: &mut Report) -> StoreResult<Summary> {
    let mut bounds = Summary::default();
    for organisation in database.organisations().await? {
        let reference = database.reference(organisation.key).await?;
        let stored = database.stored_strengths(organisation.key).await?;
        for budget in PolicyBudget::all_with(&reference, limit, &stored) {
            let chance = budget.budget.chance();
            bounds.policies += 1;
            bounds.worst = bounds.worst.max(chance);
            bounds.unbounded += usize::from(!budget.budget.chosen_codes_bounded);
            let of = match budget.name.as_ref().or(budget.classification.as_ref()) {
                Some(classification) => format!("{}, classification {classification}", organisation.name),
                None => organisation.name.clone(),
            };
            if chance > limit {
                let message = format!("the policy of {of} allows {}, above {limit:.1e}", budget.budget.arithmetic());
                report.problem(CHECK, message, "import it with longer codes, or a lower lock.attempts_per_day");
            }
            for (kind, weaker) in budget.weak_secrets.iter().flatten().filter(|(_, weaker)| weaker.count > 0) {
                let (kind, count, chance) = (kind.name(), weaker.count, weaker.chance);
                let message = format!(
                    "{count} secrets of kind {kind} of {of} are stored below the policy; the weakest is guessed within a \
                     day with a chance of {chance:.1e}"
                );
                report.warning(CHECK, message, "replace them: ResetPassCode, ResetVerificationCode, or ask the owners");
            }
        }
    }
    Ok(bounds)
}
