//! Writes the records, and counts the results.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use access_tokens_domain::ports::HashCost;
use access_tokens_secrets::{HashRejection, assess_foreign};
use anyhow::Context as _;
use serde_json::json;

use super::arguments::{Arguments, Kind};
use super::conversion::{Candidate, UNKNOWN};
use super::selection::Join;
use crate::command::new_file;

/// Maximum number of messages about unreadable entries.
const MAX_MESSAGES: u64 = 20;

/// Numbers of records by result.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    same: u64,
    converted: u64,
    weak: u64,
    without_hash: u64,
    without_value: u64,
    /// Number of records with several hashes, of which one was written.
    several: u64,
    comments: u64,
    broken: u64,
    over_limit: BTreeMap<String, u64>,
    unsupported: BTreeMap<String, u64>,
}

/// The output of the command.
pub(super) struct Output {
    kind: Kind,
    join: Join,
    /// Maximum memory of a hash, in KiB.
    limit: u64,
    records: BufWriter<Box<dyn Write>>,
    unsupported: Option<BufWriter<File>>,
    /// Whether the list of omitted hashes has its header.
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

    /// Writes a record, or counts the reason why it is omitted. If there are several hashes, the strongest one that an import accepts is
    /// written.
    pub(super) fn take(&mut self, value: Option<String>, candidates: Vec<Candidate>) -> anyhow::Result<()> {
        let several = candidates.len() > 1;
        let Some(best) = strongest(candidates, self.limit) else {
            self.counts.without_hash += 1;
            return value.map_or(Ok(()), |value| self.list(Some(&value), "no hash"));
        };
        let Accepted { hash, cost, is_same } = match best {
            Ok(accepted) => accepted,
            Err(Rejected { why, is_over_limit }) => {
                let counts = if is_over_limit { &mut self.counts.over_limit } else { &mut self.counts.unsupported };
                *counts.entry(why.clone()).or_default() += 1;
                return self.list(value.as_deref(), &why);
            }
        };
        let Some(value) = value else {
            self.counts.without_value += 1;
            return Ok(());
        };
        match is_same {
            true => self.counts.same += 1,
            false => self.counts.converted += 1,
        }
        self.counts.several += u64::from(several);
        self.counts.weak += u64::from(cost == HashCost::Weak);
        let record = json!({ self.kind.name(): { &self.join.field: value, self.kind.hash_member(): hash } });
        serde_json::to_writer(&mut self.records, &record)?;
        Ok(self.records.write_all(b"\n")?)
    }

    /// Counts a comment line.
    pub(super) fn count_comment(&mut self) {
        self.counts.comments += 1;
    }

    /// Counts an unreadable entry, and prints its line and the reason.
    pub(super) fn count_broken(&mut self, file: &str, line: usize, why: &str) {
        self.counts.broken += 1;
        if self.counts.broken <= MAX_MESSAGES {
            eprintln!("{file}:{line}: {why}");
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

    /// Flushes the files, and returns the counts.
    pub(super) fn finish(mut self) -> anyhow::Result<Counts> {
        self.records.flush().context("the records cannot be written")?;
        if let Some(file) = &mut self.unsupported {
            file.flush().context("the list of what was left out cannot be written")?;
        }
        Ok(self.counts)
    }
}

/// A hash that an import accepts.
pub(super) struct Accepted {
    pub(super) hash: String,
    cost: HashCost,
    /// Whether the export has the hash in this form already.
    is_same: bool,
}

impl Accepted {
    /// Returns the strength against guessing: whether it has the cost that is required today, and the rank of its scheme.
    fn strength(&self) -> (bool, u8) {
        let schemes = ["$pbkdf2", "$2", "$scrypt", "$argon2"];
        let scheme = (1..).zip(schemes).find(|(_, prefix)| self.hash.starts_with(prefix)).map_or(0, |(rank, _)| rank);
        (self.cost == HashCost::Sufficient, scheme + 1)
    }
}

/// A hash that an import refuses.
pub(super) struct Rejected {
    pub(super) why: String,
    is_over_limit: bool,
}

/// Returns the strongest accepted hash of a record, or else the first refused one. `limit` is the maximum memory in KiB.
pub(super) fn strongest(candidates: Vec<Candidate>, limit: u64) -> Option<Result<Accepted, Rejected>> {
    let judged = candidates.into_iter().map(|candidate| examine(candidate, limit));
    // If several are equally strong, `max_by_key` returns the last one of the reversed iterator, which is the first one of the record.
    judged.rev().max_by_key(|judged| judged.as_ref().map_or((false, 0), Accepted::strength))
}

/// Returns whether an import accepts a hash. `limit` is the maximum memory in KiB.
fn examine(candidate: Candidate, limit: u64) -> Result<Accepted, Rejected> {
    let unsupported = |why: &str| Rejected { why: why.to_owned(), is_over_limit: false };
    let hash = candidate.conversion.map_err(unsupported)?;
    match assess_foreign(&hash, limit) {
        Ok(cost) => Ok(Accepted { hash, cost, is_same: candidate.is_same }),
        Err(HashRejection::NotPhc | HashRejection::Scheme(None)) => Err(unsupported(UNKNOWN)),
        Err(HashRejection::Scheme(Some(name))) => Err(unsupported(name)),
        Err(refusal) => Err(Rejected { why: refusal.to_string(), is_over_limit: refusal.is_over_limit() }),
    }
}

impl Counts {
    /// Returns the number of records in the file.
    pub(super) fn records(&self) -> u64 {
        self.written() + self.without_hash + self.left_out()
    }

    /// Returns the number of written records.
    pub(super) fn written(&self) -> u64 {
        self.same + self.converted
    }

    /// Returns the number of records whose hash was omitted.
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
            (self.comments, "comments"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.several > 0 {
            write!(f, "\nrecords with several hashes, of which the strongest was taken: {}", self.several)?;
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
