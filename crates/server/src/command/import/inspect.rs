//! `import --inspect`: shows how a CSV file would be read, with a mapping file to start from. It writes nothing and needs no database.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;

use super::super::files;
use super::super::output::print;
use super::csv::{Head, Mapping, Table, suggested_field};

/// Number of shown values of a column, and maximum length of each, in characters.
const SHOWN_VALUES: usize = 3;
const SHOWN_CHARACTERS: usize = 40;

pub(super) fn run(files: &[PathBuf], mapping: &Mapping) -> anyhow::Result<ExitCode> {
    for path in files {
        let (name, _) = files::name_and_size(path)?;
        print(&inspect(path, &name, mapping).with_context(|| name.clone())?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(path: &std::path::Path, name: &str, mapping: &Mapping) -> anyhow::Result<String> {
    let text = files::open(path, &ProgressBar::hidden(), mapping.options.encoding)?;
    if text.is_json(name) {
        bail!("is JSON or empty: --inspect is for CSV");
    }
    let (encoding, is_compressed) = (text.encoding.name(), text.is_compressed);
    let mut table = Table::open(text, &mapping.options)?.context("there is no row in this file")?;
    let mut values = vec![Vec::new(); table.head.columns.len()];
    let (mut rows, mut wrong) = (0_u64, 0_u64);
    while let Some((_, cells)) = table.next()? {
        let Some(cells) = cells else {
            wrong += 1;
            continue;
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        rows += 1;
        wrong += u64::from(cells.len() > values.len());
        for (shown, cell) in values.iter_mut().zip(&cells) {
            if shown.len() < SHOWN_VALUES && !cell.trim().is_empty() {
                shown.push(shortened(cell));
            }
        }
    }
    let head = &table.head;
    let gzip = if is_compressed { ", gzip" } else { "" };
    let wrong = if wrong > 0 {
        format!(", {wrong} of them with wrong quotes, too many cells or too large")
    } else {
        String::new()
    };
    let mut text =
        format!("{name}: {encoding}{gzip}, delimiter {:?}, {rows} rows{wrong}\n", char::from(head.delimiter));
    for (column, values) in head.columns.iter().zip(&values) {
        text.push_str(&format!(
            "  {:?}: {}\n",
            shortened(column),
            values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
        ));
    }
    let named = head.columns.iter().filter(|name| !name.trim().is_empty()).count();
    if head.has_header && named < 2 && rows > 0 {
        text.push_str("  The first line has one cell. If it is a title, set skip_lines to the number of lines before the header.\n");
    }
    text.push_str("\nA mapping file to start from (--mapping):\n\n");
    text.push_str(&proposal(head, mapping.options.encoding.map(encoding_rs::Encoding::name)));
    Ok(text)
}

/// Returns a text without control characters, shortened for display.
fn shortened(text: &str) -> String {
    let visible = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = visible.take(SHOWN_CHARACTERS).collect();
    if text.trim().chars().count() > SHOWN_CHARACTERS {
        short.push('…');
    }
    short
}

/// Returns a mapping file. Columns with the name of a field are mapped, the others are comments.
fn proposal(head: &Head, encoding: Option<&str>) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = "[csv]\n".to_owned();
    if let Some(encoding) = encoding {
        text.push_str(&format!("encoding = {}\n", quoted(encoding)));
    }
    text.push_str(&format!("delimiter = {}\n", quoted(&char::from(head.delimiter).to_string())));
    if !head.skipped.is_empty() {
        text.push_str(&format!("skip_lines = {}\n", head.skipped.len()));
    }
    if !head.has_header {
        text.push_str("header = false\n");
    }
    text.push_str("\n[access_token]\n");
    let mut used = Vec::new();
    for column in &head.columns {
        // If several columns have the name of one field, the first is proposed.
        match suggested_field(column.trim()).filter(|field| !used.contains(field)) {
            Some(field) => {
                used.push(field);
                text.push_str(&format!("{field} = {}\n", quoted(column.trim())));
            }
            None => text.push_str(&format!("# udf_string_1 = {}\n", quoted(column.trim()).replace('\n', " "))),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proposal_is_a_mapping_file() {
        let columns =
            ["Authentication Code", "number", "Punkte \"P\"", "a\nb", "authentication-code", ""].map(str::to_owned);
        let head = Head { delimiter: b'\t', skipped: Vec::new(), columns: columns.to_vec(), has_header: false };
        let text = proposal(&head, Some("windows-1252"));
        let mapping = Mapping::read(Some(&text), &[]).expect("a mapping file");
        assert!(mapping.names_fields && text.contains("authentication_code = \"Authentication Code\""), "{text}");
        assert!(
            text.contains("# udf_string_1") && text.contains("encoding") && text.contains("header = false"),
            "{text}"
        );
    }

    #[test]
    fn shown_values_are_short_and_have_no_control_characters() {
        assert_eq!(shortened(" a\u{1b}[31m\nb "), "a [31m b");
        assert_eq!(shortened(&"x".repeat(41)), format!("{}…", "x".repeat(40)));
    }
}
