//! Executes runs, several of them concurrently.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::report::Report;
use crate::run::Run;
use crate::scenario::EXCLUSIVE;

/// A run that has ended.
pub(crate) struct CompletedRun {
    /// Findings of the run.
    pub(crate) report: Report,
    /// Row of the run in the table of results.
    pub(crate) row: String,
}

/// Executes at most `jobs` runs concurrently and prints the findings of each when it ends. Returns them in the order of `runs`.
pub(crate) async fn execute_all(runs: Vec<Run>, jobs: usize) -> Result<Vec<CompletedRun>> {
    let jobs = u32::try_from(jobs)?.max(1);
    let places = Arc::new(Semaphore::new(jobs as usize));
    let mut playing = JoinSet::new();
    for (number, run) in runs.into_iter().enumerate() {
        let places_needed = if EXCLUSIVE.contains(&run.scenario.name) { jobs } else { 1 };
        let place = Arc::clone(&places).acquire_many_owned(places_needed).await?;
        playing.spawn(async move {
            let completed = execute_one(&run).await;
            drop(place);
            (number, completed)
        });
    }
    let mut completed = Vec::new();
    while let Some(done) = playing.join_next().await {
        completed.push(done.context("a run broke")?);
    }
    completed.sort_by_key(|(number, _)| *number);
    Ok(completed.into_iter().map(|(_, completed)| completed).collect())
}

async fn execute_one(run: &Run) -> CompletedRun {
    let started = Instant::now();
    let report = match AssertUnwindSafe((run.scenario.execute)(run)).catch_unwind().await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => Report::broke_off(format!("{error:#}")),
        Err(_) => Report::broke_off("a panic; see above"),
    };
    let took = started.elapsed();
    let row = report.row(run, took);
    println!("{}\n{row}", report.json(run, took));
    CompletedRun { report, row }
}
