//! Counts codes and names from before texts were normalised. They can be found only by exactly the stored text.

use std::time::Duration;

use access_tokens_storage::Database;

use super::database::report_unreadable;
use super::report::Report;

const CHECK: &str = "names";

/// Maximum time of the count, without `--deep`.
const TIME_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn check(database: &Database, deep: bool, report: &mut Report) {
    let counts = match database.count_old_texts((!deep).then_some(TIME_LIMIT)).await {
        Ok(counts) => counts,
        Err(error) => return report_unreadable(CHECK, "names cannot be counted", error, report),
    };
    let part = match counts.complete {
        true => String::new(),
        false => format!(", of the {} access tokens that were read in {} s", counts.read, TIME_LIMIT.as_secs()),
    };
    if counts.organisations + counts.users + counts.access_tokens == 0 {
        return report.ok(
            CHECK,
            format!("no old code or name with invisible characters, blanks at the ends or another form than NFC{part}"),
        );
    }
    let message = format!(
        "{} access token(s), {} user(s) and {} organisation(s){part} have a code or name with an invisible or directional character, \
         with a blank at an end, or in another form than NFC: they work, and are found by exactly this text only",
        counts.access_tokens, counts.users, counts.organisations
    );
    let cure = "none is needed while clients send exactly this text; else give them new ones: access tokens with UpdateAccessToken, named by \
                id or number (an identifier needs a pass code too), users with an import record of their id and the new username, \
                organisations with `access-tokens organisation rename`";
    report.warning(CHECK, message, cure);
}
