//! The selection of members of an export, and their values.

use super::conversion::Candidate;
use super::format::Format;
use super::row::{Row, at, is_nothing};

/// Columns of the value and of the hash, in lines without a header.
pub(super) const VALUE: &str = "value of the line";
pub(super) const HASH: &str = "hash of the line";

/// The owner of a hash: the member of the written records that identifies it, and the member of the export with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) field: String,
    /// The member of the export, if an option names it.
    pub(super) member: Option<String>,
}

/// The selected members of an export, by name or by the first part of the path. All others are skipped.
pub(super) struct Selection {
    format: Format,
    join: Join,
    /// The member or column of the hash, if an option names it.
    hash: Option<String>,
}

impl Selection {
    pub(super) fn new(format: Format, join: Join, hash: Option<String>) -> Self {
        Self { format, join, hash }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let join = self.join.member.as_deref().into_iter().chain([self.join.field.as_str()]);
        let of_format = [self.format.join_members(), self.format.other_members()];
        join.chain(self.hash_members()).chain(of_format.into_iter().flatten().copied())
    }

    /// Returns the members that may have the hash. The first one that exists counts.
    fn hash_members(&self) -> impl Iterator<Item = &str> {
        let known = self.format.hash_members().iter().copied().filter(|_| self.hash.is_none());
        self.hash.as_deref().into_iter().chain(known)
    }

    /// Returns whether a member is selected.
    pub(super) fn contains(&self, member: &str) -> bool {
        let is_first = |name: &str| name.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(member));
        self.names().any(|name| name.eq_ignore_ascii_case(member) || is_first(name))
    }

    /// Returns whether a member or column has hashes.
    pub(super) fn is_hash(&self, name: &str) -> bool {
        self.hash_members().any(|member| member.eq_ignore_ascii_case(name))
    }

    /// Returns the value that identifies the owner of the hash of a row.
    pub(super) fn value(&self, row: &Row) -> Option<String> {
        let text = |path: &str| match at(row, path)? {
            serde_json::Value::String(text) if !is_nothing(text.trim()) => Some(text.trim().to_owned()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Array(values) => values.iter().find_map(serde_json::Value::as_str).map(str::to_owned),
            _ => None,
        };
        match &self.join.member {
            Some(member) => text(member),
            None => [self.join.field.as_str(), VALUE]
                .into_iter()
                .chain(self.format.join_members().iter().copied())
                .find_map(text),
        }
    }

    /// Returns the converted hashes of a row, from the first member that has any.
    pub(super) fn hashes(&self, row: &Row) -> Vec<Candidate> {
        self.format.hashes(row, [HASH].into_iter().chain(self.hash_members()))
    }
}
