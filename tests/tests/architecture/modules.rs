//! The modules of a crate, and which file uses items of which other file.
//!
//! A use is a path in the code, in a macro or in a string of an attribute (`#[serde(with = "...")]`). It leads to the
//! file that defines the item, through all re-exports. Methods are not followed: a call says no path. Names that a
//! macro or an included file makes count for the file of the module in which they appear.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, ItemUse, UseTree};

use crate::graph::Edges;
use crate::production::{is_punct, without_tests};

/// Re-exports of re-exports that are followed; a circle of them ends here.
const MAX_REEXPORTS: usize = 32;

/// Modules of one crate without its tests, the root first.
pub(crate) struct Modules(Vec<Module>);

struct Module {
    file: PathBuf,
    parent: Option<usize>,
    names: HashMap<String, Vec<Name>>,
    globs: Vec<Vec<String>>,
    uses: Vec<Use>,
}

/// The meaning of a name in a module.
#[derive(Clone)]
enum Name {
    /// An item and the module that defines it.
    Item(usize, Space),
    Module(usize),
    /// A path that `use` gives this name.
    Import(Vec<String>),
}

/// Names of types may be followed by `::`, those of values and macros may not.
#[derive(Clone, Copy, PartialEq)]
enum Space {
    Type,
    Value,
}

/// The target of a path.
enum Found {
    /// An item and the module that defines it.
    Item(usize, Space),
    Module(usize),
    /// Something of another crate.
    Foreign,
}

struct Use {
    path: Vec<String>,
    /// Whether the path stands for all items of a module, as in `use module::*`.
    whole_module: bool,
}

impl Modules {
    /// Reads the production code of the crate with this root file.
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = Self(Vec::new());
        let folder = root.parent().expect("a folder").to_owned();
        modules.read_file(root, folder, None);
        modules
    }

    pub(crate) fn files(&self) -> BTreeSet<&Path> {
        self.0.iter().map(|module| module.file.as_path()).collect()
    }

    /// Returns the pairs of files of which the first uses items of the second, with the paths of these items.
    pub(crate) fn edges(&self, workspace: &Path) -> Edges {
        let name = |file: &Path| file.strip_prefix(workspace).expect("a file of the workspace").display().to_string();
        let mut edges = Edges::new();
        for (index, module) in self.0.iter().enumerate() {
            for used in &module.uses {
                for found in self.resolve(index, &used.path, 0) {
                    let defining = match found {
                        Found::Item(defining, _) => defining,
                        Found::Module(defining) if used.whole_module => defining,
                        Found::Module(_) | Found::Foreign => continue,
                    };
                    let (from, to) = (&module.file, &self.0[defining].file);
                    if from != to {
                        edges.entry((name(from), name(to))).or_default().insert(used.text());
                    }
                }
            }
        }
        edges
    }

    fn read_file(&mut self, file: &Path, folder: PathBuf, parent: Option<usize>) -> usize {
        let failed = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", file.display()) };
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| failed(&error));
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| failed(&error));
        let parsed: syn::File = syn::parse2(without_tests(tokens)).unwrap_or_else(|error| failed(&error));
        self.read_module(file, folder, parent, parsed.items)
    }

    fn read_module(&mut self, file: &Path, folder: PathBuf, parent: Option<usize>, items: Vec<Item>) -> usize {
        let index = self.0.len();
        let (names, globs, uses) = (HashMap::new(), Vec::new(), Vec::new());
        self.0.push(Module { file: file.to_owned(), parent, names, globs, uses });
        for item in items {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let child = match module.content {
                        Some((_, items)) => self.read_module(file, folder.join(&name), Some(index), items),
                        None => {
                            let found = file_of(&module.attrs, file, &folder, &name);
                            self.read_file(&found, folder.join(&name), Some(index))
                        }
                    };
                    self.0[index].define(name, Name::Module(child));
                }
                Item::Macro(item) => {
                    if let Some(name) = &item.ident {
                        let exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
                        let scope = if exported { 0 } else { index };
                        self.0[scope].define(name.to_string(), Name::Item(index, Space::Value));
                    }
                    self.0[index].define_in_macro(index, item.mac.tokens.clone());
                    self.0[index].scan(item.to_token_stream(), false);
                }
                Item::Use(item) => self.0[index].import(&item),
                item => {
                    if let Some((name, space)) = defined(&item) {
                        self.0[index].define(name, Name::Item(index, space));
                    }
                    self.0[index].scan(item.to_token_stream(), false);
                }
            }
        }
        index
    }

    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Vec<Found> {
        if depth > MAX_REEXPORTS {
            return Vec::new();
        }
        let mut at = match path[0].as_str() {
            "crate" => 0,
            "self" => module,
            "super" => self.0[module].parent.unwrap_or(0),
            _ => return self.walk(module, path, depth),
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            at = self.0[at].parent.unwrap_or(0);
            rest = &rest[1..];
        }
        self.walk_or_here(at, rest, depth)
    }

    /// Returns the target of the segments from within a module. If the name is not found, a macro or an included file defines it, and
    /// the target is an item of that module.
    fn walk_or_here(&self, module: usize, segments: &[String], depth: usize) -> Vec<Found> {
        let found = self.walk(module, segments, depth);
        if found.is_empty() { vec![Found::Item(module, Space::Type)] } else { found }
    }

    fn walk(&self, module: usize, segments: &[String], depth: usize) -> Vec<Found> {
        let Some((first, rest)) = segments.split_first() else { return vec![Found::Module(module)] };
        let mut found = Vec::new();
        let onward = |from: Vec<Found>, found: &mut Vec<Found>| {
            for one in from {
                match one {
                    Found::Module(next) => found.extend(self.walk_or_here(next, rest, depth)),
                    Found::Item(defining, space) if rest.is_empty() || space == Space::Type => {
                        found.push(Found::Item(defining, space));
                    }
                    Found::Item(..) => {}
                    Found::Foreign => found.push(Found::Foreign),
                }
            }
        };
        for name in self.0[module].names.get(first).into_iter().flatten() {
            let next = match name {
                Name::Item(defining, space) => vec![Found::Item(*defining, *space)],
                Name::Module(child) => vec![Found::Module(*child)],
                Name::Import(path) => self.resolve(module, path, depth + 1),
            };
            if next.is_empty() {
                found.push(Found::Foreign);
            }
            onward(next, &mut found);
        }
        if found.is_empty() {
            for glob in &self.0[module].globs {
                for target in self.resolve(module, glob, depth + 1) {
                    if let Found::Module(target) = target
                        && target != module
                    {
                        found.extend(self.walk(target, segments, depth + 1));
                    }
                }
            }
        }
        found
    }
}

impl Use {
    fn text(&self) -> String {
        let path = self.path.join("::");
        if self.whole_module { format!("{path}::*") } else { path }
    }
}

impl Module {
    fn define(&mut self, name: String, what: Name) {
        self.names.entry(name).or_default().push(what);
    }

    /// Defines the items that the tokens of a macro call declare.
    fn define_in_macro(&mut self, index: usize, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for pair in tokens.windows(2) {
            let [TokenTree::Ident(keyword), TokenTree::Ident(name)] = pair else { continue };
            match keyword.to_string().as_str() {
                "struct" | "enum" | "trait" | "type" | "union" => {
                    self.define(name.to_string(), Name::Item(index, Space::Type));
                }
                "fn" | "const" | "static" => self.define(name.to_string(), Name::Item(index, Space::Value)),
                _ => {}
            }
        }
    }

    fn import(&mut self, item: &ItemUse) {
        if item.leading_colon.is_none() {
            self.import_tree(&item.tree, &mut Vec::new());
        }
    }

    fn import_tree(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        let (last, name) = match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import_tree(&step.tree, path);
                path.pop();
                return;
            }
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import_tree(tree, path)),
            UseTree::Glob(_) => {
                self.globs.push(path.clone());
                return self.uses.push(Use { path: path.clone(), whole_module: true });
            }
            UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
        };
        let mut full = path.clone();
        if last != "self" || full.is_empty() {
            full.push(last);
        }
        let name = if name == "self" { full.last().cloned().unwrap_or_default() } else { name };
        // `use name;` in a module that defines `name` makes a macro a path; it imports nothing.
        if full.len() > 1 {
            self.define(name, Name::Import(full.clone()));
        }
        self.uses.push(Use { path: full, whole_module: false });
    }

    /// Records the paths in code: with two or more segments, as a shorter one stands for a name that `use` brings.
    fn scan(&mut self, tokens: TokenStream, attribute: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let brackets = group.delimiter() == Delimiter::Bracket;
                    let mark = if at > 1 && is_punct(&tokens, at - 1, '!') { 2 } else { 1 };
                    let marked = at >= mark && is_punct(&tokens, at - mark, '#');
                    let documentation = group.stream().to_string().starts_with("doc");
                    self.scan(group.stream(), attribute || (brackets && marked && !documentation));
                }
                TokenTree::Literal(literal) if attribute => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                        && let Ok(path) = text.parse_with(syn::Path::parse_mod_style)
                        && path.segments.len() > 1
                    {
                        let path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                        self.uses.push(Use { path, whole_module: true });
                    }
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..tokens.len()).find(|index| is_punct(&tokens, *index, ';')).unwrap_or(at);
                    let statement = tokens[at..(end + 1).min(tokens.len())].iter().cloned().collect();
                    if let Ok(item) = syn::parse2::<ItemUse>(statement) {
                        self.import(&item);
                        at = end;
                    }
                }
                TokenTree::Ident(_) => at = self.scan_path(&tokens, at),
                _ => {}
            }
            at += 1;
        }
    }

    /// Records the path that begins at an index; returns the index of its last token.
    fn scan_path(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        let before = |back: usize, character| start >= back && is_punct(tokens, start - back, character);
        let mut path = Vec::new();
        let mut at = start;
        while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
            path.push(segment.to_string());
            if !(is_punct(tokens, at + 1, ':') && is_punct(tokens, at + 2, ':')) {
                break;
            }
            at += 3;
        }
        let end = if matches!(tokens.get(at), Some(TokenTree::Ident(_))) { at } else { at - 1 };
        let absolute = before(1, ':') && before(2, ':');
        let field = before(1, '.') && !before(2, '.');
        let variable = before(1, '$') && path[0] != "crate";
        if path.len() > 1 && !absolute && !field && !variable && !before(1, '\'') {
            self.uses.push(Use { path, whole_module: false });
        }
        end
    }
}

/// Returns the name that an item defines.
fn defined(item: &Item) -> Option<(String, Space)> {
    let (name, space) = match item {
        Item::Struct(item) => (&item.ident, Space::Type),
        Item::Enum(item) => (&item.ident, Space::Type),
        Item::Union(item) => (&item.ident, Space::Type),
        Item::Trait(item) => (&item.ident, Space::Type),
        Item::TraitAlias(item) => (&item.ident, Space::Type),
        Item::Type(item) => (&item.ident, Space::Type),
        Item::Fn(item) => (&item.sig.ident, Space::Value),
        Item::Const(item) => (&item.ident, Space::Value),
        Item::Static(item) => (&item.ident, Space::Value),
        _ => return None,
    };
    Some((name.to_string(), space))
}

/// Returns the file of `mod name;`.
fn file_of(attributes: &[syn::Attribute], parent: &Path, folder: &Path, name: &str) -> PathBuf {
    for attribute in attributes {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("path")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value
        {
            return parent.parent().expect("a folder").join(path.value());
        }
    }
    let beside = folder.join(format!("{name}.rs"));
    if beside.is_file() { beside } else { folder.join(name).join("mod.rs") }
}
