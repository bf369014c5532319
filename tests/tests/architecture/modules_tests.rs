//! Tests of the uses between files, on small crates.

use std::collections::BTreeSet;
use std::path::Path;

use crate::graph::circles;
use crate::modules::Modules;

/// Returns the uses of a crate made of these files: `from -> to: paths`.
fn uses(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), files);
    let edges = Modules::read(&folder.path().join("lib.rs")).edges(folder.path());
    edges
        .into_iter()
        .map(|((from, to), paths)| format!("{from} -> {to}: {}", paths.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        std::fs::write(file, text).expect("a file");
    }
}

#[test]
fn a_parent_and_its_child_that_use_each_other_form_a_circle() {
    let files =
        [("lib.rs", "mod a;"), ("a.rs", "mod b; use b::B; struct A(B);"), ("a/b.rs", "pub struct B(Box<super::A>);")];
    assert_eq!(uses(&files), ["a.rs -> a/b.rs: b::B", "a/b.rs -> a.rs: super::A"]);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &files);
    let found = circles(&Modules::read(&folder.path().join("lib.rs")).edges(folder.path()));
    assert_eq!(found, [BTreeSet::from(["a.rs".to_owned(), "a/b.rs".to_owned()])]);
}

#[test]
fn declarations_of_modules_and_names_of_modules_are_no_uses() {
    let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b; use std::fmt;"), ("b.rs", "")];
    assert_eq!(uses(&files), [""; 0]);
}

#[test]
fn an_imported_module_leads_to_what_is_used_of_it() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b as other; fn f() { other::g() }"),
        ("b.rs", "pub fn g() {}"),
    ];
    assert_eq!(uses(&files), ["a.rs -> b.rs: other::g"]);
}

#[test]
fn a_use_leads_through_re_exports_to_the_file_that_defines_the_item() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a/mod.rs", "mod inner; mod all; pub use inner::{Inner as Renamed}; pub use all::*;"),
        ("a/inner.rs", "pub enum Inner { One }"),
        ("a/all.rs", "pub struct All;"),
        ("b.rs", "pub use crate::a::Renamed;"),
        ("c.rs", "fn f() { crate::b::Renamed::One; crate::a::All; }"),
    ];
    assert_eq!(
        uses(&files),
        [
            "a/mod.rs -> a/all.rs: all::*",
            "a/mod.rs -> a/inner.rs: inner::Inner",
            "b.rs -> a/inner.rs: crate::a::Renamed",
            "c.rs -> a/all.rs: crate::a::All",
            "c.rs -> a/inner.rs: crate::b::Renamed::One",
        ]
    );
}

#[test]
fn paths_in_macros_attributes_functions_and_inline_modules_count() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "fn f() { println!(\"{}\", crate::b::B); } mod inner { use super::super::c::C; }"),
        ("b.rs", "pub const B: u8 = 0; #[derive(S)] struct D { #[serde(with = \"crate::d::text\")] at: u8 }"),
        ("c.rs", "pub struct C; fn f() { use crate::e::call; call!(); }"),
        ("d.rs", "pub mod text { pub fn serialize() {} }"),
        ("e.rs", "macro_rules! call { () => { $crate::c::C } } pub(crate) use call;"),
    ];
    assert_eq!(
        uses(&files),
        [
            "a.rs -> b.rs: crate::b::B",
            "a.rs -> c.rs: super::super::c::C",
            "b.rs -> d.rs: crate::d::text::*",
            "c.rs -> e.rs: crate::e::call",
            "e.rs -> c.rs: crate::c::C",
        ]
    );
}

#[test]
fn a_function_and_a_module_of_one_name_are_told_apart() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod run; pub fn run() {} pub use run::Run;"),
        ("a/run.rs", "pub struct Run;"),
        ("b.rs", "fn f(_: crate::a::run::Run) { crate::a::run() }"),
    ];
    assert_eq!(
        uses(&files),
        ["a/mod.rs -> a/run.rs: run::Run", "b.rs -> a/mod.rs: crate::a::run", "b.rs -> a/run.rs: crate::a::run::Run",]
    );
}

#[test]
fn what_a_macro_makes_belongs_to_the_file_in_which_it_appears() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use other::Foreign;"),
        ("a.rs", "include!(\"made.rs\"); id! { pub struct Id; }"),
        ("b.rs", "use crate::a::{Id, Made}; use crate::Foreign;"),
    ];
    assert_eq!(uses(&files), ["b.rs -> a.rs: crate::a::Id, crate::a::Made"]);
}

#[test]
fn tests_do_not_count() {
    let files = [
        ("lib.rs", "mod a; #[cfg(test)] mod tests;"),
        ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::tests::T; }"),
        ("tests.rs", "use crate::a::A; pub struct T;"),
    ];
    assert_eq!(uses(&files), [""; 0]);
}
