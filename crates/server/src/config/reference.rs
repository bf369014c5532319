//! The settings for people who have not set them yet: what there is, as a section of a document.

use std::fmt::Write as _;

use super::{DEFAULTS, environment};

/// Every setting with its default, its variable and what it means, in Markdown: one table a section.
///
/// Made of the defaults and the comments in them, so that it says neither more nor less than they do.
pub fn reference() -> String {
    let (mut text, mut comment, mut section) = (String::new(), Vec::new(), String::new());
    for line in DEFAULTS.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            let about = paragraph(&mut comment);
            let about = if about.is_empty() { about } else { format!("{about}\n\n") };
            let _ = writeln!(text, "### `{section}`\n\n{about}| Setting | Default | Meaning |\n|---|---|---|");
        } else if let Some((name, default)) = line.split_once(" = ") {
            let meaning = paragraph(&mut comment);
            if text.is_empty() {
                let _ = writeln!(text, "| Setting | Default | Meaning |\n|---|---|---|");
            }
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let variable = environment::variable(&key);
            let _ = writeln!(text, "| `{name}`<br>`{variable}` | `{default}` | {} |", meaning.replace('|', "\\|"));
        } else {
            // What stands before an empty line is about the file as a whole.
            comment.clear();
            if !text.is_empty() && !text.ends_with("\n\n") {
                text.push('\n');
            }
        }
    }
    text
}

/// What a setting means, in one paragraph. `None`: there is no such setting.
pub fn meaning(key: &str) -> Option<String> {
    let (mut comment, mut section) = (Vec::new(), "");
    for line in DEFAULTS.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            comment.clear();
        } else if let Some((name, _)) = line.split_once(" = ") {
            let meaning = paragraph(&mut comment);
            let known =
                if section.is_empty() { key == name } else { key.strip_prefix(section) == Some(&format!(".{name}")) };
            if known {
                return Some(meaning);
            }
        } else {
            comment.clear();
        }
    }
    None
}

fn paragraph(lines: &mut Vec<&str>) -> String {
    std::mem::take(lines).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadedSettings;

    /// Where the reference stands in the documentation.
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
        assert_eq!(meaning("grpc.tls.key").as_deref(), Some("Its key."));
        for unknown in ["", "grpc", "grpc.", "listen", "grpc.listenx", "tls.key"] {
            assert_eq!(meaning(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_documentation_says_what_the_code_does() {
        let document = std::fs::read_to_string(DOCUMENT).expect("docs/operations.md");
        let section = document.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1]));
        let (section, _) = section.expect("both marks");
        assert_eq!(section.trim(), reference().trim(), "docs/operations.md is old: run scripts/settings-reference");
    }
}
