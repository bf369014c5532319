//! The crates of the workspace and what they depend on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::graph::Edges;

/// Prefix of all package names.
const PREFIX: &str = "access-tokens-";

/// A crate of the workspace, named without the prefix.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// The crates of the workspace that it depends on, with the table of Cargo.toml.
    pub(crate) dependencies: Vec<(String, String)>,
}

/// Reads all members from Cargo.
pub(crate) fn members(workspace: &Path) -> Vec<Member> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(workspace);
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let short = |value: &Value| {
        let name = value["name"].as_str().expect("a name");
        name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
    };
    let member = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let ours = dependencies.filter(|dependency| dependency["path"].is_string());
        let kind = |dependency: &Value| match dependency["kind"].as_str() {
            Some(kind) => format!("{kind}-dependencies"),
            None => "dependencies".to_owned(),
        };
        Member {
            name: short(package),
            folder: manifest.parent().expect("a folder").to_owned(),
            dependencies: ours.map(|dependency| (short(dependency), kind(dependency))).collect(),
        }
    };
    metadata["packages"].as_array().expect("packages").iter().map(member).collect()
}

/// Returns which crate depends on which, over all kinds of dependencies.
pub(crate) fn edges(members: &[Member]) -> Edges {
    let mut edges = Edges::new();
    for member in members {
        for (dependency, kind) in &member.dependencies {
            edges.entry((member.name.clone(), dependency.clone())).or_default().insert(kind.clone());
        }
    }
    edges
}

/// Compares the dependencies with the table of those that are allowed.
pub(crate) fn disallowed(members: &[Member], allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for (name, row) in allowed {
        for unknown in [name].into_iter().chain(*row).filter(|name| !names.contains(**name)) {
            faults.push(format!("the row of `{name}` names `{unknown}`, which is no crate of the workspace"));
        }
    }
    for member in members {
        let Some((_, row)) = allowed.iter().find(|(name, _)| *name == member.name) else {
            faults.push(format!("the crate `{}` has no row in the table of allowed dependencies", member.name));
            continue;
        };
        for (dependency, kind) in &member.dependencies {
            if !row.contains(&dependency.as_str()) {
                let file = member.folder.join("Cargo.toml");
                faults.push(format!("{}: `{}` may not have `{dependency}` in [{kind}]", file.display(), member.name));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::circles;

    fn member(name: &str, dependencies: &[(&str, &str)]) -> Member {
        let dependencies = dependencies.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
        Member { name: name.to_owned(), folder: PathBuf::from("crates").join(name), dependencies }
    }

    #[test]
    fn a_dependency_for_tests_closes_a_circle() {
        let storage = member("storage", &[("testkit", "dev-dependencies")]);
        let testkit = member("testkit", &[("storage", "dependencies")]);
        assert_eq!(circles(&edges(&[storage, testkit])).len(), 1);
    }

    #[test]
    fn a_dependency_without_an_entry_is_refused() {
        let members = [member("domain", &[]), member("proto", &[("domain", "dev-dependencies")]), member("new", &[])];
        let allowed: &[(&str, &[&str])] = &[("domain", &["gone"]), ("proto", &[])];
        assert_eq!(
            disallowed(&members, allowed),
            [
                "the row of `domain` names `gone`, which is no crate of the workspace",
                "crates/proto/Cargo.toml: `proto` may not have `domain` in [dev-dependencies]",
                "the crate `new` has no row in the table of allowed dependencies",
            ]
        );
    }
}
