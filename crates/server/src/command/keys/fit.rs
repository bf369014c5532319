//! Whether a ring opens what a database holds.

use std::fmt;
use std::sync::Arc;

use access_tokens_domain::ports::{Purpose, Secrets};
use access_tokens_domain::store::{KeyStore, KeyUse};
use access_tokens_storage::Database;

use super::super::context::explained;
use super::need;
use crate::crypto::{KeyRing, KeyedSecrets, SystemRandom};

/// How many codes are read at a time.
const BATCH: u32 = 500;

/// Whether a ring opens what a database holds. A key is known by its id; that it is the same key, by opening
/// verification codes: of everything that is stored they alone can be opened without somebody who knows the secret.
#[derive(Debug)]
pub(in crate::command) struct Fit {
    /// What needs keys that are not in the ring, in words.
    missing: Option<String>,
    opened: u64,
    unreadable: u64,
}

impl Fit {
    /// Tries all verification codes whose key is there, or so many of them.
    pub(in crate::command) async fn of(
        database: &Database,
        ring: &KeyRing,
        uses: &[KeyUse],
        most: Option<u64>,
    ) -> anyhow::Result<Self> {
        let ids: Vec<_> = ring.ids().collect();
        let mut fit = Self { missing: need::of_missing(uses, &ids), opened: 0, unreadable: 0 };
        let secrets = KeyedSecrets::new(ring, Arc::new(SystemRandom));
        let mut after = None;
        while most.is_none_or(|most| fit.opened + fit.unreadable < most) {
            // No key has an empty id, so these are all codes.
            let codes = database.verification_codes("", after.as_ref(), BATCH).await;
            let codes = codes.map_err(|error| explained(error.into()))?;
            let Some((last, _)) = codes.last() else { break };
            after = Some(last.clone());
            for (position, code) in &codes {
                match secrets.open(Purpose::Verification, &position.1, &code.sealed) {
                    Ok(_) => fit.opened += 1,
                    Err(_) => fit.unreadable += 1,
                }
            }
        }
        Ok(fit)
    }

    /// Is everything that was tried opened, and no key missing?
    pub(in crate::command) fn is_good(&self) -> bool {
        self.missing.is_none() && self.unreadable == 0
    }
}

impl fmt::Display for Fit {
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
