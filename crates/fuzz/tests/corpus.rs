//! Runs every target on the inputs of its corpus, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use access_tokens_fuzz::TARGETS;

fn targets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz")
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn every_input_of_the_corpus_holds() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let folder = targets().join("corpus").join(name);
        let inputs = names(&folder);
        assert!(inputs.len() >= 5, "{name} has no corpus to speak of");
        for input in inputs {
            let data = fs::read(folder.join(&input)).expect("a file");
            if catch_unwind(|| target(&data)).is_err() {
                failed.push(format!("{name}/{input}"));
            }
        }
    }
    assert!(failed.is_empty(), "do not hold: {failed:?}");
}

#[test]
fn every_target_takes_any_bytes() {
    let long = [vec![b'['; 60_000], vec![b']'; 60_000]].concat();
    for (_, target) in TARGETS {
        for first in 0..=u8::MAX {
            target(&[]);
            target(&[first]);
            target(&[first, first, 0xff, first]);
        }
        target(&long);
        target(&long[1..]);
    }
}

#[test]
fn the_targets_of_libfuzzer_and_their_corpora_are_these() {
    let expected: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&targets().join("corpus")), expected);
    let files: BTreeSet<String> = expected.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&targets().join("targets")), files);
    let manifest = fs::read_to_string(targets().join("Cargo.toml")).expect("the manifest");
    for name in expected {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\npath = \"targets/{name}.rs\"\n")), "{name}");
        let target = fs::read_to_string(targets().join("targets").join(format!("{name}.rs"))).expect("a target");
        assert!(target.contains(&format!("access_tokens_fuzz::{name}(data)")), "{name}");
    }
}
