//! Finds authentication codes and identifiers that occur twice in an import, so that the second record is refused.
//!
//! Each value is stored as a keyed fingerprint of 128 bits with the place of its first record: 24 bytes. A false match among 10^9 values
//! has a probability below 10^-20, so a match is not compared with the value. Up to [`MAX_IN_MEMORY`] fingerprints are in memory. When there
//! are more, they are sorted and written to a temporary file without a name, and a Bloom filter of each such part stays in memory, 1.25
//! bytes for each value (ADR 38).

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use access_tokens_domain::import::{self, Kind, Record};
use access_tokens_domain::{Error, Reason};
use serde_json::Value;

/// Maximum number of fingerprints in memory, which take 13 MiB.
const MAX_IN_MEMORY: usize = 450_000;
/// Bytes of a fingerprint and its place in the file.
const ENTRY_BYTES: usize = 24;
/// Bits of a Bloom filter for each fingerprint, and the number of bits that each sets: 1.2 % of the lookups of other values find all set.
const BITS_PER_ENTRY: usize = 10;
const BITS_SET: u64 = 4;

/// The members whose values may occur once, and the reason of the error for a second one.
const MEMBERS: [(&str, Reason); 2] =
    [("authentication_code", Reason::AuthenticationCodeAlreadyExists), ("identifier", Reason::IdentifierAlreadyExists)];

/// The records of access tokens that may not repeat a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Records with neither id nor number.
    Unnumbered,
    /// All records. For the rows of a table.
    All,
}

type Fingerprint = (u64, u64);

/// The values of one file or of one call, with the places of their first records.
pub(crate) struct DuplicateChecker {
    scope: Scope,
    keys: [RandomState; 2],
    max_in_memory: usize,
    recent: HashMap<Fingerprint, u64>,
    file: Option<File>,
    parts: Vec<Part>,
}

/// Sorted fingerprints in the file.
struct Part {
    /// Position of the first one in the file, in entries.
    start: u64,
    count: u64,
    filter: Vec<u64>,
}

impl DuplicateChecker {
    /// Returns a checker that knows no values.
    pub(crate) fn new(scope: Scope) -> Self {
        Self::with_max_in_memory(scope, MAX_IN_MEMORY)
    }

    fn with_max_in_memory(scope: Scope, max_in_memory: usize) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        Self { scope, keys, max_in_memory, recent: HashMap::new(), file: None, parts: Vec::new() }
    }

    /// Stores the values of a record, and refuses the record if one of them occurred before. `in_words` names the place of the first
    /// record. The outer error is one of the temporary file.
    pub(crate) fn check(
        &mut self,
        record: &Record,
        place: u64,
        in_words: impl Fn(u64) -> String,
    ) -> io::Result<Result<(), Error>> {
        let counts = self.scope == Scope::All || import::is_unnumbered(&record.object);
        if record.kind != Kind::AccessToken || !counts {
            return Ok(Ok(()));
        }
        let mut refused = Ok(());
        for (name, reason) in MEMBERS {
            let Some(value) = record.object.get(name).and_then(Value::as_str) else { continue };
            if let (Some(first), Ok(())) = (self.note(name, value, place)?, &refused) {
                let text = format!("is that of {} already", in_words(first));
                refused = Err(Error::field(reason, format!("{}.{name}", record.kind.name()), text));
            }
        }
        Ok(refused)
    }

    /// Returns the first place of a value, or stores this place if the value is new.
    fn note(&mut self, name: &str, value: &str, place: u64) -> io::Result<Option<u64>> {
        let [first, second] = &self.keys;
        let fingerprint = (first.hash_one((name, value)), second.hash_one((name, value)));
        if let Some(place) = self.recent.get(&fingerprint) {
            return Ok(Some(*place));
        }
        if let Some(place) = self.find_in_file(fingerprint)? {
            return Ok(Some(place));
        }
        if self.recent.len() >= self.max_in_memory {
            self.write_part()?;
        }
        self.recent.insert(fingerprint, place);
        Ok(None)
    }

    fn find_in_file(&mut self, fingerprint: Fingerprint) -> io::Result<Option<u64>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        for part in self.parts.iter().filter(|part| part.may_have(fingerprint)) {
            let (mut low, mut high) = (part.start, part.start + part.count);
            while low < high {
                let middle = low + (high - low) / 2;
                let (found, place) = read_entry(file, middle)?;
                match found.cmp(&fingerprint) {
                    std::cmp::Ordering::Equal => return Ok(Some(place)),
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Greater => high = middle,
                }
            }
        }
        Ok(None)
    }

    /// Moves the fingerprints in memory to the file.
    fn write_part(&mut self) -> io::Result<()> {
        let mut entries: Vec<_> = self.recent.drain().collect();
        entries.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::End(0))?;
        let mut writer = BufWriter::new(&*file);
        let mut part = Part::empty(self.parts.last().map_or(0, |last| last.start + last.count), entries.len());
        for ((first, second), place) in entries {
            part.add((first, second));
            for number in [first, second, place] {
                writer.write_all(&number.to_le_bytes())?;
            }
        }
        writer.flush()?;
        drop(writer);
        self.parts.push(part);
        Ok(())
    }
}

impl Part {
    fn empty(start: u64, count: usize) -> Self {
        let words = (count * BITS_PER_ENTRY).div_ceil(64).max(1);
        Self { start, count: count as u64, filter: vec![0; words] }
    }

    /// Returns the bits of a fingerprint, as word and bit in the word.
    fn bits(&self, (first, second): Fingerprint) -> impl Iterator<Item = (usize, u64)> + use<> {
        let size = self.filter.len() as u64 * 64;
        (0..BITS_SET).map(move |n| {
            let bit = first.wrapping_add(second.wrapping_mul(n)) % size;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn add(&mut self, fingerprint: Fingerprint) {
        for (word, bit) in self.bits(fingerprint) {
            self.filter[word] |= bit;
        }
    }

    fn may_have(&self, fingerprint: Fingerprint) -> bool {
        self.bits(fingerprint).all(|(word, bit)| self.filter[word] & bit != 0)
    }
}

fn read_entry(file: &mut File, index: u64) -> io::Result<(Fingerprint, u64)> {
    let mut entry = [0; ENTRY_BYTES];
    file.seek(SeekFrom::Start(index * ENTRY_BYTES as u64))?;
    file.read_exact(&mut entry)?;
    let mut numbers = entry.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
    let mut next = || numbers.next().unwrap_or(0);
    Ok(((next(), next()), next()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(members: Value) -> Record {
        import::from_value(json!({ "access_token": members })).expect("a record").remove(0)
    }

    fn refusal(places: &mut DuplicateChecker, members: Value, place: u64) -> Option<String> {
        let checked = places.check(&record(members), place, |place| format!("line {place}")).expect("no file");
        checked.err().map(|error| format!("{} {}", error.reason().name(), error.message()))
    }

    #[test]
    fn a_second_code_or_identifier_is_refused_and_names_the_first() {
        let mut places = DuplicateChecker::new(Scope::Unnumbered);
        assert_eq!(refusal(&mut places, json!({"authentication_code": "7", "identifier": "a"}), 1), None);
        assert_eq!(refusal(&mut places, json!({"authentication_code": "a", "identifier": "7"}), 2), None);
        let code = "AUTHENTICATION_CODE_ALREADY_EXISTS access_token.authentication_code: is that of line 1 already";
        assert_eq!(
            refusal(&mut places, json!({"authentication_code": "7", "identifier": "b"}), 3).as_deref(),
            Some(code)
        );
        let identifier = "IDENTIFIER_ALREADY_EXISTS access_token.identifier: is that of line 3 already";
        assert_eq!(refusal(&mut places, json!({"identifier": "b", "id": null}), 4).as_deref(), Some(identifier));
        for other in [
            json!({"authentication_code": "7", "number": "AT1"}),
            json!({"authentication_code": "7", "id": "T"}),
            json!({"authentication_code": "07", "identifier": null}),
            json!({"authentication_code": 7}),
        ] {
            assert_eq!(refusal(&mut places, other.clone(), 5), None, "{other}");
        }
        let user = import::from_value(json!({"user": {"identifier": "b"}})).expect("a record").remove(0);
        assert!(places.check(&user, 6, |_| String::new()).expect("no file").is_ok());
    }

    #[test]
    fn rows_of_a_table_may_not_repeat_a_code_even_with_numbers() {
        let mut places = DuplicateChecker::new(Scope::All);
        assert_eq!(refusal(&mut places, json!({"authentication_code": "7", "number": "AT1"}), 1), None);
        assert!(refusal(&mut places, json!({"authentication_code": "7", "number": "AT2"}), 2).is_some());
    }

    #[test]
    fn what_is_in_the_file_is_found_with_its_place() {
        let mut places = DuplicateChecker::with_max_in_memory(Scope::All, 100);
        for n in 0..10_050_u64 {
            assert_eq!(places.note("identifier", &n.to_string(), n).expect("a file"), None, "{n}");
        }
        assert_eq!((places.parts.len(), places.recent.len()), (100, 50));
        for n in (0..10_050).step_by(7) {
            assert_eq!(places.note("identifier", &n.to_string(), 99_999).expect("a file"), Some(n));
            assert_eq!(places.note("authentication_code", &n.to_string(), n).expect("a file"), None);
        }
    }
}
