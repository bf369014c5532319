//! The value of group commit: creation of tokens on a disk with slow flushes.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::compare::contestants;
use crate::contestants::{Contestant, Results, Subject};
use crate::environment::Kind;
use crate::options::Options;
use crate::report;
use crate::scenario::Scenario;
use crate::targets::{MANY_CALLERS, Target};

/// Minimum time of a flush. `slow_flush.c`, preloaded by `scripts/bench flush`, makes flushes take it.
const MIN_FLUSH_TIME: Duration = Duration::from_millis(1);

const SERVICE: Subject = (Scenario::Create, MANY_CALLERS, Contestant::Service);
/// On PostgreSQL pgbench with 64 connections; on SQLite one loop, because only one connection can write.
const SQL: Subject = (Scenario::Create, MANY_CALLERS, Contestant::Sql);

/// Measures the creation of tokens by the service, and by bare SQL that commits each token separately.
pub(crate) async fn flush(options: &Options) -> Result<()> {
    ensure!(
        flush_time()? >= MIN_FLUSH_TIME,
        "a flush takes less than {MIN_FLUSH_TIME:?} here: run it by scripts/bench"
    );
    let mut found = Vec::new();
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let (mut contestants, mut results) = (contestants(options, kind, options.tokens).await?, Results::default());
        results.collect(&mut contestants, &[SERVICE, SQL], options.rounds, options.time()).await?;
        ensure!(results.bad(SERVICE) == 0, "{} answers were not good", results.bad(SERVICE));
        found.push(results);
    }
    let target = |what, results: &Results, limit| {
        let rate = |subject| results.median(subject, |sample| sample.rate);
        let measured = rate(SERVICE).zip(rate(SQL)).map(|(service, sql)| service / sql);
        Target { what, measured, limit: Some(limit), at_least: true, unit: "×" }
    };
    let targets = [
        target("PostgreSQL, create: rate to pgbench's insert, both 64 at once", &found[0], 0.8),
        target("SQLite, create: rate to one commit for each, 64 at once", &found[1], 8.0),
    ];
    report::flushed(options, &targets, &found[0], &found[1])
}

fn flush_time() -> Result<Duration> {
    let mut file: File = tempfile::tempfile()?;
    file.write_all(b"something to be flushed")?;
    let started = Instant::now();
    file.sync_data()?;
    Ok(started.elapsed())
}
