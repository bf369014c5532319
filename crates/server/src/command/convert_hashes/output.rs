//! The records that are written, and the counts at the end.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use access_tokens_domain::ports::HashCost;
use anyhow::Context as _;
use serde_json::json;

use super::conversion::{Conversion, UNKNOWN};
use super::input::Join;
use super::{Arguments, Kind};
use crate::command::new_file;
use crate::crypto::{Refusal, examine_foreign};

/// Maximum number of lines about what cannot be read.
const MAX_COMPLAINTS: u64 = 20;

/// What came of the records of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    same: u64,
    converted: u64,
    weak: u64,
    without_hash: u64,
    without_value: u64,
    broken: u64,
    over_limit: BTreeMap<String, u64>,
    unsupported: BTreeMap<String, u64>,
}

/// The records that are written.
pub(super) struct Output {
    kind: Kind,
    join: Join,
    /// Maximum memory of a hash, in KiB.
    limit: u64,
    records: BufWriter<Box<dyn Write>>,
    unsupported: Option<BufWriter<File>>,
    /// Whether the list of what was left out has its header.
    has_header: bool,
    counts: Counts,
}

impl Output {
    pub(super) fn create(arguments: &Arguments, join: Join, limit: u64) -> anyhow::Result<Self> {
        let create = |path: Option<&Path>, option: &str| path.map(|path| new_file::create(path, option)).transpose();
        let output = create(arguments.output.as_deref(), "--output")?;
        let unsupported = create(arguments.unsupported.as_deref(), "--unsupported")?;
        if let (Some(output), Some(unsupported)) = (&output, &unsupported) {
            anyhow::ensure!(!new_file::is_same(output, unsupported)?, "--output and --unsupported name the same file");
        }
        let records: Box<dyn Write> = match output {
            Some(file) => Box::new(file),
            None => Box::new(io::stdout()),
        };
        Ok(Self {
            kind: arguments.kind,
            join,
            limit,
            records: BufWriter::new(records),
            unsupported: unsupported.map(BufWriter::new),
            has_header: false,
            counts: Counts::default(),
        })
    }

    /// Writes a record, or counts why it is left out. `original` is the text that the hash had.
    pub(super) fn take(
        &mut self,
        value: Option<String>,
        conversion: Conversion,
        original: Option<&str>,
    ) -> anyhow::Result<()> {
        let hash = match conversion {
            Conversion::Hash(hash) => hash,
            Conversion::Unsupported(scheme) => {
                *self.counts.unsupported.entry(scheme.to_owned()).or_default() += 1;
                return self.list(value.as_deref(), scheme);
            }
        };
        let cost = match examine_foreign(&hash, self.limit) {
            Ok(cost) => cost,
            Err(refusal) => {
                let (why, counts) = match refusal {
                    Refusal::NotPhc | Refusal::Scheme(None) => (UNKNOWN.to_owned(), &mut self.counts.unsupported),
                    Refusal::Scheme(Some(name)) => (name.to_owned(), &mut self.counts.unsupported),
                    over if over.is_over_limit() => (over.to_string(), &mut self.counts.over_limit),
                    other => (other.to_string(), &mut self.counts.unsupported),
                };
                *counts.entry(why.clone()).or_default() += 1;
                return self.list(value.as_deref(), &why);
            }
        };
        let Some(value) = value else {
            self.counts.without_value += 1;
            return Ok(());
        };
        match original == Some(hash.as_str()) {
            true => self.counts.same += 1,
            false => self.counts.converted += 1,
        }
        self.counts.weak += u64::from(cost == HashCost::Weak);
        let record = json!({ self.kind.name(): { &self.join.field: value, self.kind.hash_member(): hash } });
        serde_json::to_writer(&mut self.records, &record)?;
        Ok(self.records.write_all(b"\n")?)
    }

    /// Counts a record that has no hash: its owner cannot log in with one.
    pub(super) fn count_without_hash(&mut self) {
        self.counts.without_hash += 1;
    }

    /// Counts something that cannot be read, and says where it is.
    pub(super) fn count_broken(&mut self, file: &str, line: usize) {
        self.counts.broken += 1;
        if self.counts.broken <= MAX_COMPLAINTS {
            eprintln!("{file}:{line}: cannot be read as a record");
        }
    }

    fn list(&mut self, value: Option<&str>, why: &str) -> anyhow::Result<()> {
        let Some(file) = &mut self.unsupported else { return Ok(()) };
        if !self.has_header {
            writeln!(file, "{},reason", self.join.field)?;
            self.has_header = true;
        }
        let cell = |text: &str| match text.contains(['"', ',', '\n', '\r', ';']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        Ok(writeln!(file, "{},{}", cell(value.unwrap_or_default()), cell(why))?)
    }

    /// Ends the files, and returns the counts.
    pub(super) fn finish(mut self) -> anyhow::Result<Counts> {
        self.records.flush().context("the records cannot be written")?;
        if let Some(file) = &mut self.unsupported {
            file.flush().context("the list of what was left out cannot be written")?;
        }
        Ok(self.counts)
    }
}

impl Counts {
    /// Records that were found.
    pub(super) fn records(&self) -> u64 {
        self.written() + self.without_hash + self.left_out()
    }

    /// Records that were written.
    pub(super) fn written(&self) -> u64 {
        self.same + self.converted
    }

    /// Records with a hash that was not written.
    pub(super) fn left_out(&self) -> u64 {
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        sum(&self.over_limit) + sum(&self.unsupported) + self.without_value + self.broken
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, u64>| {
            let sum: u64 = counts.values().sum();
            let named: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            if named.is_empty() { "0".to_owned() } else { format!("{sum} ({})", named.join(", ")) }
        };
        write!(f, "{} as they were, {} converted, ", self.same, self.converted)?;
        write!(f, "{} above the limit of memory or time, ", list(&self.over_limit))?;
        write!(f, "{} not supported", list(&self.unsupported))?;
        for (count, what) in [
            (self.without_hash, "without a hash"),
            (self.without_value, "without what they belong to (--join FIELD=MEMBER names it)"),
            (self.broken, "not readable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.weak > 0 {
            write!(
                f,
                "\nweak hashes among those that were written, each replaced at the first use of its secret: {}",
                self.weak
            )?;
        }
        Ok(())
    }
}
