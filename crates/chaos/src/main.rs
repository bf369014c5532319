//! Fault tests of the whole service. Each scenario starts the real service, breaks what it depends on while calls are made,
//! and compares what the service has acknowledged with what the database holds afterwards. The program is never shipped.
//! `docs/reliability.md` describes each scenario.

mod campaign;
mod disk;
mod environment;
mod facts;
mod history;
mod hostile;
mod inspection;
mod ledger;
mod lying_proxy;
mod outcome;
mod readiness;
mod report;
mod report_output;
mod run;
mod runner;
mod scenario;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use environment::Kind;
use run::{Run, Scenario};
use scenario::{ALL, NOT_IN_CI};

/// Amount of work of each scenario.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Size {
    /// All scenarios together take some minutes.
    Ci,
    /// All scenarios together take hours.
    Soak,
}

/// Breaks what the service depends on, and checks that the service keeps its promises.
#[derive(Debug, Parser)]
struct Arguments {
    /// Names of scenarios, such as `kill_under_load`, or their old numbers, such as `t02`; or one of: `ci` or `soak` for all
    /// scenarios at that size; `mutations` (old name: `red`) for all that have a mutation check, each of which must fail; `list`.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// Binary of the service. Default: `access-tokens` beside this program.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// Amount of work of each scenario.
    #[arg(long, value_enum, default_value = "ci")]
    size: Size,

    /// Number of cycles, in place of the number of the size.
    #[arg(long, value_name = "N")]
    cycles: Option<usize>,

    /// Number of concurrent runs. Default: one; two for `ci` and `mutations`, three for `soak`.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Runs on this database only.
    #[arg(long, value_enum)]
    database: Option<Kind>,

    /// Mutation check: removes the guard that the scenario tests, so that the run must fail.
    #[arg(long, alias = "red")]
    mutation: bool,

    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        // After a signal the futures are dropped, which ends their processes and unmounts their disks.
        tokio::select! {
            done = execute(arguments) => done,
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate)] = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Runs the selected scenarios. Returns whether all of them ended as they must.
async fn execute(arguments: Arguments) -> Result<bool> {
    if arguments.scenarios == ["list"] {
        for scenario in ALL {
            let mutation = if scenario.mutation.is_empty() { "none" } else { scenario.mutation };
            let number = scenario.number.map_or(String::new(), |number| format!(" ({number})"));
            println!("{}{number}  {}\n     mutation check: {mutation}", scenario.name, scenario.title);
        }
        return Ok(true);
    }
    let selection = select(&arguments)?;
    let binary = binary(arguments.binary.as_ref())?;
    let mut runs = Vec::new();
    for scenario in selection.scenarios {
        for (kind, ci, soak) in scenario.sizes {
            if arguments.database.is_some_and(|only| only != *kind) {
                continue;
            }
            let usual = match selection.size {
                Size::Soak => *soak,
                // Without its guard a run fails in the first cycles, or never.
                Size::Ci if selection.mutated => ci.div_ceil(10).max(3).min(*ci),
                Size::Ci => *ci,
            };
            let cycles = arguments.cycles.unwrap_or(usual);
            let (mutated, seed, binary) = (selection.mutated, arguments.seed, binary.clone());
            runs.push(Run { scenario, kind: *kind, cycles, mutated, seed, binary });
        }
    }
    let completed = runner::execute_all(runs, arguments.jobs.unwrap_or(selection.jobs)).await?;
    let rows: Vec<_> = completed.iter().map(|completed| completed.row.as_str()).collect();
    println!("\n{}\n{}", report_output::head(), rows.join("\n"));
    Ok(completed.iter().all(|completed| match selection.all_must_fail {
        true => completed.report.caught(),
        false => !completed.report.failed(),
    }))
}

/// The scenarios that the command line names, and how they run.
struct Selection {
    scenarios: Vec<&'static Scenario>,
    size: Size,
    mutated: bool,
    /// Each run must fail.
    all_must_fail: bool,
    /// Number of concurrent runs, unless the command line says it.
    jobs: usize,
}

fn select(arguments: &Arguments) -> Result<Selection> {
    let mutated = arguments.mutation;
    let all = |size, jobs| Selection { scenarios: ALL.iter().collect(), size, mutated, all_must_fail: false, jobs };
    Ok(match arguments.scenarios[0].as_str() {
        "ci" => {
            let scenarios = ALL.iter().filter(|scenario| !NOT_IN_CI.contains(&scenario.name)).collect();
            Selection { scenarios, ..all(Size::Ci, 2) }
        }
        "soak" => all(Size::Soak, 3),
        "mutations" | "red" => {
            let scenarios = ALL.iter().filter(|scenario| !scenario.mutation.is_empty()).collect();
            Selection { scenarios, mutated: true, all_must_fail: true, ..all(arguments.size, 2) }
        }
        _ => {
            let mut scenarios = Vec::new();
            for name in &arguments.scenarios {
                let found = ALL.iter().find(|scenario| scenario.name == name || scenario.number == Some(name));
                scenarios.push(found.with_context(|| format!("there is no scenario {name}; `list` shows them"))?);
            }
            Selection { scenarios, ..all(arguments.size, 1) }
        }
    })
}

fn binary(given: Option<&PathBuf>) -> Result<String> {
    let path = match given {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("access-tokens"),
    };
    if !path.is_file() {
        bail!("{} is not there: build it, or name it with --binary", path.display());
    }
    Ok(path.canonicalize()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn selected(arguments: &[&str]) -> Result<Selection> {
        select(&Arguments::try_parse_from([&["chaos"], arguments].concat())?)
    }

    fn names(selection: &Selection) -> Vec<&'static str> {
        selection.scenarios.iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn a_scenario_is_found_by_its_name_and_by_its_old_number() {
        for arguments in [["kill_under_load", "power_cut"], ["t02", "t03"]] {
            assert_eq!(names(&selected(&arguments).unwrap()), ["kill_under_load", "power_cut"]);
        }
        assert!(selected(&["t04"]).is_err());
    }

    #[test]
    fn the_old_names_of_the_mutation_checks_still_work() {
        assert!(selected(&["t02", "--red"]).unwrap().mutated && selected(&["t02", "--mutation"]).unwrap().mutated);
        let [old, new] = [selected(&["red"]).unwrap(), selected(&["mutations"]).unwrap()];
        assert_eq!(names(&old), names(&new));
        assert!(old.all_must_fail && new.all_must_fail && !new.scenarios.is_empty());
    }

    #[test]
    fn no_two_scenarios_share_a_name_or_a_number() {
        let all: Vec<_> =
            ALL.iter().flat_map(|scenario| std::iter::once(scenario.name).chain(scenario.number)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
