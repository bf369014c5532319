//! Compares the clock of this machine with that of the database. Codes, sessions and locks depend on both.

use std::path::PathBuf;
use std::time::SystemTime;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::time::Timestamp;
use access_tokens_host::SystemClock;
use access_tokens_storage::Database;
use access_tokens_storage::backup::sqlite_file;
use chrono::TimeDelta;

use super::database::report_unreadable;
use super::report::Report;
use crate::config::Settings;

const CHECK: &str = "clock";

/// Difference above which there is a warning. The lifetime of codes is wrong by at most this.
const WARNING_DIFFERENCE: TimeDelta = TimeDelta::seconds(1);
/// Difference above which there is a problem: a considerable part of the lifetime of a one-time password.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(10);

pub(super) async fn check(database: &Database, settings: &Settings, report: &mut Report) {
    let before = SystemClock.now();
    match database.clock().await {
        Ok(Some(there)) => {
            // The clock was read between these two moments.
            let after = SystemClock.now();
            report_difference(difference(before, there, after), report);
        }
        Ok(None) => check_last_write(settings, report),
        Err(error) => {
            report_unreadable(CHECK, "the database does not tell the time", error, report);
        }
    }
}

/// Returns the minimum difference to another clock, which was read between two moments of ours.
fn difference(before: Timestamp, there: Timestamp, after: Timestamp) -> TimeDelta {
    if there < before {
        before - there
    } else if there > after {
        there - after
    } else {
        TimeDelta::zero()
    }
}

fn report_difference(difference: TimeDelta, report: &mut Report) {
    const CURE: &str = "let both machines follow the same time servers (chrony, systemd-timesyncd)";
    let seconds = difference.num_milliseconds() as f64 / 1_000.0;
    let message = format!("this machine and that of the database are {seconds:.1} s apart");
    if difference > MAX_DIFFERENCE {
        report.problem(CHECK, format!("{message}: codes and sessions end too early, or too late"), CURE);
    } else if difference > WARNING_DIFFERENCE {
        report.warning(CHECK, message, CURE);
    } else {
        report.ok(CHECK, "this machine and that of the database agree");
    }
}

/// Checks the last write of a SQLite file, which has no clock: it is not in the future.
fn check_last_write(settings: &Settings, report: &mut Report) {
    let Ok(file) = sqlite_file(&settings.database.options()) else { return };
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let written = [file, PathBuf::from(log)].iter().filter_map(|path| path.metadata().ok()?.modified().ok()).max();
    let Some(written) = written.map(<Timestamp as From<SystemTime>>::from) else { return };
    let ahead = written - SystemClock.now();
    if ahead > MAX_DIFFERENCE {
        let message = format!("the database was written to {} s from now: the clock was put back", ahead.num_seconds());
        report.problem(
            CHECK,
            message,
            "set the clock; until then codes and sessions of before live for so much longer",
        );
    } else {
        report.ok(CHECK, "nothing was written later than now");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_query_is_not_a_difference() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time");
        for (there, expected) in [(0, 0), (3, 0), (5, 0), (-2, 2), (9, 4)] {
            assert_eq!(difference(at(0), at(there), at(5)), TimeDelta::seconds(expected), "{there}");
        }
    }

    #[test]
    fn more_than_a_second_is_a_warning_and_more_than_ten_a_problem() {
        for (seconds, expected) in [(0, "agree"), (1, "agree"), (2, "Warning"), (11, "Problem")] {
            let mut report = Report::default();
            report_difference(TimeDelta::seconds(seconds), &mut report);
            assert!(format!("{report:?}").contains(expected), "{seconds}: {report:?}");
        }
    }
}
