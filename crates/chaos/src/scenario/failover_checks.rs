//! Common checks and measurements of the scenarios in which the primary changes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::steady_caller::percentile;
use crate::campaign::Campaign;
use crate::environment::Environment;
use crate::inspection;
use crate::readiness::{Outage, ReadinessWatch};
use crate::report::Report;

/// Maximum time until a call succeeds after the new primary accepts writes.
pub(super) const MAX_RECOVERY_TIME: Duration = Duration::from_secs(2);
/// Time for which calls are observed after that.
const OBSERVATION_TIME: Duration = Duration::from_millis(1_500);
/// Codes with which calls may fail.
const EXPECTED_CODES: &[&str] = &["Unavailable", "Aborted"];
/// Maximum time of every call.
const MAX_CALL_TIME: Duration = Duration::from_secs(5);

/// Checks that calls succeed in time after the new primary is `usable`, and that this share of the later calls succeeds, in percent.
/// Returns the time until the first success.
pub(super) async fn expect_recovery(
    campaign: &mut Campaign,
    usable: Instant,
    min_success_percent: u64,
) -> Result<Duration> {
    if let Err(error) = campaign.next_acknowledgement().await {
        campaign.report.broken.push(format!("{error} after the primary was usable"));
        return Ok(usable.elapsed());
    }
    let recovery = usable.elapsed();
    campaign.report.recovered(recovery);
    let text = || format!("calls worked {recovery:?} after the primary was usable");
    campaign.report.expect(recovery <= MAX_RECOVERY_TIME, text);
    tokio::time::sleep_until((usable + MAX_RECOVERY_TIME).into()).await;
    let before = campaign.calls();
    tokio::time::sleep(OBSERVATION_TIME).await;
    let after = campaign.calls();
    let (all, good) = (after.0 - before.0, after.1 - before.1);
    let text = || format!("{good} of {all} calls succeeded {MAX_RECOVERY_TIME:?} after the primary was usable");
    campaign.report.expect(all > 0 && good * 100 >= all * min_success_percent, text);
    Ok(recovery)
}

/// Ends a cycle: what the database holds agrees with the acknowledged calls.
pub(super) async fn end_cycle(campaign: &mut Campaign, environment: &Environment) -> Result<()> {
    campaign.report.broken.extend(inspection::faults(environment).await?);
    campaign.check(environment).await?;
    campaign.report.cycles += 1;
    Ok(())
}

/// Ends a campaign: checks codes and durations of its calls, and adds the times to its report.
pub(super) async fn finish(mut campaign: Campaign, environment: &Environment, times: &Times) -> Result<Report> {
    campaign.expect_codes(EXPECTED_CODES);
    expect_short_calls(&mut campaign);
    times.note(&mut campaign.report);
    campaign.finish(environment).await
}

/// Checks that no call took too long.
fn expect_short_calls(campaign: &mut Campaign) {
    let slowest = campaign.slowest_call();
    campaign.report.note(format!("the slowest call took {} ms", slowest.as_millis()));
    campaign.report.expect(slowest <= MAX_CALL_TIME, || format!("a call took {slowest:?}"));
}

/// Measured times by kind.
#[derive(Default)]
pub(super) struct Times(BTreeMap<String, Vec<Duration>>);

impl Times {
    /// Adds a time.
    pub(super) fn add(&mut self, what: impl Into<String>, time: Duration) {
        self.0.entry(what.into()).or_default().push(time);
    }

    /// Adds an observation for each kind of time.
    pub(super) fn note(&self, report: &mut Report) {
        for (what, times) in &self.0 {
            let [half, most] = [50, 100].map(|part| percentile(times, part).as_millis());
            report.note(format!("{what}: half within {half} ms, at most {most} ms ({})", times.len()));
        }
    }
}

/// Watches the readiness of all processes of an environment.
pub(super) struct Watches(Vec<ReadinessWatch>);

impl Watches {
    /// Starts a watch for each process.
    pub(super) fn over(environment: &Environment) -> Result<Self> {
        let watch = |replica| Ok(ReadinessWatch::of(environment.server(replica)?.ops_address()));
        Ok(Self((0..environment.replicas()).map(watch).collect::<Result<_>>()?))
    }

    /// Forgets the answers so far.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(ReadinessWatch::clear);
    }

    /// Returns the watch of each process.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ReadinessWatch> {
        self.0.iter()
    }

    /// Checks the readiness of each process in and after an outage, and adds its times.
    pub(super) fn judge(&self, outage: Outage, times: &mut Times, report: &mut Report) {
        for (number, watch) in self.0.iter().enumerate() {
            let noticed = watch.judge(&format!("process {number}"), outage, report);
            if let Some(lost) = noticed.lost {
                times.add("not ready after the loss", lost);
            }
            times.add("ready after the primary is usable", noticed.usable);
        }
    }
}
