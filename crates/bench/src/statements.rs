//! The statements of each call, as PostgreSQL counts them.

use anyhow::{Context, Result, ensure};
use tokio::task::block_in_place;

use crate::environment::{Environment, Kind};
use crate::load::Script as _;
use crate::options::Options;
use crate::scenario::{Scenario, Script};

const CALLS: u64 = 200;
/// Length of a statement in the output.
const STATEMENT_LENGTH: usize = 110;

/// Makes some calls of each scenario, and prints the statements of each.
pub(crate) async fn count(options: &Options) -> Result<()> {
    let settings = ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=on"];
    let environment =
        Environment::set_up(&options.binary, Kind::Postgres, options.tokens.min(10_000), &settings).await?;
    let (cluster, database) = (environment.cluster().context("a cluster")?, environment.url()?.1);
    let psql = |sql: &str| block_in_place(|| cluster.psql(&database, sql));
    psql("CREATE EXTENSION pg_stat_statements")?;
    let caller = environment.caller(1).await?;
    for scenario in
        Scenario::PLAIN.into_iter().filter(|scenario| *scenario != Scenario::Mixed).chain([Scenario::PassCode])
    {
        let mut script = Script::new(scenario, environment.tokens, 0, 1, 1, &environment.session);
        caller.unary(script.next_call()).await?;
        psql("SELECT pg_stat_statements_reset()")?;
        for _ in 0..CALLS {
            let (status, _) = caller.unary(script.next_call()).await?;
            ensure!(status == 0, "{} answers {status}", scenario.name());
        }
        // The statements of health checks are not part of a call.
        let rows = psql(&format!(
            "SELECT round(calls / {CALLS}.0, 2), round((total_exec_time * 1000 / {CALLS})::numeric, 1), \
             regexp_replace(left(query, {STATEMENT_LENGTH}), '\\s+', ' ', 'g') FROM pg_stat_statements \
             WHERE query NOT LIKE '%pg_stat_statements%' AND query <> 'SELECT $1' ORDER BY calls DESC, query"
        ))?;
        // Restores the token that was set as not effective, for the next scenario.
        if let Some(call) = script.last() {
            caller.unary(call).await?;
        }
        println!("{} (statements a call, µs of execution a call, statement)", scenario.name());
        rows.lines().for_each(|row| println!("  {row}"));
    }
    Ok(())
}
