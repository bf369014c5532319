//! The tests and files that SECURITY.md and docs/asvs.md cite exist, and no requirement is left out. The same holds for messages of
//! the log in docs/operations.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Sections of OWASP ASVS 5.0.0 with the number of requirements of levels 1 and 2. In each section they are numbered from 1, and
/// those of level 3 follow.
const SECTIONS: &[(&str, u32)] = &[
    ("1.1", 2),
    ("1.2", 9),
    ("1.3", 11),
    ("1.4", 3),
    ("1.5", 2),
    ("2.1", 3),
    ("2.2", 3),
    ("2.3", 4),
    ("2.4", 1),
    ("3.2", 2),
    ("3.3", 4),
    ("3.4", 6),
    ("3.5", 5),
    ("3.7", 2),
    ("4.1", 3),
    ("4.2", 1),
    ("4.3", 2),
    ("4.4", 4),
    ("5.1", 1),
    ("5.2", 3),
    ("5.3", 2),
    ("5.4", 3),
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 4),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 3),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 2),
    ("7.6", 2),
    ("8.1", 2),
    ("8.2", 3),
    ("8.3", 1),
    ("8.4", 1),
    ("9.1", 3),
    ("9.2", 4),
    ("10.1", 2),
    ("10.2", 2),
    ("10.3", 4),
    ("10.4", 11),
    ("10.5", 5),
    ("10.6", 2),
    ("10.7", 3),
    ("11.1", 2),
    ("11.2", 3),
    ("11.3", 3),
    ("11.4", 4),
    ("11.5", 1),
    ("11.6", 1),
    ("12.1", 3),
    ("12.2", 2),
    ("12.3", 4),
    ("13.1", 1),
    ("13.2", 5),
    ("13.3", 2),
    ("13.4", 5),
    ("14.1", 2),
    ("14.2", 4),
    ("14.3", 3),
    ("15.1", 3),
    ("15.2", 3),
    ("15.3", 7),
    ("16.1", 1),
    ("16.2", 5),
    ("16.3", 4),
    ("16.4", 3),
    ("16.5", 3),
    ("17.1", 1),
    ("17.2", 4),
    ("17.3", 2),
];
/// Number of requirements of levels 1 and 2 in the standard.
const REQUIREMENT_COUNT: u32 = 253;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root of the repository").to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the links of a document, with their texts and targets.
fn links(text: &str) -> Vec<(&str, &str)> {
    let ends = text.match_indices("](").map(|(at, _)| at);
    ends.filter_map(|at| {
        let label = text[..at].rfind('[').map(|begin| &text[begin + 1..at])?;
        let target = text[at + 2..].split(')').next()?;
        Some((label, target))
    })
    .collect()
}

/// Returns the names of the tests of a file, and of the scenario in it.
fn tests(source: &str) -> BTreeSet<&str> {
    let (mut names, mut is_test, mut both) = (BTreeSet::new(), false, None);
    for line in source.lines() {
        let (trimmed, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if trimmed.starts_with("on_both_databases! {") || trimmed.starts_with("crate::on_both_databases! {") {
            both = Some(indent);
        } else if trimmed == "}" && both == Some(indent) {
            both = None;
        }
        is_test |= trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test");
        if let Some((before, after)) = trimmed.split_once("fn ")
            && matches!(before, "" | "async " | "pub " | "pub async ")
        {
            if is_test || (both.is_some() && before == "async ") {
                names.insert(after.split('(').next().unwrap_or_default());
            }
            is_test = false;
        }
        if let Some(name) = trimmed.strip_prefix("name: \"").and_then(|rest| rest.strip_suffix("\",")) {
            names.insert(name);
        }
    }
    names
}

/// Returns the anchors that are generated from the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn cited_tests_and_files_exist() {
    for (document, least) in [("SECURITY.md", 80), ("docs/asvs.md", 200)] {
        let path = root().join(document);
        let (text, mut cited) = (read(&path), 0);
        let mut missing = Vec::new();
        for (label, target) in links(&text).into_iter().filter(|(_, target)| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = path.parent().expect("a directory").join(file);
            if !file.exists() {
                missing.push(format!("{target} does not exist"));
            } else if !anchor.is_empty() && !anchors(&read(&file)).contains(anchor) {
                missing.push(format!("{target}: there is no such heading"));
            } else if let Some(name) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`')) {
                cited += 1;
                if !tests(&read(&file)).contains(name) {
                    missing.push(format!("{target} has no test or scenario {name}"));
                }
            }
        }
        assert!(missing.is_empty(), "{document}: {missing:#?}");
        assert!(cited >= least, "{document} cites {cited} tests only: are they found?");
    }
}

#[test]
fn every_requirement_of_asvs_has_a_state_with_its_proof_or_reason() {
    assert_eq!(SECTIONS.iter().map(|(_, count)| count).sum::<u32>(), REQUIREMENT_COUNT);
    let text = read(&root().join("docs/asvs.md"));
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Requirement"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut stated = BTreeSet::new();
    for row in &rows {
        let [id, asks, state] = row[..] else { panic!("three columns are expected: {row:?}") };
        assert!(stated.insert(id), "{id} is there twice");
        assert!(!asks.is_empty(), "{id}");
        let proven = state.starts_with("met") && links(state).len() + usize::from(state.contains("the same tests")) > 0;
        let explained = ["not met (", "not met for ", "not applicable ("].iter().any(|begin| state.starts_with(begin));
        assert!(proven || explained && state.contains('('), "{id}: {state}");
    }
    let covered = |id: &str| {
        // A row may be about a whole section or chapter.
        let (section, _) = id.rsplit_once('.').expect("a section");
        let (chapter, _) = section.split_once('.').expect("a chapter");
        [id, section, chapter].iter().filter(|one| stated.contains(*one)).count()
    };
    for (section, count) in SECTIONS {
        for number in 1..=*count {
            let id = format!("{section}.{number}");
            assert_eq!(covered(&id), 1, "{id} has to have one row");
        }
    }
    let known = |id: &str| {
        SECTIONS.iter().any(|(section, count)| {
            *section == id
                || section.split('.').next() == Some(id)
                || id
                    .strip_prefix(&format!("{section}."))
                    .and_then(|n| n.parse().ok())
                    .is_some_and(|n: u32| n <= *count)
        })
    };
    for id in stated {
        assert!(known(id), "{id} is no requirement of level 1 or 2");
    }
}

/// Returns the text of all Rust files below a directory.
fn sources(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => read(&path),
            _ => String::new(),
        })
        .collect()
}

#[test]
fn logged_messages_exist() {
    let operations = read(&root().join("docs/operations.md"));
    let (_, section) = operations.split_once("\n## Logs\n").expect("a section about logs");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let messages = rows.filter_map(|row| row.split(" | ").next()).flat_map(|first| first.split('`').skip(1).step_by(2));
    let messages: BTreeSet<&str> = messages.collect();
    assert!(messages.len() > 10, "{messages:?}");
    let sources = sources(&root().join("crates"));
    for message in messages {
        assert!(sources.contains(&format!("\"{message}\"")), "nothing logs {message:?}");
    }
}
