//! `import`: imports files into the directory.

mod array;
mod codes;
mod csv;
mod inspect;
mod items;
mod observations;
mod rejects;
mod report;
mod run;
mod source;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use access_tokens_domain::import::{self, Answers, Options};
use access_tokens_domain::service::import as service;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use self::csv::Mapping;
use self::items::Items;
use self::rejects::Rejects;
use self::run::FileImport;
use self::source::Source;
use super::context::{Context, operator};
use super::errors::to_anyhow;
use super::files;
use super::progress::style;
use crate::config::Settings;
use crate::databases;

/// Maximum size of a mapping file in bytes.
const MAX_MAPPING_BYTES: u64 = 1_024 * 1_024;
/// Exit code when a file has no record at all, such as a saved answer of an expired session.
const NO_RECORD: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the organisation to import into.
    #[arg(long, value_name = "NAME", default_value = "DEMO")]
    organisation: String,

    /// Create the organisation if it does not exist. Without this option, an unknown name is an error.
    #[arg(long)]
    create_organisation: bool,

    /// Only report what an import would do; write nothing.
    #[arg(long)]
    check: bool,

    /// Treatment of access tokens that exist already.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Existing::KeepNewer)]
    existing: Existing,

    /// Only change existing objects: create neither the object of a record nor objects that it refers to. A record replaces the members
    /// that it names, whatever was changed here since.
    #[arg(long, conflicts_with = "existing")]
    update_only: bool,

    /// Treatment of accounts receivable and rewards participants that a record refers to and that do not exist.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Unknown::Create)]
    owners: Unknown,

    /// Treatment of classifications that a record refers to and that do not exist.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Unknown::Create)]
    classifications: Unknown,

    /// Accept saved answers that lack the authentication code or the state of an access token. A new access token without a state becomes
    /// NOT_EFFECTIVE.
    #[arg(long)]
    allow_incomplete: bool,

    /// Map a column of CSV files to a field, such as authentication_code=Code. Overrides --mapping. Without both options, the columns must
    /// have the names of fields.
    #[arg(long = "map", value_name = "FIELD=COLUMN")]
    pairs: Vec<String>,

    /// File that states how CSV files are read and which columns are which fields (docs/import.md).
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// Only show how CSV files would be read, with a mapping file to start from. Needs no database.
    #[arg(long, conflicts_with_all = ["check", "create_organisation", "rejects"])]
    inspect: bool,

    /// New file for refused records with their reasons, to be corrected and imported. Only its owner may read it.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// Refuse access tokens whose code or identifier may be the number of a payment card.
    #[arg(long)]
    refuse_card_numbers: bool,

    /// Files to import, in this order; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Treatment of access tokens that exist already.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Existing {
    /// A token that was changed after the `updated_date` of its record is kept, also if the record has no such date.
    KeepNewer,
    /// The record is written, whatever was changed since.
    Overwrite,
}

/// Treatment of an object that a record refers to and that does not exist.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unknown {
    /// It is created, and counted in the summary.
    Create,
    /// The record is refused.
    Existing,
}

impl Arguments {
    fn options(&self) -> Options {
        let existing = match self.existing {
            _ if self.update_only => import::Existing::UpdateOnly,
            Existing::KeepNewer => import::Existing::KeepNewer,
            Existing::Overwrite => import::Existing::Overwrite,
        };
        let unknown = |unknown| match unknown {
            Unknown::Create => import::Unknown::Create,
            Unknown::Existing => import::Unknown::Refuse,
        };
        Options { existing, owners: unknown(self.owners), classifications: unknown(self.classifications) }
    }

    /// Returns the mapping. An error about it lists the columns of the first file.
    fn mapping(&self) -> anyhow::Result<Mapping> {
        let file = self.mapping.as_ref().map(|path| {
            let name = || path.display().to_string();
            let mut text = String::new();
            let file = File::open(path).with_context(name)?;
            file.take(MAX_MAPPING_BYTES + 1).read_to_string(&mut text).with_context(name)?;
            anyhow::ensure!(text.len() as u64 <= MAX_MAPPING_BYTES, "{}: is larger than 1 MiB", name());
            Ok(text)
        });
        let file = file.transpose()?;
        Mapping::read(file.as_deref(), &self.pairs).map_err(|what| {
            let name = self.mapping.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
            let what = format!("{name}{what}");
            let first = self.files.iter().find(|path| path.is_file());
            match first.and_then(|path| files::open(path, &ProgressBar::hidden(), None).ok()) {
                Some(text) if !text.is_json("") => csv::explain_columns(&what, text),
                _ => anyhow::anyhow!("{what}"),
            }
        })
    }
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mapping = arguments.mapping()?;
    if arguments.inspect {
        return inspect::run(&arguments.files, &mapping);
    }
    let answers = if arguments.allow_incomplete { Answers::Incomplete } else { Answers::Complete };
    let mut rejects = arguments.rejects.as_deref().map(Rejects::create).transpose()?;
    let total = check_files(&arguments.files, &mapping, answers, rejects.as_mut())?;
    let context = Context::open(&settings).await?;
    let (name, options) = (&arguments.organisation, arguments.options());
    let (organisation, import) = match (arguments.create_organisation, arguments.check) {
        (true, true) => context.organisation_for_check(name, options).await?,
        (true, false) => (context.create_organisation(name).await?.0, service::Run::new(options)),
        (false, true) => {
            let organisation = context.organisation(name).await?;
            let check = service::Run::long_check(context.database.as_ref(), options, None);
            (organisation, check.map_err(to_anyhow)?)
        }
        (false, false) => (context.organisation(name).await?, service::Run::new(options)),
    };
    let progress = progress(total);
    let caller = operator(&organisation);
    let mut run = FileImport::new(&context, caller, import, &progress, rejects, arguments.refuse_card_numbers);
    let (mut empty, mut stopped) = (Vec::new(), None);
    for path in &arguments.files {
        let (name, _) = files::name_and_size(path)?;
        let name: Arc<str> = name.into();
        let (found, read) = run_file(&mut run, path, &name, &mapping, answers, &progress).await?;
        if let Err(error) = read {
            // The records before the error are imported and counted, as in a file that ends there.
            stopped = Some(error.context(format!("{name}: {}", run::stopped(arguments.check))));
            break;
        }
        if found.records == 0 {
            empty.push((name, found.refused));
        }
    }
    let report = run.finish().await?;
    databases::clear_report();
    progress.finish_and_clear();
    if report.has_changes() && !arguments.check {
        // PostgreSQL would analyse the tables by itself about a minute later.
        if let Err(error) = context.database.analyze().await {
            tracing::warn!(%error, "the statistics of the database were not updated after the import");
        }
    }
    println!("{}", report.count_line(arguments.check));
    eprint!("{}", report.details());
    // If texts of the file were refused, their reasons were already printed.
    for (name, _) in empty.iter().filter(|(_, refused)| *refused == 0) {
        eprintln!("{name}: there is no record in this file");
    }
    if let Some(error) = stopped {
        return Err(error);
    }
    Ok(match (empty.is_empty(), report.counts.failed) {
        (false, _) => ExitCode::from(NO_RECORD),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
}

/// Reads the heads of all files, so that an unsuitable file is found before anything is written. Returns the size of all files in bytes.
fn check_files(
    files: &[PathBuf],
    mapping: &Mapping,
    answers: Answers,
    mut rejects: Option<&mut Rejects>,
) -> anyhow::Result<u64> {
    let mut total = 0;
    for path in files {
        let (name, size) = files::name_and_size(path)?;
        total += size;
        // A file that is not regular, such as a pipe, can be read only once.
        if size == 0 {
            continue;
        }
        let mut open = || -> anyhow::Result<()> {
            let text = files::open(path, &ProgressBar::hidden(), mapping.options.encoding)?;
            let items = Items::open(&name, text, mapping, answers)?;
            rejects.as_mut().map_or(Ok(()), |rejects| rejects.accept(items.head()))
        };
        open().with_context(|| name.clone())?;
    }
    Ok(total)
}

/// Counts of one file.
#[derive(Default)]
struct Found {
    /// Number of records, accepted or refused. Answers about other objects do not count.
    records: usize,
    /// Number of refused texts that are not records.
    refused: usize,
}

/// Imports the records of a file. Returns its counts, and whether it was read to its end.
async fn run_file(
    run: &mut FileImport<'_>,
    path: &Path,
    name: &Arc<str>,
    mapping: &Mapping,
    answers: Answers,
    progress: &ProgressBar,
) -> anyhow::Result<(Found, anyhow::Result<()>)> {
    let open = || {
        let text = files::open(path, progress, mapping.options.encoding)?;
        Items::open(name, text, mapping, answers)
    };
    let mut items = match open() {
        Ok(items) => items,
        Err(error) => return Ok((Found::default(), Err(error))),
    };
    items.keeps_original = run.begin(name, &items).with_context(|| name.to_string())?;
    let mut found = Found::default();
    loop {
        anyhow::ensure!(databases::interruption().is_none(), "interrupted");
        match items.next() {
            Ok(Some(item)) => {
                found.records += usize::from(item.is_record);
                found.refused += usize::from(!item.is_record);
                run.add(name, item).await?;
            }
            Ok(None) => return Ok((found, Ok(()))),
            Err(error) => return Ok((found, Err(error))),
        }
    }
}

/// Returns the pieces of a file, each with its line, for the fuzz targets.
pub fn pieces(file: &[u8]) -> io::Result<Vec<(usize, Result<String, String>)>> {
    let mut source = Source::new(file, 0);
    std::iter::from_fn(|| source.next().transpose()).map(|piece| piece.map(|piece| (piece.line, piece.text))).collect()
}

/// Returns a progress bar, which is drawn on a terminal only. Without `bytes`, the length is unknown, because standard input is among the
/// files.
fn progress(bytes: u64) -> ProgressBar {
    let (bar, template) = match bytes {
        0 => (ProgressBar::no_length(), "{spinner} {bytes} read, {msg}"),
        _ => (ProgressBar::new(bytes), "{bar:40} {percent:>3}% {bytes}/{total_bytes}, {msg}, {eta} left"),
    };
    bar.with_style(style(template))
}
