//! The members of an export that are read, and what they say.

use super::conversion::Candidate;
use super::format::Format;
use super::row::{Row, at, is_nothing};

/// The column of the value, and that of the hash, of lines without a header.
pub(super) const VALUE: &str = "value of the line";
pub(super) const HASH: &str = "hash of the line";

/// What a hash belongs to: the member of the records that are written, and where an export has its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) field: String,
    /// Where the export has it, when it was said.
    pub(super) member: Option<String>,
}

/// Members of an export that are read, by their names or the first parts of their paths. All others are skipped.
pub(super) struct Selection {
    format: Format,
    join: Join,
    /// The member or column of the hash, when it was said.
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

    /// Where the hash may be, the first of these that is there.
    fn hash_members(&self) -> impl Iterator<Item = &str> {
        let known = self.format.hash_members().iter().copied().filter(|_| self.hash.is_none());
        self.hash.as_deref().into_iter().chain(known)
    }

    /// Whether a member is read.
    pub(super) fn contains(&self, member: &str) -> bool {
        let is_first = |name: &str| name.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(member));
        self.names().any(|name| name.eq_ignore_ascii_case(member) || is_first(name))
    }

    /// Whether a member or column has hashes.
    pub(super) fn is_hash(&self, name: &str) -> bool {
        self.hash_members().any(|member| member.eq_ignore_ascii_case(name))
    }

    /// What the hash of a row belongs to.
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

    /// The hashes of a row, converted. Of several members that may have them, the first that has any counts.
    pub(super) fn hashes(&self, row: &Row) -> Vec<Candidate> {
        self.format.hashes(row, [HASH].into_iter().chain(self.hash_members()))
    }
}
