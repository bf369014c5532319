//! Keeps crates and modules free of circles, dependencies in one direction, and crates small.
//!
//! A circle of files means that none of them is understood, tested or moved alone. To remove a circle, move the item
//! that both files need into a third file, or pass a value instead of using the item.

mod crates;
mod graph;
mod language;
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

/// The crates of the workspace that each crate may depend on, in any table of its Cargo.toml.
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
    ("testapp", &["auth", "domain", "gateway", "grpc", "host", "proto", "secrets", "storage", "telemetry", "testkit"]),
    ("bench", &["proto", "testapp", "testkit"]),
    ("chaos", &["testapp", "testkit"]),
    ("fuzz", &["auth", "domain", "gateway", "grpc", "proto", "secrets", "server"]),
    ("tests", &["auth", "domain", "gateway", "host", "proto", "secrets", "server", "storage", "testapp", "testkit"]),
];

/// Largest share of one crate in the production lines of all crates, in percent.
const MAX_SHARE_PERCENT: usize = 22;

/// Maximum number of crates that `cargo run` compiles for the service, the project's own ones included.
const MAX_CRATES: usize = 360;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder").to_owned()
}

#[test]
fn crates_depend_in_one_direction() {
    let members = crates::members(&workspace());
    let mut faults = crates::disallowed(&members, ALLOWED);
    faults.extend(described(&crates::edges(&members)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let workspace = workspace();
    let mut edges = Edges::new();
    for roots in crate_roots(&crates::members(&workspace)).into_values() {
        edges.extend(roots.iter().flat_map(|root| Modules::read(root).edges(&workspace)));
    }
    let faults = described(&edges);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_crate_holds_too_large_a_share_of_the_code() {
    let roots = crate_roots(&crates::members(&workspace()));
    let faults = too_large(&roots.iter().map(|(name, roots)| (name.as_str(), lines(roots))).collect());
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

/// Describes each circle.
fn described(edges: &Edges) -> Vec<String> {
    circles(edges).iter().map(|circle| describe(circle, edges)).collect()
}

/// Returns the crates above the largest share.
fn too_large(lines: &BTreeMap<&str, usize>) -> Vec<String> {
    let total: usize = lines.values().sum();
    let large = lines.iter().filter(|(_, count)| *count * 100 > total * MAX_SHARE_PERCENT);
    let describe =
        |(name, count)| format!("`{name}` has {count} of {total} production lines, more than {MAX_SHARE_PERCENT} %");
    large.map(describe).collect()
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
fn a_crate_above_its_share_is_refused() {
    assert_eq!(
        too_large(&BTreeMap::from([("large", 23), ("small", 22), ("rest", 20), ("others", 18), ("more", 17)])),
        ["`large` has 23 of 100 production lines, more than 22 %"]
    );
}
