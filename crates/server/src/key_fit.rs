//! Whether a key ring is the one that a database was written with.

use std::fmt;
use std::sync::Arc;

use access_tokens_domain::access_token::VerificationCode;
use access_tokens_domain::ports::{Clock, Purpose, Secrets};
use access_tokens_domain::store::{KeyStore, KeyUse, Position, StoreResult};
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_secrets::{KeyRing, KeyedSecrets};
use access_tokens_storage::Database;

/// Number of verification codes that are read at a time.
const BATCH_SIZE: u32 = 500;

/// Number of tokens at each end of the table that a start reads.
const SAMPLE_SIZE: u32 = 5_000;
/// Maximum number of verification codes that a start opens at each end: a wrong key shows at the first.
const MAX_OPENED_CODES: u32 = 100;

/// Whether a ring opens what a database holds. A key is known by its id. That it is the same key shows in verification codes:
/// of everything that is stored, only they can be opened without the secret itself.
#[derive(Debug)]
pub(crate) struct KeyRingFit {
    /// What needs keys that are not in the ring, in words.
    missing: Option<String>,
    /// What needs keys that are not in the ring and are accepted as lost, in words.
    lost: Option<String>,
    missing_ids: Vec<String>,
    opened: u64,
    unreadable: u64,
}

impl KeyRingFit {
    /// Compares the ring with `uses`, and opens verification codes whose key is there: all of them, or at most `most`.
    pub(crate) async fn of(
        database: &Database,
        ring: &KeyRing,
        uses: &[KeyUse],
        most: Option<u64>,
    ) -> StoreResult<Self> {
        let mut fit = Self::by_id(ring, uses);
        let secrets = KeyedSecrets::new(ring, Arc::new(SystemRandom));
        let (mut after, mut read) = (None, 0);
        while most.is_none_or(|most| read < most) {
            // No key has an empty id, so these are all codes.
            let codes = database.verification_codes("", after.as_ref(), BATCH_SIZE).await?;
            let Some((last, _)) = codes.last() else { break };
            after = Some(last.clone());
            read += codes.len() as u64;
            fit.open(ring, &secrets, &codes);
        }
        Ok(fit)
    }

    /// The same for a start, which must not read whole tables of tokens: all users and API keys, and the oldest and newest
    /// tokens. `None`: the schema is not current, so nothing can be read yet.
    pub(crate) async fn sampled(database: &Database, ring: &KeyRing) -> StoreResult<Option<Self>> {
        let schema = database.schema().await?;
        if !schema.pending.is_empty() {
            return Ok(None);
        }
        let (uses, codes) = database.sampled_key_use(SystemClock.now(), SAMPLE_SIZE, MAX_OPENED_CODES).await?;
        let mut fit = Self::by_id(ring, &uses);
        fit.open(ring, &KeyedSecrets::new(ring, Arc::new(SystemRandom)), &codes);
        Ok(Some(fit))
    }

    /// Opens codes. Those whose key is not in the ring were counted by their key.
    fn open(&mut self, ring: &KeyRing, secrets: &KeyedSecrets, codes: &[(Position, VerificationCode)]) {
        for (position, code) in codes {
            let id = code.sealed.as_stored().split('$').next();
            if !ring.ids().any(|known| Some(known) == id) {
                continue;
            }
            match secrets.open(Purpose::Verification, &position.1, &code.sealed) {
                Ok(_) => self.opened += 1,
                Err(_) => self.unreadable += 1,
            }
        }
    }

    fn by_id(ring: &KeyRing, uses: &[KeyUse]) -> Self {
        let (known, accepted): (Vec<_>, Vec<_>) = (ring.ids().collect(), ring.lost().collect());
        let needed = uses.iter().filter_map(|one| Some((one, one.key.as_deref()?)));
        let absent = needed.filter(|(_, key)| !known.contains(key));
        let (lost, missing): (Vec<_>, Vec<_>) = absent.partition(|(_, key)| accepted.contains(key));
        let mut missing_ids: Vec<_> = missing.iter().map(|(_, key)| (*key).to_owned()).collect();
        missing_ids.sort_unstable();
        missing_ids.dedup();
        Self { missing: describe(&missing), lost: describe(&lost), missing_ids, opened: 0, unreadable: 0 }
    }

    /// Is everything that was tried opened, and no key missing but those that are accepted as lost?
    pub(crate) fn is_good(&self) -> bool {
        self.missing.is_none() && self.unreadable == 0
    }

    /// Is it the ring of another database, or an older copy of the right one? A few codes that cannot be opened among others
    /// that can are damaged, which is another trouble.
    pub(crate) fn is_foreign(&self) -> bool {
        self.missing.is_some() || (self.unreadable > 0 && self.opened == 0)
    }

    /// The ids of the keys that are missing.
    pub(crate) fn missing_ids(&self) -> &[String] {
        &self.missing_ids
    }

    /// What needs keys that are accepted as lost, in words. `None`: nothing does.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

impl fmt::Display for KeyRingFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.missing, self.opened, self.unreadable) {
            (Some(missing), ..) => write!(f, "keys are missing: {missing} cannot be checked without them"),
            (None, _, 1..) => write!(
                f,
                "{} verification codes of {} cannot be opened: a key of the ring is not the one of its id, or they are \
                 damaged",
                self.unreadable,
                self.unreadable + self.opened
            ),
            (None, 0, 0) => f.write_str("every key that the database names is there; nothing stored can prove them"),
            (None, opened, 0) => {
                write!(f, "every key that the database names is there, and {opened} verification codes were opened")
            }
        }
    }
}

/// What a database holds that keys protect, with the ids of the keys. `None`: nothing.
pub(crate) fn describe_by_key(uses: &[KeyUse]) -> Option<String> {
    let needed: Vec<_> = uses.iter().filter_map(|one| Some((one, one.key.as_deref()?))).collect();
    describe(&needed)
}

fn describe(needed: &[(&KeyUse, &str)]) -> Option<String> {
    let words: Vec<_> = needed.iter().map(|(one, key)| format!("{}: {} (key {key})", one.what, one.rows)).collect();
    Some(words.join(", ")).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use access_tokens_testkit::keys::{RING_A, RING_B, ring};

    fn needed(what: &'static str, key: Option<&str>, rows: u64) -> KeyUse {
        KeyUse { what, key: key.map(str::to_owned), rows }
    }

    #[test]
    fn keys_of_the_database_are_in_the_ring_missing_or_accepted_as_lost() {
        let uses = [
            needed("passwords", Some("b"), 1),
            needed("passwords", None, 7),
            needed("API keys", Some("x"), 2),
            needed("pass codes", Some("y"), 3),
        ];
        let fit = KeyRingFit::by_id(&ring(&[RING_A, RING_B]), &uses);
        assert!(fit.is_foreign() && !fit.is_good());
        assert_eq!(fit.missing_ids(), ["x", "y"]);
        assert!(fit.to_string().contains("API keys: 2 (key x), pass codes: 3 (key y)"), "{fit}");
        let fit = KeyRingFit::by_id(
            &ring(&["# Lost keys, accepted: x, z", RING_A, "# Lost keys, accepted: y", RING_B]),
            &uses,
        );
        assert!(fit.is_good() && !fit.is_foreign());
        assert_eq!(fit.lost(), Some("API keys: 2 (key x), pass codes: 3 (key y)"));
        let fit = KeyRingFit::by_id(&ring(&[RING_A]), &uses[..2]);
        assert!(fit.is_foreign() && fit.to_string().contains("passwords: 1 (key b)"), "{fit}");
        assert_eq!(describe_by_key(&uses[1..2]), None, "an imported hash needs no key");
    }

    #[test]
    fn codes_that_cannot_be_opened_tell_another_ring_unless_others_can() {
        let fit = |opened, unreadable| KeyRingFit { opened, unreadable, ..KeyRingFit::by_id(&ring(&[RING_A]), &[]) };
        assert!(fit(0, 1).is_foreign() && !fit(0, 1).is_good());
        assert!(!fit(1, 1).is_foreign() && !fit(1, 1).is_good());
        assert!(!fit(0, 0).is_foreign() && fit(3, 0).is_good());
    }
}
