//! The file of refused records, which can be corrected and imported.
//!
//! For CSV, it has the original rows below the same header, and a last column with the reason. For JSON, it has the original texts, one on
//! each line. Each follows a line `{"reason": ...}`, which an import skips.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::csv::{Head, REASON_COLUMN};
use super::items::Original;
use crate::command::files::detect_delimiter;
use crate::command::new_file;

/// The file of refused records.
pub(super) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    form: Option<Form>,
    count: u64,
}

#[derive(PartialEq)]
enum Form {
    Json,
    Csv(Head),
}

impl Rejects {
    /// Creates the file. A file with content is not overwritten, because it may have been corrected.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = new_file::create(path, "--rejects")?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), form: None, count: 0 })
    }

    /// Sets the form of the next file. All files must have the same form, so that one mapping can read the refused rows.
    pub(super) fn accept(&mut self, head: Option<&Head>) -> anyhow::Result<()> {
        let form = head.map_or(Form::Json, |head| Form::Csv(head.clone()));
        match &self.form {
            Some(earlier) if *earlier != form => {
                bail!("has another form or header than the file before it: with --rejects, import it by itself")
            }
            _ => self.form = Some(form),
        }
        Ok(())
    }

    /// Writes a refused record, or only the reason if the record has no text.
    pub(super) fn write(&mut self, raw: Option<&Original>, reason: &str) -> io::Result<()> {
        match (&self.form, raw) {
            (Some(Form::Csv(head)), raw) => {
                if self.count == 0 {
                    self.file.write_all(beginning(head).as_bytes())?;
                }
                let cells: &[String] = if let Some(Original::Row(cells)) = raw { cells } else { &[] };
                let missing = head.columns.len().saturating_sub(cells.len());
                let cells = cells.iter().map(String::as_str).chain(std::iter::repeat_n("", missing)).chain([reason]);
                self.file.write_all(row(cells, head.delimiter).as_bytes())?;
            }
            (_, raw) => {
                writeln!(self.file, "{}", json!({ "reason": reason }))?;
                if let Some(Original::Json(text)) = raw {
                    writeln!(self.file, "{}", one_line(text))?;
                }
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Flushes the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Closes the file, and removes it if it is empty. Returns its number of records and its name.
    pub(super) fn finish(self) -> anyhow::Result<Option<(u64, String)>> {
        let name = self.path.display().to_string();
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error).with_context(|| name.clone())?;
        if !file.metadata().with_context(|| name.clone())?.is_file() {
            return Ok((self.count > 0).then_some((self.count, name)));
        }
        file.sync_all().with_context(|| name.clone())?;
        if self.count == 0 {
            fs::remove_file(&self.path).with_context(|| name.clone())?;
            return Ok(None);
        }
        Ok(Some((self.count, name)))
    }
}

/// Returns the beginning of the file: the byte order mark of UTF-8, so that an encoding in the mapping is not applied; the delimiter, if
/// the header does not show it; the lines before the header; the header.
fn beginning(head: &Head) -> String {
    let names = head.columns.iter().map(String::as_str).chain([REASON_COLUMN]);
    let header = if head.has_header { row(names, head.delimiter) } else { String::new() };
    let is_shown = head.has_header && detect_delimiter(header.as_bytes()) == head.delimiter;
    let stated = if is_shown { String::new() } else { format!("sep={}\r\n", char::from(head.delimiter)) };
    let skipped: String = head.skipped.iter().map(|line| format!("{line}\r\n")).collect();
    format!("\u{feff}{stated}{skipped}{header}")
}

fn row<'c>(cells: impl Iterator<Item = &'c str>, delimiter: u8) -> String {
    let is_plain = |c: char| c != '"' && c != '\n' && c != '\r' && c != char::from(delimiter);
    let quoted = |cell: &str| {
        if cell.chars().all(is_plain) { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.map(quoted).collect::<Vec<_>>().join(&char::from(delimiter).to_string()) + "\r\n"
}

/// Returns a JSON text on one line.
fn one_line(text: &str) -> String {
    if !text.contains('\n') {
        return text.to_owned();
    }
    serde_json::from_str::<Value>(text).map_or_else(|_| text.replace('\n', " "), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::command::new_file::MODE;

    fn head(delimiter: u8, columns: &[&str]) -> Head {
        Head {
            delimiter,
            skipped: Vec::new(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            has_header: true,
        }
    }

    #[test]
    fn the_file_is_private_new_and_gone_when_it_is_empty() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("rejects.csv");
        let rejects = Rejects::create(&path).expect("created");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, MODE);
        assert_eq!(rejects.finish().expect("closed"), None);
        assert!(!path.exists());
        // An empty file may remain from an interrupted import, with another mode.
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let mut rejects = Rejects::create(&path).expect("taken");
        rejects.accept(Some(&head(b';', &["a"]))).expect("the first");
        rejects.write(Some(&Original::Row(vec!["1;\"2\"\n".to_owned()])), "a.csv:2: no").expect("written");
        rejects.write(None, "a.csv:4: too large").expect("written");
        rejects.accept(Some(&head(b';', &["a"]))).expect("the same header");
        rejects.accept(Some(&head(b',', &["a"]))).expect_err("another delimiter");
        rejects.accept(None).expect_err("another form");
        assert_eq!(rejects.finish().expect("closed").map(|(count, _)| count), Some(2));
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, MODE);
        let text = fs::read_to_string(&path).expect("a file");
        assert_eq!(text, "\u{feff}a;reason\r\n\"1;\"\"2\"\"\n\";a.csv:2: no\r\n;a.csv:4: too large\r\n");
        assert!(Rejects::create(&path).is_err(), "what was mended is not overwritten");
    }

    #[test]
    fn a_delimiter_that_the_header_does_not_show_is_stated() {
        assert!(
            beginning(&head(b';', &["a,b,c"])).starts_with("\u{feff}a,b,c;reason\r\n")
                || beginning(&head(b';', &["a,b,c"])).contains("sep=;")
        );
        assert_eq!(beginning(&head(b'#', &["a"])), "\u{feff}sep=#\r\na#reason\r\n");
        assert_eq!(beginning(&head(b',', &["a"])), "\u{feff}a,reason\r\n");
        let bare = Head { has_header: false, ..head(b',', &["1"]) };
        assert_eq!(beginning(&bare), "\u{feff}sep=,\r\n");
    }
}
