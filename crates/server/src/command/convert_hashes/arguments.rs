//! The arguments of `convert-hashes`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use encoding_rs::Encoding;

use super::format::Format;
use super::selection::Join;
use crate::command::files;

#[derive(Debug, Args)]
pub(in crate::command) struct Arguments {
    /// System that the export comes from.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) from: Format,

    /// Member of the written records that identifies the owner of a hash: identifier, authentication_code, number or id of an access token;
    /// username or id of a user. After `=`, the member or column of the export with its value, if it is not found automatically:
    /// identifier=email.
    #[arg(long, value_name = "FIELD[=MEMBER]")]
    pub(super) join: Option<String>,

    /// Member or column of the export with the hashes, if it is not found automatically.
    #[arg(long, value_name = "MEMBER")]
    pub(super) hash: Option<String>,

    /// Encoding of an export that is neither UTF-8 nor has a byte order mark, such as windows-1252.
    #[arg(long, value_name = "NAME", value_parser = files::find_encoding)]
    pub(super) encoding: Option<&'static Encoding>,

    /// Kind of the written records.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::AccessToken)]
    pub(super) kind: Kind,

    /// New file for the records, which only its owner may read. Default: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// New file for omitted hashes, as CSV: the owner of the hash, and the reason. It has no hashes.
    #[arg(long, value_name = "FILE")]
    pub(super) unsupported: Option<PathBuf>,

    /// The export, also compressed with gzip; - is standard input.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// The kind of the written records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Access tokens: records with `pass_code_hash`.
    #[value(name = "access_token")]
    AccessToken,
    /// Users: records with `password_hash`.
    User,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::User => "user",
        }
    }

    /// Returns the members that identify an object, the default first.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::AccessToken => &["identifier", "authentication_code", "number", "id"],
            Self::User => &["username", "id"],
        }
    }

    pub(super) fn hash_member(self) -> &'static str {
        match self {
            Self::AccessToken => "pass_code_hash",
            Self::User => "password_hash",
        }
    }

    /// Reads `FIELD` or `FIELD=MEMBER`.
    pub(super) fn join(self, text: Option<&str>) -> anyhow::Result<Join> {
        let text = text.unwrap_or(self.fields()[0]);
        let (field, member) = text.split_once('=').map_or((text, None), |(field, member)| (field, Some(member)));
        let known = self.fields().join(", ");
        anyhow::ensure!(self.fields().contains(&field), "--join: {field} names no {}; known are {known}", self.name());
        Ok(Join { field: field.to_owned(), member: member.map(str::to_owned) })
    }
}
