//! Keeps crates and modules free of circles, dependencies in one direction, and crates small.
//!
//! A circle of files means that none of them is understood, tested or moved alone. What to do about one: move the item
//! that both sides need into a file of its own, or pass a value where a module is named.

mod crates;
mod graph;
mod known;
mod modules;
#[cfg(test)]
mod modules_tests;
mod production;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crates::Member;
use graph::{Edges, circles, describe};
use modules::Modules;

/// Which crate may depend on which crates of the workspace, in any table of its Cargo.toml.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("domain", &[]),
    ("host", &["domain"]),
    ("secrets", &["domain", "host"]),
    ("auth", &["domain", "host", "secrets", "testkit"]),
    ("storage", &["domain", "testkit"]),
    ("gateway", &["domain", "proto"]),
    ("net", &["domain", "gateway", "host"]),
    ("telemetry", &["domain", "host", "net", "secrets", "storage"]),
    ("grpc", &["auth", "domain", "gateway", "host", "net", "proto", "secrets", "storage", "telemetry", "testkit"]),
    (
        "server",
        &["auth", "domain", "gateway", "grpc", "host", "net", "proto", "secrets", "storage", "telemetry", "testkit"],
    ),
    ("testkit", &["domain", "secrets"]),
    (
        "testapp",
        &["auth", "domain", "gateway", "grpc", "host", "proto", "secrets", "server", "storage", "telemetry", "testkit"],
    ),
    ("bench", &["proto", "testapp", "testkit"]),
    ("chaos", &["testapp", "testkit"]),
    ("fuzz", &["auth", "domain", "gateway", "grpc", "proto", "secrets", "server"]),
    ("tests", &["auth", "domain", "gateway", "host", "proto", "secrets", "server", "storage", "testapp", "testkit"]),
];

/// Largest share of one crate in the production lines of all crates, in percent.
const MAX_SHARE_PERCENT: usize = 22;

/// Maximum number of crates that `cargo run` compiles for the service, the project's own ones included.
const MAX_CRATES: usize = 360;

/// Crates above the largest share, with the share that they have, rounded up. A split shrinks this list.
const LARGE: &[(&str, usize)] = &[];

/// Dependencies that close a circle of crates. The list only shrinks.
const KNOWN_CRATES: &[(&str, &str)] = &[];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder").to_owned()
}

#[test]
fn crates_depend_in_one_direction() {
    let members = crates::members(&workspace());
    let mut faults = crates::disallowed(&members, ALLOWED);
    faults.extend(unknown_circles(&crates::edges(&members), KNOWN_CRATES));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let workspace = workspace();
    let mut edges = Edges::new();
    for roots in crate_roots(&crates::members(&workspace)).into_values() {
        edges.extend(roots.iter().flat_map(|root| Modules::read(root).edges(&workspace)));
    }
    let faults = unknown_circles(&edges, known::FILES);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_crate_holds_too_large_a_share_of_the_code() {
    let roots = crate_roots(&crates::members(&workspace()));
    let faults = too_large(&roots.iter().map(|(name, roots)| (name.as_str(), lines(roots))).collect(), LARGE);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_first_start_compiles_few_crates() {
    let cargo = std::env::var_os("CARGO").expect("cargo runs this test");
    let options =
        ["--package", "access-tokens-server", "--edges", "normal,build", "--prefix", "none", "--locked", "--offline"];
    let output =
        Command::new(cargo).arg("tree").args(options).current_dir(workspace()).output().expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Name and version; a crate that was listed before has a mark behind them.
    let text = String::from_utf8_lossy(&output.stdout);
    let crates: BTreeSet<Vec<&str>> = text.lines().map(|line| line.split(' ').take(2).collect()).collect();
    assert!((100..=MAX_CRATES).contains(&crates.len()), "{} crates, at most {MAX_CRATES} are allowed", crates.len());
}

/// Returns the circles that known edges do not explain, and the known edges that close no circle.
fn unknown_circles(edges: &Edges, known: &[(&str, &str)]) -> Vec<String> {
    let without = |left_out: &[&(&str, &str)]| -> Edges {
        let kept = edges.iter().filter(|((from, to), _)| !left_out.contains(&&(from.as_str(), to.as_str())));
        kept.map(|(edge, reasons)| (edge.clone(), reasons.clone())).collect()
    };
    let all: Vec<_> = known.iter().collect();
    let rest = without(&all);
    let mut faults: Vec<String> = circles(&rest).iter().map(|circle| describe(circle, &rest)).collect();
    for entry in known {
        let others: Vec<_> = known.iter().filter(|other| *other != entry).collect();
        if faults.is_empty() && circles(&without(&others)).is_empty() {
            faults.push(format!("no longer needed in the list of known edges: {entry:?}"));
            break;
        }
    }
    faults
}

/// Returns the crates above the largest share that have no entry, and the entries that are no longer true.
fn too_large(lines: &BTreeMap<&str, usize>, large: &[(&str, usize)]) -> Vec<String> {
    let total: usize = lines.values().sum();
    let mut faults = Vec::new();
    for (name, count) in lines {
        let entry = large.iter().find(|(large, _)| large == name);
        let limit = entry.map_or(MAX_SHARE_PERCENT, |(_, percent)| *percent);
        let share = format!("`{name}` has {count} of {total} production lines");
        if count * 100 > total * limit {
            faults.push(format!("{share}, more than {limit} %"));
        } else if entry.is_some() && count * 100 <= total * MAX_SHARE_PERCENT {
            faults.push(format!("{share}: its entry in the list of large crates is no longer needed"));
        }
    }
    let unknown = large.iter().filter(|(name, _)| !lines.contains_key(name));
    faults.extend(unknown.map(|(name, _)| format!("`{name}` in the list of large crates is no crate")));
    faults
}

/// Returns the root files of each crate below crates/: its library and its programs.
fn crate_roots(members: &[Member]) -> BTreeMap<String, Vec<PathBuf>> {
    let below_crates = |member: &&Member| member.folder.parent().is_some_and(|folder| folder.ends_with("crates"));
    let roots = |member: &Member| {
        let files = ["lib.rs", "main.rs"].map(|file| member.folder.join("src").join(file));
        let files: Vec<_> = files.into_iter().filter(|file| file.is_file()).collect();
        assert!(!files.is_empty(), "{}: neither src/lib.rs nor src/main.rs", member.folder.display());
        (member.name.clone(), files)
    };
    members.iter().filter(below_crates).map(roots).collect()
}

/// Number of production lines below the root files of a crate.
fn lines(roots: &[PathBuf]) -> usize {
    let modules: Vec<_> = roots.iter().map(|root| Modules::read(root)).collect();
    let files: BTreeSet<_> = modules.iter().flat_map(Modules::files).collect();
    let text =
        |file: &Path| std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    files.into_iter().map(|file| production::production_lines(&text(file))).sum()
}

#[test]
fn a_known_edge_excuses_its_circle_and_is_refused_without_one() {
    let edge = |from: &str, to: &str| ((from.to_owned(), to.to_owned()), BTreeSet::from(["name".to_owned()]));
    let edges: Edges = [edge("a", "b"), edge("b", "a"), edge("b", "c")].into_iter().collect();
    assert_eq!(unknown_circles(&edges, &[]).len(), 1);
    assert_eq!(unknown_circles(&edges, &[("b", "a")]), [""; 0]);
    for stale in [("b", "c"), ("c", "a")] {
        let faults = unknown_circles(&edges, &[("b", "a"), stale]);
        assert_eq!(faults, [format!("no longer needed in the list of known edges: {stale:?}")]);
    }
}

#[test]
fn a_crate_above_its_share_is_refused_and_so_is_an_excuse_for_a_small_one() {
    let lines = BTreeMap::from([("large", 23), ("small", 22), ("rest", 55)]);
    let large = [("rest", 55)];
    assert_eq!(too_large(&lines, &large), ["`large` has 23 of 100 production lines, more than 22 %"]);
    let large = [("rest", 54), ("large", 23), ("small", 22), ("gone", 30)];
    assert_eq!(
        too_large(&lines, &large),
        [
            "`rest` has 55 of 100 production lines, more than 54 %",
            "`small` has 22 of 100 production lines: its entry in the list of large crates is no longer needed",
            "`gone` in the list of large crates is no crate",
        ]
    );
}
