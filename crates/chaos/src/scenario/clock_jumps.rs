//! Jumps of the clock.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind};
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};
use crate::writer::Task;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "clock_jumps",
    number: Some("t29"),
    title: "the clock of the service jumps, by seconds and by hours, forwards and backwards",
    sizes: &[(Kind::Sqlite, 8, 100), (Kind::Postgres, 8, 100)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Differences from the true time in seconds, one after the other. No jump goes back by more than half a day, because the daily
/// limit of codes may refuse after such a jump.
const CLOCK_OFFSETS: &[&str] = &["+10", "+0", "-10", "+3600", "-3600", "+0", "+36000", "+0"];
/// Maximum time after a jump until calls are acknowledged.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(2);
const SETTLE_TIME: Duration = Duration::from_millis(500);

async fn execute(run: &Run) -> Result<Report> {
    let Some(library) = library() else {
        return Ok(Report::skipped("it needs libfaketime: apt-get install libfaketime"));
    };
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock");
    set(&clock, "+0")?;
    let mut setup = run.setup()?;
    setup.base.variables = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // A jump of the system time does not affect the monotonic clock.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let mut environment = Environment::set_up(setup).await?;
    // Sessions expire with the clock.
    environment.use_api_key()?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let client = environment.direct_client(0).await?;
    let made = client.try_call("CreateAccessToken", json!({"authentication_code": "metered"})).await;
    made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
    for cycle in 0..run.cycles {
        let load = campaign.load(&environment, Workload { task: Task::NoCodes, ..Workload::DEFAULT }).await?;
        tokio::time::sleep(campaign.rng.millis(50, 200)).await;
        set(&clock, CLOCK_OFFSETS[cycle % CLOCK_OFFSETS.len()])?;
        campaign.report.faults += 1;
        let jumped = Instant::now();
        campaign.next_acknowledgement().await?;
        let recovery = jumped.elapsed();
        campaign.report.recovered(recovery);
        campaign
            .report
            .expect(recovery <= MAX_RECOVERY_TIME, || format!("after a jump calls worked again in {recovery:?}"));
        tokio::time::sleep(campaign.rng.millis(200, 500)).await;
        // The policy of this token has no cooldown.
        let request = json!({"access_token_identifier": {"authentication_code": "metered"}});
        if let Err(refusal) = client.try_call("GenerateOtp", request).await {
            let offset = CLOCK_OFFSETS[cycle % CLOCK_OFFSETS.len()];
            campaign.report.broken.push(format!("no code after a jump to {offset} s: {}", refusal.text()));
        }
        let unknown = campaign.unknown();
        campaign.report.expect(unknown == 0, || format!("{unknown} calls failed because of a clock"));
        load.stop().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        campaign.check(&environment).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(&environment).await
}

/// Replaces the file in one step: a process that reads half of it would see a third time.
fn set(clock: &Path, offset: &str) -> Result<()> {
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{offset}\n"))?;
    std::fs::rename(new, clock)?;
    Ok(())
}

/// Returns the path of libfaketime, in the directories of Debian and other distributions.
fn library() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let paths = folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"));
    paths.into_iter().find(|path| path.is_file())
}
