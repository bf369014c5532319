//! Does a stored policy make secrets easier to guess than the operator allows?

use access_tokens_domain::service::PolicyBudget;
use access_tokens_domain::store::{AccountStore, Store, StoreResult};
use access_tokens_storage::Database;

use super::database::told;
use super::report::Report;

const CHECK: &str = "guesses";

pub(super) async fn check(database: &Database, limit: f64, report: &mut Report) {
    match look(database, limit, report).await {
        Ok((policies, worst)) => {
            let message = format!(
                "{policies} policies; the likeliest chance that somebody guesses a secret of a token within a day is \
                 {worst:.1e}, and {limit:.1e} is allowed"
            );
            report.well(CHECK, message);
        }
        Err(error) => {
            report.problem(CHECK, format!("policies cannot be read: {}", told(error)), "see what is said of the schema")
        }
    }
}

/// How many policies there are, and the worst chance. Those over the limit are told one by one.
async fn look(database: &Database, limit: f64, report: &mut Report) -> StoreResult<(usize, f64)> {
    let (mut policies, mut worst) = (0, 0f64);
    for organisation in database.organisations().await? {
        let reference = database.reference(organisation.key).await?;
        for budget in PolicyBudget::all(&reference, limit) {
            policies += 1;
            worst = worst.max(budget.budget.chance());
            if budget.budget.chance() > limit {
                let of = match budget.name.or(budget.classification) {
                    Some(classification) => format!("{}, classification {classification}", organisation.name),
                    None => organisation.name.clone(),
                };
                let message = format!("the policy of {of} allows {}, above {limit:.1e}", budget.budget.arithmetic());
                report.problem(CHECK, message, "import it with longer codes, or a lower lock.attempts_per_day");
            }
        }
    }
    Ok((policies, worst))
}
