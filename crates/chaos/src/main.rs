//! Chaos: starts the real service, breaks whatever it stands on while calls are made, and compares what it has
//! acknowledged with what is there afterwards. It is never shipped. `docs/reliability.md` says what each scenario does.

mod campaign;
mod chance;
mod disk;
mod facts;
mod hostile;
mod inspect;
mod junction;
mod ledger;
mod liar;
mod linear;
mod outcome;
mod program;
mod report;
mod run;
mod scenario;
mod stage;
mod table;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use run::{Run, Scenario};
use scenario::{ALL, OPEN};
use stage::Kind;

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Size {
    /// Some minutes for all of it.
    Ci,
    /// Hours.
    Soak,
}

/// Breaks what the service stands on, and checks that it kept its promises.
#[derive(Debug, Parser)]
struct Arguments {
    /// A scenario such as t02; or several; `ci` or `soak` for all of them at that size; `red` for all that have a red mode,
    /// of which each has to fail; `list`.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// The binary of the service; `access-tokens` beside this one when not given.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// How much of it.
    #[arg(long, value_enum, default_value = "ci")]
    size: Size,

    /// How often, in place of the size's number.
    #[arg(long, value_name = "N")]
    cycles: Option<usize>,

    /// How many runs at a time: one, when not given; two for `ci` and `red`, three for `soak`.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Only on this database.
    #[arg(long, value_enum)]
    database: Option<Kind>,

    /// With the guard switched off: the run has to fail.
    #[arg(long)]
    red: bool,

    /// Where chance begins.
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
        // Whoever is interrupted cleans up behind itself: what is dropped ends its processes and unmounts its disks.
        tokio::select! {
            done = play(arguments) => done,
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

/// Plays what was asked for. Answers whether all is as it has to be.
async fn play(arguments: Arguments) -> Result<bool> {
    if arguments.scenarios == ["list"] {
        for scenario in ALL {
            let red = if scenario.red.is_empty() { "no red mode" } else { scenario.red };
            println!("{}  {}\n     red: {red}", scenario.name, scenario.title);
        }
        return Ok(true);
    }
    let choice = choose(&arguments)?;
    let binary = binary(arguments.binary.as_ref())?;
    let mut runs = Vec::new();
    for scenario in choice.scenarios {
        for (kind, ci, soak) in scenario.sizes {
            if arguments.database.is_some_and(|only| only != *kind) {
                continue;
            }
            let usual = match choice.size {
                Size::Soak => *soak,
                // A guard that is off is noticed soon, or not at all.
                Size::Ci if choice.red => ci.div_ceil(10).max(3).min(*ci),
                Size::Ci => *ci,
            };
            let cycles = arguments.cycles.unwrap_or(usual);
            let (red, seed, binary) = (choice.red, arguments.seed, binary.clone());
            runs.push(Run { scenario, kind: *kind, cycles, red, seed, binary });
        }
    }
    let played = program::play(runs, arguments.jobs.unwrap_or(choice.jobs)).await?;
    let rows: Vec<_> = played.iter().map(|played| played.row.as_str()).collect();
    println!("\n{}\n{}", table::head(), rows.join("\n"));
    Ok(played.iter().all(|played| if choice.all_red { played.report.caught() } else { !played.report.failed() }))
}

/// What is played.
struct Choice {
    scenarios: Vec<&'static Scenario>,
    size: Size,
    red: bool,
    /// Each of them has to fail.
    all_red: bool,
    /// How many runs at a time, unless it is said.
    jobs: usize,
}

fn choose(arguments: &Arguments) -> Result<Choice> {
    let red = arguments.red;
    let all = |size, jobs| Choice { scenarios: ALL.iter().collect(), size, red, all_red: false, jobs };
    Ok(match arguments.scenarios[0].as_str() {
        "ci" => {
            let scenarios = ALL.iter().filter(|scenario| !OPEN.contains(&scenario.name)).collect();
            Choice { scenarios, ..all(Size::Ci, 2) }
        }
        "soak" => all(Size::Soak, 3),
        "red" => {
            let scenarios = ALL.iter().filter(|scenario| !scenario.red.is_empty()).collect();
            Choice { scenarios, red: true, all_red: true, ..all(arguments.size, 2) }
        }
        _ => {
            let mut scenarios = Vec::new();
            for name in &arguments.scenarios {
                let found = ALL.iter().find(|scenario| scenario.name == name);
                scenarios.push(found.with_context(|| format!("there is no scenario {name}; `list` shows them"))?);
            }
            Choice { scenarios, ..all(arguments.size, 1) }
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
