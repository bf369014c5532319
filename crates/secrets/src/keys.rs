//! The key ring: root keys with ids, and the keys that are derived from them.
//!
//! As text, a ring has one key per line: its id, blanks, and 32 random bytes in base64. Empty lines and lines that
//! begin with `#` are ignored. Several keys may stand on one line with commas between them, for environment files that
//! cannot contain line breaks.
//!
//! ```text
//! # The first key writes, all of them read. `access-tokens keys rotate` puts a new one on top.
//! 9f31c0aa rlWNqTq3T0m...=
//! ```

use access_tokens_domain::Result;
use access_tokens_domain::ports::{Clock, Random};
use access_tokens_domain::time::Timestamp;
use access_tokens_host::system::SystemClock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ring_text::{self, Notes};

/// The keyed hash of this crate.
pub type HmacSha256 = Hmac<Sha256>;

/// Size of a root key and of every derived key, in bytes.
const KEY_BYTES: usize = 32;
/// Maximum length of a key id, in bytes: the PHC form of a pass code hash has room for no more.
const MAX_ID: usize = 8;
/// Separates the keys of this service from keys that other programs derive from the same bytes.
const SALT: &[u8] = b"access-tokens/1";

/// An error of a key ring. No message contains any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The ring contains no key.
    #[error("the key ring holds no key; a line is an id, a blank and 32 random bytes in base64")]
    Empty,
    /// A line is not a key.
    #[error("line {line} of the key ring {problem}")]
    Malformed {
        /// Counted from one.
        line: usize,
        /// Description of the problem.
        problem: &'static str,
    },
    /// The file does not exist, and is not made automatically. The right action depends on the content of the database,
    /// so the caller describes it to the user.
    #[error("the key file {path} does not exist")]
    Missing {
        /// The path.
        path: String,
    },
    /// Others than the service can read the file.
    #[error("the key file {path} has mode {mode:04o}: others can read it; `chmod 600 {path}`")]
    Permissions {
        /// The path.
        path: String,
        /// The permission bits that were found.
        mode: u32,
    },
    /// No key of this id.
    #[error("the key ring has no key {id}; `access-tokens keys list` shows those that it has")]
    Unknown {
        /// The id.
        id: String,
    },
    /// The key cannot be removed, because it is the current key.
    #[error("new codes are made with key {id}: `access-tokens keys rotate` first, then move what still needs it")]
    Writes {
        /// The id.
        id: String,
    },
    /// The file cannot be read or written.
    #[error("the key file {path} cannot be {action}: {source}")]
    Io {
        /// The path.
        path: String,
        /// `read`, `locked` or `written`.
        action: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(access_tokens_domain::Error),
}

/// Root keys, the current one first. Its `Debug` shows the ids only.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<RootKey>,
    notes: Notes,
    accepts_missing: bool,
}

#[derive(Clone)]
struct RootKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl KeyRing {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<RootKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let malformed = |problem| KeyRingError::Malformed { line: index + 1, problem };
            for entry in ring_text::entries(line) {
                let key = parse_key(entry).map_err(malformed)?;
                if keys.iter().any(|other| other.id == key.id) {
                    return Err(malformed("repeats the id of an earlier key"));
                }
                keys.push(key);
            }
        }
        if keys.is_empty() {
            Err(KeyRingError::Empty)
        } else {
            Ok(Self { keys, notes: Notes::of(text), accepts_missing: false })
        }
    }

    /// Makes a ring of one new key, in the text form.
    pub fn generate(random: &dyn Random) -> Result<Zeroizing<String>> {
        let (id, key) = Self::new_key(random)?;
        let text = Zeroizing::new(format!(
            "# Keys of access-tokens: an id and 32 random bytes in base64. The first key writes, all of them read.\n\
             # Without this file no stored password or code can be checked: keep a copy, apart from the database's.\n\
             {}\n",
            key.as_str()
        ));
        let now = SystemClock.now();
        Ok(ring_text::note_made(&ring_text::note_writes(&text, &id, now), &id, now))
    }

    /// Makes a new key. Returns its id and its text form.
    pub(super) fn new_key(random: &dyn Random) -> Result<(String, Zeroizing<String>)> {
        let (mut id, mut bytes) = ([0; MAX_ID / 2], Zeroizing::new([0; KEY_BYTES]));
        random.fill(&mut id)?;
        random.fill(bytes.as_mut_slice())?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        let text = Zeroizing::new(format!("{id} {}", key.as_str()));
        Ok((id, text))
    }

    /// Returns the ids, the current key's first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Returns the ids of keys that are permanently lost: an operator has accepted that nothing under them can be used
    /// again.
    pub fn lost(&self) -> impl Iterator<Item = &str> {
        self.notes.lost.iter().map(String::as_str)
    }

    /// Returns the same ring, for a process that serves although the database needs other keys.
    pub fn accepting_missing(self) -> Self {
        Self { accepts_missing: true, ..self }
    }

    /// Returns whether keys that the database needs may be missing.
    pub fn accepts_missing(&self) -> bool {
        self.accepts_missing
    }

    /// Returns the time since which the current key writes. None: the text of the ring does not say.
    pub fn writes_since(&self) -> Option<Timestamp> {
        self.notes.writes_since(self.ids().next()?)
    }

    /// Returns the time at which the current key was made, or since which it writes if only that is noted. None: the
    /// text of the ring says neither.
    pub fn made(&self) -> Option<Timestamp> {
        self.notes.made(self.ids().next()?).or_else(|| self.writes_since())
    }

    /// Returns whether this key was made and has never been the current one.
    pub fn is_prepared(&self, id: &str) -> bool {
        self.notes.is_prepared(id)
    }

    /// Returns whether both rings have the same keys in the same order, and the same lost ones.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&RootKey, &RootKey)| a.id == b.id && bool::from(a.bytes.ct_eq(b.bytes.as_slice()));
        self.notes.lost == other.notes.lost
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(same)
    }

    /// Derives a key for `label` from every root key, and passes it to `make`. Labels never change.
    pub(crate) fn derive<T>(&self, label: &str, make: impl Fn(&[u8; KEY_BYTES]) -> T) -> PerKey<T> {
        let derive = |root: &RootKey| {
            let mut derived = Zeroizing::new([0; KEY_BYTES]);
            Hkdf::<Sha256>::new(Some(SALT), root.bytes.as_slice())
                .expand(label.as_bytes(), derived.as_mut_slice())
                .expect("HKDF-SHA256 gives up to 8,160 bytes");
            (root.id.clone(), make(&derived))
        };
        PerKey(self.keys.iter().map(derive).collect())
    }

    /// Returns keyed hashes for `label`, ready to take a message.
    pub fn derive_hmac(&self, label: &str) -> PerKey<HmacSha256> {
        self.derive(label, |key| HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length"))
    }
}

fn parse_key(line: &str) -> Result<RootKey, &'static str> {
    let (id, key) = line.split_once(char::is_whitespace).ok_or("is not an id, a blank and a key")?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.len() > MAX_ID || !id.chars().all(good) {
        return Err("has an id that is not 1 to 8 letters, digits, dashes or underscores");
    }
    let decoded = STANDARD.decode(key.trim()).map(Zeroizing::new).map_err(|_| "has a key that is not base64")?;
    let bytes = decoded.as_slice().try_into().map_err(|_| "has a key that is not 32 bytes")?;
    Ok(RootKey { id: id.to_owned(), bytes: Zeroizing::new(bytes) })
}

/// One value for each root key, the current key's first.
pub struct PerKey<T>(Vec<(String, T)>);

impl<T> PerKey<T> {
    /// Maps the values. `make` gets the id of the key and its value.
    pub fn map<U>(self, make: impl Fn(&str, T) -> U) -> PerKey<U> {
        PerKey(self.0.into_iter().map(|(id, value)| (id.clone(), make(&id, value))).collect())
    }

    /// Returns all values, the current key's first.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the id of the current key, and its value.
    pub fn current(&self) -> (&str, &T) {
        let (id, value) = self.0.first().expect("a key ring is never empty");
        (id, value)
    }

    /// Returns the value of a key id.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.0.iter().find(|(other, _)| other == id).map(|(_, value)| value)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hmac::Mac;

    use super::*;
    use access_tokens_host::SystemRandom;

    pub(crate) const RING_A: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    pub(crate) const RING_B: &str = "b Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

    pub(crate) fn ring(lines: &[&str]) -> KeyRing {
        KeyRing::parse(&lines.join("\n")).expect("a good ring")
    }

    fn tag(ring: &KeyRing, label: &str, id: &str) -> Vec<u8> {
        let keys = ring.derive_hmac(label);
        let mac = keys.get(id).expect("known id").clone();
        mac.chain_update(b"x").finalize().into_bytes().to_vec()
    }

    #[test]
    fn comments_blanks_and_commas() {
        let text = format!("# why, and how\n\n  {RING_A}  \r\n{RING_B},c {}\n", &RING_A[2..]);
        let ring = KeyRing::parse(&text).expect("three keys");
        assert_eq!(ring.ids().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(ring.derive("x", |_| ()).current().0, "a");
    }

    #[test]
    fn keys_differ_by_label_and_root_and_not_by_order() {
        let (ab, ba) = (ring(&[RING_A, RING_B]), ring(&[RING_B, RING_A]));
        assert_eq!(tag(&ab, "one", "a"), tag(&ba, "one", "a"));
        assert_ne!(tag(&ab, "one", "a"), tag(&ab, "two", "a"));
        assert_ne!(tag(&ab, "one", "a"), tag(&ab, "one", "b"));
    }

    #[test]
    fn generated_rings_are_good_and_different() {
        let texts = [(); 2].map(|()| KeyRing::generate(&SystemRandom).expect("random bytes"));
        assert_ne!(texts[0], texts[1]);
        let ring = KeyRing::parse(&texts[0]).expect("a good ring");
        assert_eq!(ring.ids().count(), 1);
        let age = SystemClock.now() - ring.made().expect("a note");
        assert!(age.num_seconds().abs() < 60, "{age}");
        assert_eq!((ring.made(), KeyRing::parse(RING_A).expect("a ring").made()), (ring.writes_since(), None));
    }

    #[test]
    fn bad_rings_are_refused_without_showing_the_key() {
        let key = &RING_A[2..];
        let cases = [
            (String::new(), "holds no key"),
            ("# only a comment\n".to_owned(), "holds no key"),
            (format!("\n{key}"), "line 2 of the key ring is not an id"),
            (format!("toolongid {key}"), "1 to 8"),
            (format!("a$b {key}"), "1 to 8"),
            (format!("a {key} {key}"), "not base64"),
            ("a AAECAwQFBgcICQoLDA0ODw==".to_owned(), "not 32 bytes"),
            (format!("a {}", &key[1..]), "not base64"),
            (format!("{RING_A}\na {}", &RING_B[2..]), "line 2 of the key ring repeats"),
        ];
        for (text, expected) in cases {
            let error = KeyRing::parse(&text).expect_err("refused");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{text:?}: {shown}");
            assert!(!shown.contains(&key[4..12]), "{shown}");
        }
    }

    #[test]
    fn debug_shows_ids_only() {
        assert_eq!(format!("{:?}", ring(&[RING_A, RING_B])), r#"["a", "b"]"#);
    }
}
