//! `import`: files into the directory.

mod source;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use access_tokens_domain::import::{self, MAX_RECORD_BYTES, Outcome, Record};
use access_tokens_domain::service::import::Checked;
use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Reason};
use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::source::{Piece, Source};
use super::context::{Context, command_line, explained};
use crate::config::Settings;

/// A batch is written in one transaction when it has so many records, or so many bytes.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 * 1_024 * 1_024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the organisation to import into.
    #[arg(long, value_name = "NAME", default_value = "DEMO")]
    organisation: String,

    /// Create the organisation when there is none of that name. Without this, an unknown name is an error.
    #[arg(long)]
    create_organisation: bool,

    /// Only say what an import would do; write nothing.
    #[arg(long)]
    check: bool,

    /// Files to import, in this order; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<ExitCode> {
    // A file that is not there is noticed before anything is written.
    let files: Vec<_> = arguments.files.iter().map(|path| open(path)).collect::<anyhow::Result<_>>()?;
    let context = Context::open(&settings).await?;
    let name = &arguments.organisation;
    let (organisation, checked) = match (arguments.create_organisation, arguments.check) {
        (true, true) => {
            let (organisation, checked) = context.imagined_organisation(name).await?;
            (organisation, Some(checked))
        }
        (true, false) => (context.create_organisation(name).await?.0, None),
        (false, check) => (context.organisation(name).await?, check.then(Checked::default)),
    };
    let progress = progress(files.iter().map(|(_, _, size)| *size).sum());
    let mut run = Run {
        context: &context,
        caller: command_line(&organisation),
        checked,
        batch: Vec::new(),
        batch_bytes: 0,
        counts: Counts::default(),
        progress: &progress,
    };
    for (name, reader, _) in files {
        let mut source = Source::new(reader);
        let mut told = 0;
        while let Some(piece) = source.next().with_context(|| name.clone())? {
            run.take(&name, piece).await?;
            progress.inc(source.bytes() - told);
            told = source.bytes();
        }
    }
    run.flush().await?;
    let counts = run.counts;
    progress.finish_and_clear();
    if counts.created + counts.updated > 0 && !arguments.check {
        // The import is in; PostgreSQL would come to it by itself in a minute or so.
        if let Err(error) = context.database.analyze().await {
            tracing::warn!(%error, "the planner of the database was not told of what was imported");
        }
    }
    println!("{}", counts.summary(arguments.check));
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The pieces of a file, each with its line, for the fuzz targets.
pub fn pieces(file: &[u8]) -> io::Result<Vec<(usize, Result<String, String>)>> {
    let mut source = Source::new(file);
    std::iter::from_fn(|| source.next().transpose()).map(|piece| piece.map(|piece| (piece.line, piece.text))).collect()
}

fn open(path: &Path) -> anyhow::Result<(String, Box<dyn BufRead>, u64)> {
    if path == Path::new("-") {
        return Ok(("-".to_owned(), Box::new(BufReader::new(io::stdin())), 0));
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| name.clone())?;
    let size = file.metadata().with_context(|| name.clone())?.len();
    Ok((name, Box::new(BufReader::new(file)), size))
}

/// Drawn on a terminal only. The length is not known when standard input is among the files.
fn progress(bytes: u64) -> ProgressBar {
    let (bar, template) = match bytes {
        0 => (ProgressBar::no_length(), "{spinner} {bytes} read, {msg}"),
        _ => (ProgressBar::new(bytes), "{bar:40} {percent:>3}% {bytes}/{total_bytes}, {msg}, {eta} left"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
}

impl Counts {
    fn summary(self, check: bool) -> String {
        let Self { created, updated, unchanged, failed } = self;
        let checked = if check { "checked, nothing written: " } else { "" };
        format!("{checked}{created} created, {updated} updated, {unchanged} unchanged, {failed} failed")
    }
}

/// Where a record stands: its file, its line, and its number if the text has several.
struct Place {
    file: String,
    line: usize,
    number: Option<usize>,
}

struct Run<'a> {
    context: &'a Context,
    caller: Caller,
    checked: Option<Checked>,
    /// In the order of the files: records to write, and what is known to be bad.
    batch: Vec<(Place, Result<Record, Error>)>,
    batch_bytes: usize,
    counts: Counts,
    progress: &'a ProgressBar,
}

impl Run<'_> {
    async fn take(&mut self, file: &str, piece: Piece) -> anyhow::Result<()> {
        let place = |number| Place { file: file.to_owned(), line: piece.line, number };
        let text = piece.text.map_err(|what| Error::new(Reason::InvalidFieldValue, what));
        let (bytes, parsed) = match text.and_then(|text| Ok((text.len(), import::parse(&text)?))) {
            Ok(parsed) => parsed,
            Err(error) => return self.push(place(None), 0, Err(error)).await,
        };
        let several = parsed.len() > 1;
        for (index, record) in parsed.into_iter().enumerate() {
            let place = place(several.then_some(index + 1));
            // Together they may be larger than one may be.
            let bytes = if bytes > MAX_RECORD_BYTES { size(&record)? } else { bytes };
            let record = if bytes > MAX_RECORD_BYTES {
                let limit = format!("the record is larger than {} KiB", MAX_RECORD_BYTES / 1_024);
                Err(Error::new(Reason::RequestTooLarge, limit))
            } else {
                Ok(record)
            };
            self.push(place, bytes, record).await?;
        }
        Ok(())
    }

    async fn push(&mut self, place: Place, bytes: usize, record: Result<Record, Error>) -> anyhow::Result<()> {
        self.batch.push((place, record));
        self.batch_bytes += bytes;
        let full = self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES;
        if full { self.flush().await } else { Ok(()) }
    }

    /// Writes what has come together. An error here is no record's fault, such as a database that went away.
    async fn flush(&mut self) -> anyhow::Result<()> {
        self.batch_bytes = 0;
        let (mut places, mut records) = (Vec::new(), Vec::new());
        for (place, record) in std::mem::take(&mut self.batch) {
            let bad = record.map(|record| records.push(record)).err();
            places.push((place, bad));
        }
        let Some((first, _)) = places.first() else { return Ok(()) };
        let importer = &self.context.importer;
        let results = match (&mut self.checked, records.is_empty()) {
            (_, true) => Ok(Vec::new()),
            (Some(checked), _) => importer.check(&self.caller, records, checked).await,
            (None, _) => importer.import(&self.caller, records).await,
        };
        let results = results.map_err(explained).with_context(|| {
            format!("{}:{}: stopped; what came before is in, importing again is safe", first.file, first.line)
        })?;
        let mut results = results.into_iter();
        for (place, bad) in places {
            let result = match bad {
                Some(error) => Err(error),
                None => results.next().context("the import answered too little")?.result,
            };
            match result {
                Ok((Outcome::Created, _)) => self.counts.created += 1,
                Ok((Outcome::Updated, _)) => self.counts.updated += 1,
                Ok((Outcome::Unchanged, _)) => self.counts.unchanged += 1,
                Err(error) => self.fail(&place, &error),
            }
        }
        let Counts { created, updated, unchanged, failed } = self.counts;
        self.progress.set_message(format!("{} records, {failed} bad", created + updated + unchanged + failed));
        Ok(())
    }

    fn fail(&mut self, place: &Place, error: &Error) {
        self.counts.failed += 1;
        let line = complaint(place, error);
        // A closed pipe must not end the import.
        self.progress.suspend(|| drop(writeln!(io::stderr(), "{line}")));
    }
}

/// `FILE:LINE: REASON field: description`, all fields at fault on one line.
fn complaint(place: &Place, error: &Error) -> String {
    let number = place.number.map(|number| format!(" record {number}:")).unwrap_or_default();
    let reason = error.reason().name();
    // What stands for the whole record has an empty field name.
    let message = error.message().trim_start_matches(": ").replace('\n', " ");
    format!("{}:{}:{number} {reason} {message}", place.file, place.line)
}

/// The size of a record of a larger text.
fn size(record: &Record) -> anyhow::Result<usize> {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, &record.object)?;
    Ok(count.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line_with_place_reason_and_field() {
        let place = |number| Place { file: "a.ndjson".to_owned(), line: 7, number };
        let error = Error::field(Reason::FieldTooLong, "unit.name", "is longer than 1000 characters");
        let expected = "a.ndjson:7: FIELD_TOO_LONG unit.name: is longer than 1000 characters";
        assert_eq!(complaint(&place(None), &error), expected);
        let error = Error::field(Reason::InvalidFieldValue, "", "is not valid JSON (column 3)");
        let expected = "a.ndjson:7: record 2: INVALID_FIELD_VALUE is not valid JSON (column 3)";
        assert_eq!(complaint(&place(Some(2)), &error), expected);
    }

    #[test]
    fn records_of_large_texts_are_measured() {
        let records = import::parse(r#"{"data": [{"id": "1234567890"}]}"#).expect("a record");
        assert_eq!(size(&records[0]).expect("measured"), r#"{"id":"1234567890"}"#.len());
    }
}
