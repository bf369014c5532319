//! Which form a file has, and its records.

use std::io::BufRead;

use super::format::{Format, Row, at};
use super::{json, table};

/// What a file has next.
#[derive(Debug)]
pub(super) enum Found {
    /// A record.
    Row(Row),
    /// Something that cannot be read.
    Broken { line: usize },
}

/// Takes what was found.
pub(super) type Each<'a> = dyn FnMut(Found) -> anyhow::Result<()> + 'a;

/// What a hash belongs to: the member of the records that are written, and where an export has its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) field: String,
    /// Where the export has it, when it was said.
    pub(super) member: Option<String>,
}

/// Members of an export that are read, by their names or the first parts of their paths. All others are skipped.
pub(super) struct Wanted {
    format: Format,
    join: Join,
}

impl Wanted {
    pub(super) fn new(format: Format, join: Join) -> Self {
        Self { format, join }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let join = self.join.member.as_deref().into_iter().chain([self.join.field.as_str()]);
        let format = self.format;
        let of_format = [format.hash_members(), format.join_members(), format.other_members()];
        join.chain(of_format.into_iter().flatten().copied())
    }

    /// Whether a member is read.
    pub(super) fn contains(&self, member: &str) -> bool {
        let is_first = |name: &str| name.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(member));
        self.names().any(|name| name.eq_ignore_ascii_case(member) || is_first(name))
    }

    /// Whether a column has hashes.
    pub(super) fn is_hash(&self, column: &str) -> bool {
        self.format.hash_members().iter().any(|name| name.eq_ignore_ascii_case(column))
    }

    /// What the hash of a row belongs to.
    pub(super) fn value(&self, row: &Row) -> Option<String> {
        let text = |path: &str| match at(row, path)? {
            serde_json::Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        match &self.join.member {
            Some(member) => text(member),
            None => [self.join.field.as_str(), table::VALUE]
                .into_iter()
                .chain(self.format.join_members().iter().copied())
                .find_map(text),
        }
    }
}

/// Reads the records of a file.
pub(super) fn read(
    reader: &mut dyn BufRead,
    format: Format,
    wanted: &Wanted,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    let start = reader.fill_buf()?;
    let bom = if start.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    let blank = start[bom..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    reader.consume(bom + blank);
    let start = reader.fill_buf()?;
    let is_json = start.first().is_some_and(|first| [b'{', b'['].contains(first));
    let is_ldif = format == Format::Ldap && is_ldif(start);
    if is_json {
        json::read(reader, wanted, each)
    } else if is_ldif {
        table::read_ldif(reader, wanted, each)
    } else {
        table::read(reader, wanted, each)
    }
}

fn is_ldif(start: &[u8]) -> bool {
    ["dn:", "version:", "#"].iter().any(|prefix| start.starts_with(prefix.as_bytes()))
}
