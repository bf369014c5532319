//! The reference of all settings, for the documentation.

use std::fmt::Write as _;

use super::{DEFAULTS, environment};

/// A section or a setting of the defaults, with the comment above it in one paragraph.
struct Entry<'a> {
    /// The section of the line.
    section: &'a str,
    /// The setting and its default. None for the beginning of the section.
    setting: Option<(&'a str, &'a str)>,
    comment: String,
}

impl Entry<'_> {
    fn key(&self) -> Option<String> {
        let (name, _) = self.setting?;
        Some(if self.section.is_empty() { name.to_owned() } else { format!("{}.{name}", self.section) })
    }
}

/// Returns the sections and settings of the defaults, in their order.
fn entries() -> Vec<Entry<'static>> {
    let (mut entries, mut comment, mut section) = (Vec::new(), Vec::new(), "");
    for line in DEFAULTS.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        // A comment before an empty line describes the whole file.
        let comment = std::mem::take(&mut comment).join(" ");
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            entries.push(Entry { section, setting: None, comment });
        } else if let Some(setting) = line.split_once(" = ") {
            entries.push(Entry { section, setting: Some(setting), comment });
        }
    }
    entries
}

/// Returns every setting with its default, its variable and its meaning, in Markdown: one table for each section.
///
/// The text is generated from the defaults and their comments, so that it cannot differ from them.
pub fn reference() -> String {
    const HEAD: &str = "| Setting | Default | Meaning |\n|---|---|---|";
    let mut text = format!("{HEAD}\n");
    for entry in entries() {
        let Entry { section, setting, comment } = &entry;
        match (setting, entry.key()) {
            (Some((name, default)), Some(key)) => {
                let (variable, meaning) = (environment::variable(&key), comment.replace('|', "\\|"));
                let _ = writeln!(text, "| `{name}`<br>`{variable}` | `{default}` | {meaning} |");
            }
            _ => {
                let about = if comment.is_empty() { String::new() } else { format!("{comment}\n\n") };
                let _ = writeln!(text, "\n### `{section}`\n\n{about}{HEAD}");
            }
        }
    }
    text
}

/// Returns what a setting means, in one paragraph. None where there is no such setting.
pub fn meaning(key: &str) -> Option<String> {
    entries().into_iter().find(|entry| entry.key().as_deref() == Some(key)).map(|entry| entry.comment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadedSettings;

    /// The document with the reference.
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    const MARKS: [&str; 2] = ["<!-- settings: begin -->\n", "<!-- settings: end -->"];

    #[test]
    fn every_setting_is_there_with_its_meaning() {
        let (text, loaded) = (reference(), LoadedSettings::load(None, [], &[]).expect("the defaults"));
        for (key, _) in loaded.origins() {
            let variable = environment::variable(key);
            let row = text.lines().find(|line| line.contains(&format!("`{variable}`")));
            let row = row.unwrap_or_else(|| panic!("{key} is not there"));
            let meaning = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            assert!(meaning.len() > 5, "{key} is not explained: {row}");
        }
        let rows = text.lines().filter(|line| line.contains("`ACCESS_TOKENS__")).count();
        assert_eq!(rows, loaded.origins().count());
    }

    #[test]
    fn the_meaning_of_each_setting_is_found_by_its_name() {
        for (key, _) in LoadedSettings::load(None, [], &[]).expect("the defaults").origins() {
            assert!(meaning(key).is_some_and(|meaning| meaning.len() > 5), "{key}");
        }
        assert_eq!(meaning("grpc.tls.key").as_deref(), Some("The key of the certificate."));
        for unknown in ["", "grpc", "grpc.", "listen", "grpc.listenx", "tls.key"] {
            assert_eq!(meaning(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_documentation_has_the_reference() {
        let document = std::fs::read_to_string(DOCUMENT).expect("docs/operations.md");
        let section = document.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1]));
        let (section, _) = section.expect("both marks");
        assert_eq!(section.trim(), reference().trim(), "docs/operations.md is old: run scripts/settings-reference");
    }
}
