//! The search for canaries.

use std::collections::BTreeMap;
use std::path::Path;

use aho_corasick::AhoCorasick;

use super::spelling::spellings;
use super::value::{Canary, Kind};

/// Number of bytes around a finding that a report shows.
const CONTEXT_BYTES_BEFORE: usize = 100;
const CONTEXT_BYTES_AFTER: usize = 60;

/// A search for canaries in one place after the other.
///
/// All values except short numbers are long enough not to occur by chance, so a finding proves that they were written. Codes of 8
/// or 10 digits do occur by chance, within longer runs of digits or hexadecimal digits: in ids, and in files that hold one value
/// directly after another. There a single finding counts as chance, and two different ones in one search do not.
pub struct Scan {
    canaries: Vec<Canary>,
    /// The canary of each pattern, and the name of its spelling.
    patterns: Vec<(usize, &'static str)>,
    automaton: AhoCorasick,
    /// One per canary and place.
    sightings: BTreeMap<(usize, String), Sighting>,
    bytes: u64,
}

#[derive(Debug)]
struct Sighting {
    spelling: &'static str,
    allowed: bool,
    /// Whether it is a short number within a longer run.
    doubtful: bool,
    excerpt: String,
}

impl Scan {
    pub(super) fn new(canaries: Vec<Canary>) -> Self {
        let (mut texts, mut patterns) = (Vec::new(), Vec::new());
        for (index, canary) in canaries.iter().enumerate() {
            for (text, name) in spellings(&canary.value) {
                texts.push(text);
                patterns.push((index, name));
            }
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(texts).expect("not too many");
        Self { canaries, patterns, automaton, sightings: BTreeMap::new(), bytes: 0 }
    }

    /// Searches a place that may contain neither secrets nor personal values.
    pub fn nothing_in(&mut self, place: &str, bytes: &[u8]) {
        self.search(place, bytes, false);
    }

    /// Searches a place that may contain personal values but no secrets.
    pub fn no_secret_in(&mut self, place: &str, bytes: &[u8]) {
        self.search(place, bytes, true);
    }

    /// Searches all files of a directory and below for secrets, except files with these names.
    ///
    /// # Panics
    /// The directory cannot be read.
    pub fn no_secret_below(&mut self, folder: &Path, except: &[&str]) {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.no_secret_below(&path, except);
            } else if !except.iter().any(|name| path.ends_with(name)) {
                match std::fs::read(&path) {
                    Ok(bytes) => self.no_secret_in(&path.display().to_string(), &bytes),
                    // A running server may have removed the file.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
    }

    /// Returns whether a canary with this name was found in a place whose name contains `place`. Proves that a search reads the
    /// right files.
    pub fn saw(&self, what: &str, place: &str) -> bool {
        self.sightings.keys().any(|(index, seen)| self.canaries[*index].what == what && seen.contains(place))
    }

    /// Returns the findings that are not allowed, one line each.
    pub fn leaks(&self) -> Vec<String> {
        let forbidden: Vec<_> = self.sightings.iter().filter(|(_, sighting)| !sighting.allowed).collect();
        let mut doubtful: Vec<_> = forbidden.iter().filter(|(_, s)| s.doubtful).map(|((index, _), _)| index).collect();
        doubtful.dedup();
        let chance = doubtful.len() < 2;
        let leaks = forbidden.iter().filter(|(_, sighting)| !(sighting.doubtful && chance));
        leaks
            .map(|((index, place), sighting)| {
                let Sighting { spelling, excerpt, .. } = sighting;
                format!("{} ({spelling}) in {place}: {excerpt}", self.canaries[*index].what)
            })
            .collect()
    }

    /// Returns the number of bytes that were searched.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn search(&mut self, place: &str, bytes: &[u8], personal: bool) {
        self.bytes += bytes.len() as u64;
        for found in self.automaton.find_overlapping_iter(bytes) {
            let (index, spelling) = self.patterns[found.pattern().as_usize()];
            let canary = &self.canaries[index];
            let within = || {
                let around = [found.start().checked_sub(1), Some(found.end())];
                around.into_iter().flatten().filter_map(|at| bytes.get(at)).any(u8::is_ascii_hexdigit)
            };
            let sighting = Sighting {
                spelling,
                allowed: personal && canary.kind == Kind::Personal,
                doubtful: spelling == "clear" && canary.is_short_number() && within(),
                excerpt: excerpt(bytes, found.start(), found.end()),
            };
            let key = (index, place.to_owned());
            // A certain finding, or one that is not allowed, replaces a doubtful one.
            let known = self.sightings.get(&key);
            if known.is_none_or(|known| known.doubtful && !sighting.doubtful) {
                self.sightings.insert(key, sighting);
            }
        }
    }
}

fn excerpt(bytes: &[u8], start: usize, end: usize) -> String {
    let around = &bytes[start.saturating_sub(CONTEXT_BYTES_BEFORE)..(end + CONTEXT_BYTES_AFTER).min(bytes.len())];
    String::from_utf8_lossy(around).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;
    use crate::canary::Canaries;

    /// Searches one secret and one personal value in this text, and returns the findings.
    fn leaks_of(text: impl Fn(&str, &str) -> String) -> Vec<String> {
        let canaries = Canaries::default();
        let (secret, personal) = (canaries.secret("secret"), canaries.personal("personal"));
        let mut scan = canaries.scan();
        scan.nothing_in("log", text(&secret, &personal).as_bytes());
        scan.leaks()
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_spelling_is_found() {
        let plants: [&dyn Fn(&str) -> String; 10] = [
            &|secret| format!("pass_code={secret} ms=1"),
            &|secret| secret.to_uppercase(),
            &|secret| format!("key was {}…", &secret[..20]),
            &|secret| format!("…{}", &secret[12..]),
            &|secret| hex(&format!("xx{secret}xx")),
            &|secret| hex(secret).to_uppercase(),
            &|secret| STANDARD.encode(format!("{{\"a\":\"{secret}\"}}")),
            &|secret| STANDARD.encode(format!("user:{secret}")),
            &|secret| URL_SAFE_NO_PAD.encode(format!("?{secret}?")),
            &|secret| format!("{:?}", secret.as_bytes()),
        ];
        for plant in plants {
            let leaks = leaks_of(|secret, _| plant(secret));
            assert_eq!(leaks.len(), 1, "{leaks:?}");
            assert!(leaks[0].starts_with("secret (") && leaks[0].contains("in log"), "{leaks:?}");
        }
    }

    #[test]
    fn values_that_were_not_planted_are_not_found() {
        assert_eq!(leaks_of(|_, _| "pass_code=hunter2".to_owned()).len(), 0);
        assert_eq!(leaks_of(|secret, personal| format!("{} {}", &secret[..15], &personal[17..])).len(), 0);
        assert_eq!(leaks_of(|secret, _| secret.chars().rev().collect()).len(), 0);
    }

    #[test]
    fn personal_values_may_be_in_some_places_and_secrets_in_none() {
        let canaries = Canaries::default();
        let text = format!("{} {}", canaries.secret("secret"), canaries.personal("personal"));
        let mut scan = canaries.scan();
        scan.no_secret_in("database", text.as_bytes());
        assert_eq!(scan.leaks().len(), 1);
        assert!(scan.leaks()[0].starts_with("secret"));
        assert!(scan.saw("personal", "base") && !scan.saw("personal", "log"));
        scan.nothing_in("log", text.as_bytes());
        assert_eq!(scan.leaks().len(), 3);
        assert_eq!(scan.bytes(), 2 * text.len() as u64);
    }

    #[test]
    fn raw_keys_are_found_in_clear_and_in_other_spellings() {
        let canaries = Canaries::default();
        let key: Vec<u8> = (0..32).map(|byte: u8| byte.wrapping_mul(37) ^ 0xA5).collect();
        canaries.add(Kind::Secret, "key", &key);
        let file = [b"\0\x01prefix", key.as_slice(), b"suffix"].concat();
        for bytes in [file.clone(), STANDARD.encode(&file).into_bytes(), format!("{key:?}").into_bytes()] {
            let mut scan = canaries.scan();
            scan.no_secret_in("file", &bytes);
            assert_eq!(scan.leaks().len(), 1);
        }
    }

    #[test]
    fn one_code_within_a_longer_number_is_chance_and_two_are_not() {
        let canaries = Canaries::default();
        let codes = [(); 2].map(|()| canaries.number(Kind::Secret, "code", 8));
        let leaks = |texts: &[String]| {
            let mut scan = canaries.scan();
            texts.iter().for_each(|text| scan.no_secret_in("file", text.as_bytes()));
            scan.leaks().len()
        };
        let [one, two] = &codes;
        assert_eq!(leaks(&[format!("id 0{one}")]), 0);
        assert_eq!(leaks(&[format!("{one}4F"), format!("4F{one}")]), 0);
        assert_eq!(leaks(&[format!("0{one}"), format!("{two}F")]), 2);
        for alone in
            [format!("code={one}"), format!("0{one} {one}"), format!("\u{13}{one}\0"), hex(one), STANDARD.encode(one)]
        {
            assert_eq!(leaks(&[alone]), 1);
        }
    }

    #[test]
    fn files_are_searched_wherever_they_lie() {
        let canaries = Canaries::default();
        let (secret, folder) = (canaries.secret("secret"), tempfile::tempdir().expect("a folder"));
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).expect("a folder");
        for name in ["wal", "keys"] {
            std::fs::write(below.join(name), &secret).expect("written");
        }
        let mut scan = canaries.scan();
        scan.no_secret_below(folder.path(), &["keys"]);
        let leaks = scan.leaks();
        assert!(leaks.len() == 1 && leaks[0].contains("/a/b/wal"), "{leaks:?}");
    }

    #[test]
    #[should_panic(expected = "nowhere")]
    fn a_folder_that_is_not_there_is_not_clean() {
        Canaries::default().scan().no_secret_below(Path::new("/nowhere"), &[]);
    }
}
