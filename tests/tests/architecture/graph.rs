//! Directed graphs of names, and the circles in them.

use std::collections::{BTreeMap, BTreeSet};

/// Edges from a name to another one, each with the reasons why it exists.
pub(crate) type Edges = BTreeMap<(String, String), BTreeSet<String>>;

/// Returns the circles: the largest sets of two or more names, each of which reaches all others of its set.
pub(crate) fn circles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        next.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|from| (*from, reachable(&next, from))).collect();
    let mut found = BTreeSet::new();
    for (from, all) in &reached {
        let back = |to: &&&str| reached.get(**to).is_some_and(|there| there.contains(from));
        let circle: BTreeSet<String> = all.iter().filter(back).map(|name| (*name).to_owned()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// Returns what is reached from a name over one or more edges.
fn reachable<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for to in next.get(name).into_iter().flatten() {
            if found.insert(*to) {
                open.push(to);
            }
        }
    }
    found
}

/// Describes a circle: its names, and each edge between two of them with its reasons.
pub(crate) fn describe(circle: &BTreeSet<String>, edges: &Edges) -> String {
    let inside = edges.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
    let lines: Vec<_> = inside
        .map(|((from, to), reasons)| {
            format!("  {from} -> {to}: {}", reasons.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!("circle of {}:\n{}", circle.len(), lines.join("\n"))
}

#[test]
fn circles_are_found_and_what_only_leads_to_one_is_left_out() {
    let edges: Edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("e", "e"), ("f", "g"), ("g", "h"), ("h", "f")]
        .into_iter()
        .map(|(from, to)| ((from.to_owned(), to.to_owned()), BTreeSet::from([format!("{to}::Name")])))
        .collect();
    let found: Vec<Vec<String>> = circles(&edges).into_iter().map(|circle| circle.into_iter().collect()).collect();
    assert_eq!(found, [vec!["b", "c"], vec!["f", "g", "h"]]);
    assert_eq!(describe(&circles(&edges)[0], &edges), "circle of 2:\n  b -> c: c::Name\n  c -> b: b::Name");
}
