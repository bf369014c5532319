//! Comments and documents keep the language rules: plain words, and doc comments that say what an item does.
//!
//! Quoted text and code between backquotes are exempt, so that a rule can be named and the Unix user `nobody` as well.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// Folders that are not the project's own text, from the root of the workspace.
const SKIPPED: &[&str] = &["proto/google", "proto/grpc", "tests/fuzz/artifacts", "tests/fuzz/corpus"];
/// Names of folders that are not the project's own text, at any depth.
const SKIPPED_NAMES: &[&str] = &[".git", "node_modules", "target"];

/// Words that hide the subject of a sentence, and invented words that have a standard term.
static BANNED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(whoever|somebody|nobody|anybody|everybody|those who|one who|who asks|goes on|go on|so many|so much|so long|so few|as long as there is|at hand|for want of|be it|comes of|for ever|lanes?|strangers?|riddles?|a moment|furniture|furnish\w*|patience)\b",
    )
});
/// The first words of a question or of a clause without a subject.
static QUESTION_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(What|Who|How|Why|Which|That|Those|Where|When|So|Is|Are|Does|Do|Has|Have|Can|May|Must|Was|Were|Did)\b")
});
/// Text that is exempt.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| regex(r#""[^"]*"|“[^”]*”|`[^`]*`"#));
static COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*(//[/!]?)\s?(.*)$"));
static TRAILING_COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"\s// (.*)$"));
static HASH_COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*#+ ?(.*)$"));

fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("an expression")
}

/// The syntax of comments in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Markdown,
    Rust,
    Proto,
    /// Shell, TOML, YAML and files without an extension.
    Hash,
}

impl Syntax {
    /// Returns the syntax of a file by its path from the root of the workspace. `None`: the rules do not cover it.
    fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("md") => Some(Self::Markdown),
            Some("rs") if path.file_name().is_some_and(|name| name == "language.rs") => None,
            Some("rs") => Some(Self::Rust),
            Some("proto") => Some(Self::Proto),
            None | Some("sh" | "toml" | "yaml" | "yml") => Some(Self::Hash),
            Some(_) => path.starts_with("scripts").then_some(Self::Hash),
        }
    }
}

/// The text of a line that the rules cover.
struct Text<'a> {
    text: &'a str,
    /// Whether it belongs to a doc comment.
    doc: bool,
}

/// Returns the comment of a line, or the line itself in a document.
fn text(line: &str, syntax: Syntax) -> Option<Text<'_>> {
    match syntax {
        Syntax::Markdown => (!line.trim_start().starts_with('>')).then_some(Text { text: line, doc: false }),
        Syntax::Rust | Syntax::Proto => {
            if let Some(comment) = COMMENT.captures(line) {
                let (marker, text) = (comment.get(1)?.as_str(), comment.get(2)?.as_str());
                return Some(Text { text, doc: marker != "//" });
            }
            let comment = TRAILING_COMMENT.captures(line).filter(|_| syntax == Syntax::Rust)?.get(1)?;
            // Two slashes in a string literal are no comment.
            (!comment.as_str().contains('"')).then_some(Text { text: comment.as_str(), doc: false })
        }
        Syntax::Hash if line.starts_with("#!") => None,
        Syntax::Hash => Some(Text { text: HASH_COMMENT.captures(line)?.get(1)?.as_str(), doc: false }),
    }
}

/// Returns each place of a file that breaks a rule, with its line.
fn faults(source: &str, syntax: Syntax) -> Vec<String> {
    let (mut faults, mut in_doc, mut in_code) = (Vec::new(), false, false);
    for (number, line) in (1..).zip(source.lines()) {
        if syntax == Syntax::Markdown && line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let Some(Text { text, doc }) = text(line, syntax).filter(|_| !in_code) else {
            in_doc = false;
            continue;
        };
        if let Some(word) = BANNED.find(&QUOTED.replace_all(text, "")) {
            faults.push(format!("{number}: \"{}\": {}", word.as_str(), text.trim()));
        }
        if doc && syntax == Syntax::Rust {
            if let Some(word) = QUESTION_WORDS.find(text).filter(|_| !in_doc) {
                faults.push(format!("{number}: begins with \"{}\": {}", word.as_str(), text.trim()));
            }
            if text.trim_end().ends_with('?') {
                faults.push(format!("{number}: is a question: {}", text.trim()));
            }
        }
        in_doc = doc;
    }
    faults
}

/// Returns all files below a folder that are the project's own text.
fn files(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
        let relative = path.strip_prefix(root).expect("below the root");
        let name = entry.file_name();
        if SKIPPED_NAMES.iter().any(|skipped| name == *skipped)
            || SKIPPED.iter().any(|skipped| relative == Path::new(skipped))
        {
            continue;
        }
        if kind.is_dir() {
            found.extend(files(root, &path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}

#[test]
fn comments_and_documents_are_plain() {
    let root = crate::workspace();
    let (mut all, mut covered) = (Vec::new(), 0);
    for path in files(&root, &root) {
        let relative = path.strip_prefix(&root).expect("below the root");
        let Some(syntax) = Syntax::of(relative) else { continue };
        // A file that is not text has no comments.
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        covered += 1;
        all.extend(faults(&source, syntax).into_iter().map(|fault| format!("{}:{fault}", relative.display())));
    }
    assert!(covered > 300, "only {covered} files were read");
    assert!(all.is_empty(), "{} places break the language rules:\n{}", all.len(), all.join("\n"));
}

#[test]
fn banned_words_are_found_in_each_syntax() {
    for (source, syntax) in [
        ("Whoever asks is told.", Syntax::Markdown),
        ("    // Waits for a moment.", Syntax::Rust),
        ("let lanes = 1; // one of two lanes", Syntax::Rust),
        ("//! Nobody reads it.", Syntax::Rust),
        ("// Callers go on.", Syntax::Proto),
        ("  # For want of a better name.", Syntax::Hash),
    ] {
        assert_eq!(faults(source, syntax).len(), 1, "{source}");
    }
}

#[test]
fn doc_comments_that_ask_are_found() {
    for source in
        ["/// What it does.", "//! How it works.\n//! What follows is one comment.", "/// Returns true.\n/// Is it so?"]
    {
        assert_eq!(faults(source, Syntax::Rust).len(), 1, "{source}");
    }
    assert_eq!(faults("/// Is it on?", Syntax::Rust).len(), 2, "both rules");
}

#[test]
fn exempt_text_passes() {
    for (source, syntax) in [
        ("The user `nobody` and \"whoever\" and “somebody”.", Syntax::Markdown),
        ("> Whoever is quoted.", Syntax::Markdown),
        ("```sh\n# whoever runs this\n```\nPlain.", Syntax::Markdown),
        ("let lanes = strangers();", Syntax::Rust),
        ("let url = \"http:// nobody\";", Syntax::Rust),
        ("// What is no doc comment may begin so.", Syntax::Rust),
        ("/// Returns the lines\n/// When there are some.", Syntax::Rust),
        ("// What a field means.", Syntax::Proto),
        ("#!/usr/bin/env nobody", Syntax::Hash),
        ("key = \"nobody\"", Syntax::Hash),
    ] {
        assert_eq!(faults(source, syntax), [""; 0], "{source}");
    }
}

#[test]
fn a_fault_is_told_with_its_line() {
    let source = "/// Returns a number.\nfn number() {}\n\n// Nobody calls it.\n";
    assert_eq!(faults(source, Syntax::Rust), ["4: \"Nobody\": Nobody calls it."]);
}

#[test]
fn the_rules_cover_files_by_their_kind() {
    for (path, syntax) in [
        ("docs/a.md", Some(Syntax::Markdown)),
        ("crates/a/src/lib.rs", Some(Syntax::Rust)),
        ("proto/a.proto", Some(Syntax::Proto)),
        ("deploy/a.yaml", Some(Syntax::Hash)),
        ("scripts/test", Some(Syntax::Hash)),
        ("scripts/a.py", Some(Syntax::Hash)),
        (".ci/run", Some(Syntax::Hash)),
        ("tests/tests/architecture/language.rs", None),
        ("tests/clients/client.py", None),
    ] {
        assert_eq!(Syntax::of(Path::new(path)), syntax, "{path}");
    }
}
