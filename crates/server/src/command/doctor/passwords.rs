//! Counts the passwords of users whose hash does not have the current form.

use access_tokens_domain::store::LoginStore;
use access_tokens_secrets::current_form;
use access_tokens_storage::Database;

use super::database::report_unreadable;
use super::report::Report;

const CHECK: &str = "passwords";

pub(super) async fn check(database: &Database, report: &mut Report) {
    match database.count_passwords(&[current_form()]).await {
        Ok((all, 0)) => {
            report.ok(CHECK, format!("{all} user(s) with a password, all under hashes of the current form"))
        }
        Ok((all, others)) => {
            let message =
                format!("{others} of {all} passwords have an imported hash of another form, possibly a weak one");
            let cure = "none is needed for users who log in: the first log-in replaces the hash; give the others a new password \
                        (`access-tokens user add`) or none";
            report.warning(CHECK, message, cure);
        }
        Err(error) => report_unreadable(CHECK, "passwords cannot be counted", error, report),
    }
}
