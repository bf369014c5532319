//! `import`: files into the directory.

mod source;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use access_tokens_domain::import::{self, Answers, MAX_RECORD_BYTES, Outcome, Record};
use access_tokens_domain::service::import::{self as service, RecordResult};
use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Reason};
use access_tokens_storage::Database;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::source::{Piece, Source};
use super::context::{Context, command_line, explained};
use crate::config::Settings;

/// A batch is written in one transaction when it has so many records, or so many bytes.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 * 1_024 * 1_024;
/// Exit code when a file has no record at all, as a saved answer of an expired session.
const NO_RECORD: u8 = 2;

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

    /// What becomes of access tokens that are stored already.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Existing::KeepNewer)]
    existing: Existing,

    /// Take saved answers that lack the authentication code or the state of an access token. A new access token without a state is
    /// NOT_EFFECTIVE then.
    #[arg(long)]
    allow_incomplete: bool,

    /// Files to import, in this order; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What becomes of access tokens that are stored already.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Existing {
    /// One that was changed after the `updated_date` of its record stays as it is, as it does when the record has no such date.
    KeepNewer,
    /// The record is written, whatever was changed since.
    Overwrite,
}

impl From<Existing> for import::Existing {
    fn from(existing: Existing) -> Self {
        match existing {
            Existing::KeepNewer => Self::KeepNewer,
            Existing::Overwrite => Self::Overwrite,
        }
    }
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<ExitCode> {
    // A file that is not there is noticed before anything is written.
    let files: Vec<_> = arguments.files.iter().map(|path| open(path)).collect::<anyhow::Result<_>>()?;
    let context = Context::open(&settings).await?;
    let (name, existing) = (&arguments.organisation, arguments.existing.into());
    let (organisation, import) = match (arguments.create_organisation, arguments.check) {
        (true, true) => context.imagined_organisation(name, existing).await?,
        (true, false) => (context.create_organisation(name).await?.0, service::Run::new(existing)),
        (false, true) => {
            let organisation = context.organisation(name).await?;
            let check = service::Run::long_check(context.database.as_ref(), existing, None).await;
            (organisation, check.map_err(explained)?)
        }
        (false, false) => (context.organisation(name).await?, service::Run::new(existing)),
    };
    let progress = progress(files.iter().map(|(_, _, size)| *size).sum());
    let mut run = Run {
        context: &context,
        caller: command_line(&organisation),
        import,
        answers: if arguments.allow_incomplete { Answers::Incomplete } else { Answers::Complete },
        records_of_file: 0,
        batch: Vec::new(),
        batch_bytes: 0,
        imported: 0,
        waiting: HashMap::new(),
        counts: Counts::default(),
        progress: &progress,
    };
    let mut empty = Vec::new();
    for (name, reader, _) in files {
        run.records_of_file = 0;
        let mut source = Source::new(reader);
        let mut told = 0;
        while let Some(piece) = source.next().with_context(|| name.clone())? {
            run.take(&name, piece).await?;
            progress.inc(source.bytes() - told);
            told = source.bytes();
        }
        if run.records_of_file == 0 {
            empty.push(name);
        }
    }
    run.finish().await?;
    let counts = run.counts;
    progress.finish_and_clear();
    if counts.created + counts.updated > 0 && !arguments.check {
        // The import is in; PostgreSQL would come to it by itself in a minute or so.
        if let Err(error) = context.database.analyze().await {
            tracing::warn!(%error, "the planner of the database was not told of what was imported");
        }
    }
    println!("{}", counts.summary(arguments.check));
    for name in &empty {
        eprintln!("{name}: there is no record in this file");
    }
    Ok(match (empty.is_empty(), counts.failed) {
        (false, _) => ExitCode::from(NO_RECORD),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
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
    kept: u64,
    failed: u64,
}

impl Counts {
    fn summary(self, check: bool) -> String {
        let Self { created, updated, unchanged, kept, failed } = self;
        let checked = if check { "checked, nothing written: " } else { "" };
        let kept = if kept > 0 { format!("{kept} kept, ") } else { String::new() };
        format!("{checked}{created} created, {updated} updated, {unchanged} unchanged, {kept}{failed} failed")
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
    import: service::Run<Database>,
    answers: Answers,
    /// Records of the file at hand, good or bad. Answers about something else have none.
    records_of_file: usize,
    /// In the order of the files: records to write, and what is known to be bad.
    batch: Vec<(Place, Result<Record, Error>)>,
    batch_bytes: usize,
    /// Records that were given to the import.
    imported: usize,
    /// The places of those without a result, by their positions: they wait for a code of another record.
    waiting: HashMap<usize, Place>,
    counts: Counts,
    progress: &'a ProgressBar,
}

impl Run<'_> {
    async fn take(&mut self, file: &str, piece: Piece) -> anyhow::Result<()> {
        let place = |number| Place { file: file.to_owned(), line: piece.line, number };
        let text = piece.text.map_err(|what| Error::new(Reason::InvalidFieldValue, what));
        let (bytes, parsed) = match text.and_then(|text| Ok((text.len(), import::parse_with(&text, self.answers)?))) {
            Ok(parsed) => parsed,
            Err(error) => {
                let answer = |field: &str| ["status.code", "data"].contains(&field);
                let no_record = error.violations().first().is_some_and(|violation| answer(&violation.field));
                self.records_of_file += usize::from(!no_record);
                return self.push(place(None), 0, Err(error)).await;
            }
        };
        self.records_of_file += parsed.len();
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
        let stopped =
            format!("{}:{}: stopped; what came before is in, importing again is safe", first.file, first.line);
        let mut results = HashMap::new();
        if !records.is_empty() {
            let imported = self.context.importer.batch(&self.caller, &mut self.import, records).await;
            results.extend(imported.map_err(explained).context(stopped)?);
        }
        for (place, bad) in places {
            if let Some(error) = bad {
                self.fail(&place, &error);
                continue;
            }
            let position = self.imported;
            self.imported += 1;
            match results.remove(&position) {
                Some(result) => self.count(&place, result),
                None => _ = self.waiting.insert(position, place),
            }
        }
        let Counts { created, updated, unchanged, kept, failed } = self.counts;
        self.progress.set_message(format!("{} records, {failed} bad", created + updated + unchanged + kept + failed));
        Ok(())
    }

    /// Writes the rest, and what waits for codes of other records.
    async fn finish(&mut self) -> anyhow::Result<()> {
        self.flush().await?;
        let mut results = self.context.importer.finish(&self.caller, &mut self.import).await.map_err(explained)?;
        results.sort_by_key(|(position, _)| *position);
        for (position, result) in results {
            let place = self.waiting.remove(&position).context("the import answered too much")?;
            self.count(&place, result);
        }
        anyhow::ensure!(self.waiting.is_empty(), "the import answered too little");
        Ok(())
    }

    fn count(&mut self, place: &Place, result: RecordResult) {
        match result.result {
            Ok((Outcome::Created, _)) => self.counts.created += 1,
            Ok((Outcome::Updated, _)) => self.counts.updated += 1,
            Ok((Outcome::Unchanged, _)) => self.counts.unchanged += 1,
            Ok((Outcome::Kept, _)) => self.counts.kept += 1,
            Err(error) => self.fail(place, &error),
        }
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
        let records = import::parse(r#"{"access_token": {"id": "1234567890"}}"#).expect("a record");
        assert_eq!(size(&records[0]).expect("measured"), r#"{"id":"1234567890"}"#.len());
    }
}
