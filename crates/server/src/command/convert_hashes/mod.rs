//! `convert-hashes`: hashes of pass codes and passwords from exports of other systems, as records for `import --update-only`.
//!
//! Reads one record after the other and keeps none, so that its memory does not grow with the file. It needs neither a database nor
//! keys, and never writes a hash anywhere but into its output.

mod conversion;
mod format;
mod frameworks;
mod input;
mod json;
mod keycloak;
mod ldif;
mod output;
mod phc;
mod products;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use encoding_rs::Encoding;
use indicatif::ProgressBar;

use self::format::Format;
use self::input::{Found, Join, Wanted};
use self::output::Output;
use super::files;
use crate::config::Settings;

/// Exit code when no record was written.
const NO_RECORD: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the export comes from.
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Format,

    /// The member of the records that says what a hash belongs to: identifier, authentication_code, number or id of an access token;
    /// username or id of a user. After `=`, the member or column of the export that has its value, where it is not found by itself:
    /// identifier=email.
    #[arg(long, value_name = "FIELD[=MEMBER]")]
    join: Option<String>,

    /// The member or column of the export that has the hashes, where it is not found by itself.
    #[arg(long, value_name = "MEMBER")]
    hash: Option<String>,

    /// Encoding of an export that is neither UTF-8 nor has a byte order mark, such as windows-1252.
    #[arg(long, value_name = "NAME", value_parser = files::find_encoding)]
    encoding: Option<&'static Encoding>,

    /// What the records are about.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::AccessToken)]
    kind: Kind,

    /// New file for the records, which only its owner may read. Default: standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// New file for what was left out, as CSV: what the hash belongs to, and why. It has no hashes.
    #[arg(long, value_name = "FILE")]
    unsupported: Option<PathBuf>,

    /// The export, also packed by gzip; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What the records are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Access tokens: records with `pass_code_hash`.
    #[value(name = "access_token")]
    AccessToken,
    /// Users: records with `password_hash`.
    User,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::User => "user",
        }
    }

    /// Members that name an object, the default first.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::AccessToken => &["identifier", "authentication_code", "number", "id"],
            Self::User => &["username", "id"],
        }
    }

    fn hash_member(self) -> &'static str {
        match self {
            Self::AccessToken => "pass_code_hash",
            Self::User => "password_hash",
        }
    }

    /// Reads `FIELD` or `FIELD=MEMBER`.
    fn join(self, text: Option<&str>) -> anyhow::Result<Join> {
        let (field, member) = match text.unwrap_or(self.fields()[0]).split_once('=') {
            Some((field, member)) => (field, Some(member.to_owned())),
            None => (text.unwrap_or(self.fields()[0]), None),
        };
        let known = self.fields().join(", ");
        anyhow::ensure!(self.fields().contains(&field), "--join: {field} names no {}; known are {known}", self.name());
        Ok(Join { field: field.to_owned(), member })
    }
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let join = arguments.kind.join(arguments.join.as_deref())?;
    let is_keycloak = arguments.from == Format::Keycloak;
    anyhow::ensure!(
        !is_keycloak || arguments.hash.is_none(),
        "--hash: exports of Keycloak have hashes in members of one name"
    );
    let (name, _) = files::look(&arguments.file)?;
    let text =
        files::open(&arguments.file, &ProgressBar::hidden(), arguments.encoding).with_context(|| name.clone())?;
    let limit = settings.hashing.max_foreign_memory.kib();
    let mut output = Output::create(arguments, join.clone(), limit)?;
    let wanted = Wanted::new(arguments.from, join, arguments.hash.clone());
    let read = input::read(text, arguments.from, &wanted, &mut |found| match found {
        Found::Row(row) => output.take(wanted.value(&row), wanted.hashes(&row)),
        Found::Comment => {
            output.count_comment();
            Ok(())
        }
        Found::Broken { line, why } => {
            output.count_broken(&name, line, why);
            Ok(())
        }
    });
    // What was converted before an error is complete.
    let counts = output.finish()?;
    eprintln!("{counts}");
    read.with_context(|| name.clone())?;
    Ok(match (counts.written(), counts.left_out()) {
        (0, _) => {
            let why = match counts.records() {
                0 => "there is no record in this file",
                _ => "no record was written; the file may have another format than --from says",
            };
            eprintln!("{name}: {why}");
            ExitCode::from(NO_RECORD)
        }
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
