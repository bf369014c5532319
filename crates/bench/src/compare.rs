//! The commands: everybody against everybody, one scenario alone, and tables of growing size.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::task::block_in_place;

use crate::contest::{Contestant, Field, Loop, Results, Sample, Subject, any_show, median};
use crate::cpu;
use crate::how::How;
use crate::import;
use crate::report::{self, Size};
use crate::scenario::Scenario;
use crate::stage::{Kind, Stage};
use crate::targets::{self, Amounts, EIGHT, MANY};

/// Starts of the service, of which the median counts.
const STARTS: usize = 5;
/// How long a process may settle before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// The service beside everybody else.
pub(crate) async fn compare(how: &How) -> Result<()> {
    let (mut postgres, mut sqlite) = (Results::default(), Results::default());

    let mut field = field(how, Kind::Postgres, how.tokens).await?;
    let mut amounts = amounts(&mut field).await?;
    let mut subjects = targets::on_postgres(how.peer.is_some());
    let others = Scenario::PLAIN.into_iter().map(|scenario| (scenario, EIGHT, Contestant::Service));
    subjects.extend(others.filter(|subject| !targets::on_postgres(true).contains(subject)));
    postgres.collect(&mut field, &subjects, how.rounds, how.time()).await?;
    drop(field);
    amounts.imported = Some(imported(how, Kind::Postgres).await?);

    let mut field = self::field(how, Kind::Sqlite, how.tokens).await?;
    let mut subjects = targets::ON_SQLITE.to_vec();
    let others = Scenario::PLAIN.into_iter().map(|scenario| (scenario, EIGHT, Contestant::Service));
    subjects.extend(others.filter(|subject| !targets::ON_SQLITE.contains(subject)));
    sqlite.collect(&mut field, &subjects, how.rounds, how.time()).await?;
    drop(field);

    let targets = targets::all(&postgres, &sqlite, &amounts);
    report::compared(how, &targets, &postgres, &sqlite)?;
    // A refusal is cheap. In an open loop it counts as the latest of all answers, and may be.
    let refused = |results: &Results| {
        let closed = results.subjects().filter(|(_, how, _)| matches!(how, Loop::Closed(_)));
        closed.map(|subject| results.bad(*subject)).sum::<u64>()
    };
    let refused = [refused(&postgres), refused(&sqlite)];
    ensure!(refused == [0, 0], "{refused:?} answers were not good: the numbers above are worth nothing");
    Ok(())
}

/// One scenario, alone.
pub(crate) async fn one(how: &How, scenario: Scenario, kind: Kind, at_once: usize, rate: Option<u32>) -> Result<()> {
    let mut field = field(how, kind, how.tokens).await?;
    let subject = (scenario, rate.map_or(Loop::Closed(at_once), Loop::Open), Contestant::Service);
    let mut results = Results::default();
    results.collect(&mut field, &[subject], how.rounds, how.time()).await?;
    print!("{}", report::runs("", &results));
    Ok(())
}

/// An import, alone.
pub(crate) async fn import(how: &How, kind: Kind) -> Result<()> {
    println!("{:.0} cards a second", imported(how, kind).await?);
    Ok(())
}

/// On a database of its own: it makes the table larger.
async fn imported(how: &How, kind: Kind) -> Result<f64> {
    let stage = Stage::set(&how.binary, kind, how.tokens, &[]).await?;
    block_in_place(|| import::rate(&stage))
}

/// The same call on tables of growing size.
pub(crate) async fn sizes(how: &How, sizes: &[u64]) -> Result<()> {
    let subjects: [Subject; 2] =
        [(Scenario::Show, EIGHT, Contestant::Service), (Scenario::Show, EIGHT, Contestant::Sql)];
    let mut found = Vec::new();
    for tokens in sizes {
        let mut of_kind = Vec::new();
        for kind in [Kind::Postgres, Kind::Sqlite] {
            let (mut field, mut results) = (field(how, kind, *tokens).await?, Results::default());
            results.collect(&mut field, &subjects, how.rounds, how.time()).await?;
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
    report::sized(how, &found)
}

/// Everybody, on a database of its own.
pub(crate) async fn field(how: &How, kind: Kind, tokens: u64) -> Result<Field> {
    let stage = Stage::set(&how.binary, kind, tokens, &[]).await?;
    Field::set(stage, how.peer.clone()).await
}

async fn amounts(field: &mut Field) -> Result<Amounts> {
    let question = any_show(&field.stage);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(field.stage.start_again(&question).await?.as_secs_f64() * 1e3);
    }
    tokio::time::sleep(SETTLE).await;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let idle = mib(cpu::memory(field.stage.server.id())?.0);
    for scenario in [Scenario::Show, Scenario::Mixed] {
        field.run((scenario, MANY, Contestant::Service), SETTLE).await?;
    }
    let loaded = mib(cpu::memory(field.stage.server.id())?.1);
    Ok(Amounts { first_call: median(starts), idle: Some(idle), loaded: Some(loaded), imported: None })
}
