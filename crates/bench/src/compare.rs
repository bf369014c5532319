//! The commands: all contestants in turn, one scenario alone, and tables of growing size.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::task::block_in_place;

use crate::contestants::{Contestant, Contestants, Loop, Results, Sample, Subject, any_show, median};
use crate::cpu;
use crate::environment::{Environment, Kind};
use crate::import;
use crate::options::Options;
use crate::report::{self, Size};
use crate::scenario::Scenario;
use crate::targets::{self, Amounts, EIGHT_CALLERS, MANY_CALLERS};

/// Number of starts of the service, of which the median is reported.
const START_COUNT: usize = 5;
/// Time before the memory of a process is read.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Compares the service with all other contestants.
pub(crate) async fn compare(options: &Options) -> Result<()> {
    let (mut postgres, mut sqlite) = (Results::default(), Results::default());

    let mut contestants = contestants(options, Kind::Postgres, options.tokens).await?;
    let mut amounts = amounts(&mut contestants).await?;
    let mut subjects = targets::on_postgres(options.peer.is_some());
    let others = Scenario::PLAIN.into_iter().map(|scenario| (scenario, EIGHT_CALLERS, Contestant::Service));
    subjects.extend(others.filter(|subject| !targets::on_postgres(true).contains(subject)));
    postgres.collect(&mut contestants, &subjects, options.rounds, options.time()).await?;
    drop(contestants);
    amounts.imported = Some(imported(options, Kind::Postgres).await?);

    let mut contestants = self::contestants(options, Kind::Sqlite, options.tokens).await?;
    let mut subjects = targets::ON_SQLITE.to_vec();
    let others = Scenario::PLAIN.into_iter().map(|scenario| (scenario, EIGHT_CALLERS, Contestant::Service));
    subjects.extend(others.filter(|subject| !targets::ON_SQLITE.contains(subject)));
    sqlite.collect(&mut contestants, &subjects, options.rounds, options.time()).await?;
    drop(contestants);

    let targets = targets::all(&postgres, &sqlite, &amounts);
    report::compared(options, &targets, &postgres, &sqlite)?;
    // A refusal is cheap and would improve the numbers. In an open loop it counts as the slowest answer, so there it is allowed.
    let refused = |results: &Results| {
        let closed = results.subjects().filter(|(_, mode, _)| matches!(mode, Loop::Closed(_)));
        closed.map(|subject| results.bad(*subject)).sum::<u64>()
    };
    let refused = [refused(&postgres), refused(&sqlite)];
    ensure!(refused == [0, 0], "{refused:?} answers were not good: the numbers above are worth nothing");
    Ok(())
}

/// Runs one scenario.
pub(crate) async fn one(
    options: &Options,
    scenario: Scenario,
    kind: Kind,
    at_once: usize,
    rate: Option<u32>,
) -> Result<()> {
    let mut contestants = contestants(options, kind, options.tokens).await?;
    let subject = (scenario, rate.map_or(Loop::Closed(at_once), Loop::Open), Contestant::Service);
    let mut results = Results::default();
    results.collect(&mut contestants, &[subject], options.rounds, options.time()).await?;
    print!("{}", report::runs("", &results));
    Ok(())
}

/// Measures an import.
pub(crate) async fn import(options: &Options, kind: Kind) -> Result<()> {
    println!("{:.0} cards a second", imported(options, kind).await?);
    Ok(())
}

/// Imports into a database of its own, because the import makes the table larger.
async fn imported(options: &Options, kind: Kind) -> Result<f64> {
    let environment = Environment::set_up(&options.binary, kind, options.tokens, &[]).await?;
    block_in_place(|| import::rate(&environment))
}

/// Makes the same call on tables of growing size.
pub(crate) async fn sizes(options: &Options, sizes: &[u64]) -> Result<()> {
    let subjects: [Subject; 2] =
        [(Scenario::Show, EIGHT_CALLERS, Contestant::Service), (Scenario::Show, EIGHT_CALLERS, Contestant::Sql)];
    let mut found = Vec::new();
    for tokens in sizes {
        let mut of_kind = Vec::new();
        for kind in [Kind::Postgres, Kind::Sqlite] {
            let (mut contestants, mut results) = (contestants(options, kind, *tokens).await?, Results::default());
            results.collect(&mut contestants, &subjects, options.rounds, options.time()).await?;
            let cost = |subject, of: fn(&Sample) -> f64| results.median(subject, of).unwrap_or_default();
            of_kind.push((
                cost(subjects[0], targets::total),
                cost(subjects[1], targets::total),
                cost(subjects[0], |sample| sample.rate),
                cost(subjects[1], |sample| sample.rate),
            ));
        }
        let [postgres, sqlite] = of_kind[..] else { bail!("two databases") };
        found.push(Size { tokens: *tokens, postgres, sqlite });
    }
    report::sized(options, &found)
}

/// Starts all contestants on a new database.
pub(crate) async fn contestants(options: &Options, kind: Kind, tokens: u64) -> Result<Contestants> {
    let environment = Environment::set_up(&options.binary, kind, tokens, &[]).await?;
    Contestants::start(environment, options.peer.clone()).await
}

async fn amounts(contestants: &mut Contestants) -> Result<Amounts> {
    let call = any_show(&contestants.environment);
    let mut starts = Vec::new();
    for _ in 0..START_COUNT {
        starts.push(contestants.environment.restart(&call).await?.as_secs_f64() * 1e3);
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let idle = mib(cpu::memory(contestants.environment.server.id())?.0);
    for scenario in [Scenario::Show, Scenario::Mixed] {
        contestants.run((scenario, MANY_CALLERS, Contestant::Service), SETTLE_TIME).await?;
    }
    let loaded = mib(cpu::memory(contestants.environment.server.id())?.1);
    Ok(Amounts { first_call: median(starts), idle: Some(idle), loaded: Some(loaded), imported: None })
}
