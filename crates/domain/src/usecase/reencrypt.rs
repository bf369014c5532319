//! Moves verification codes to the current key, after a new key was added to the ring.
//!
//! Only verification codes need this. A sealed code can be read and sealed again without its owner, while a hash can
//! only be made from the secret that the owner presents.

use crate::Result;
use crate::model::access_token::VerificationCode;
use crate::ports::store::{KeyStore, Position};
use crate::ports::{Purpose, Secrets};

/// Number of tokens that are read, and written in one transaction.
pub const BATCH_SIZE: u32 = 500;

/// The result of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Number of codes that were moved to the current key.
    pub moved: u64,
    /// Number of codes that other callers replaced between the read and the write. They already have the current key.
    pub changed: u64,
    /// Number of codes that cannot be opened: their key is not in the ring, or they were damaged. They stay as they
    /// are.
    pub unreadable: u64,
    /// Position after which the next batch begins.
    pub last: Position,
}

/// Seals and hashes the verification codes of a batch of tokens again, after a position, if they are not under
/// `current`, the key with which `secrets` writes. `None`: there are no more.
///
/// A run can be stopped and started again at any time, while other callers work. A code that was changed in the
/// meantime is not touched.
pub async fn batch<S: KeyStore>(
    store: &S,
    secrets: &dyn Secrets,
    current: &str,
    after: Option<&Position>,
) -> Result<Option<Progress>> {
    let found = store.verification_codes(current, after, BATCH_SIZE).await?;
    let Some((last, _)) = found.last() else { return Ok(None) };
    let (last, mut unreadable) = (last.clone(), 0);
    let mut replacements = Vec::with_capacity(found.len());
    for (position, old) in found {
        match secrets.open(Purpose::Verification, &position.1, &old.sealed) {
            Ok(code) => {
                let new = VerificationCode::protect(secrets, &position.1, &code)?;
                replacements.push((position, old, new));
            }
            Err(_) => unreadable += 1,
        }
    }
    let moved = if replacements.is_empty() { 0 } else { store.replace_verification_codes(&replacements).await? };
    let changed = (replacements.len() as u64).saturating_sub(moved);
    Ok(Some(Progress { moved, changed, unreadable, last }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;
    use crate::Error;
    use crate::model::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
    use crate::model::session::OrganisationKey;
    use crate::ports::store::{KeySample, KeyUse, StoreResult, Unused, Withdrawal, Withdrawn};
    use crate::ports::{BoxFuture, HashWork, Verdict};

    /// Seals in clear, as `<key>$<subject>$<code>`, and opens codes under `new` and `old`.
    struct Plain;

    impl Secrets for Plain {
        fn hash(&self, _: HashWork, _: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
            unreachable!("no pass codes here")
        }

        fn verify(&self, _: HashWork, _: Secret, _: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
            unreachable!("no pass codes here")
        }

        fn accepts(&self, _: &PassCodeHash) -> bool {
            false
        }

        fn code_hash(&self, _: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
            Ok(CodeHash::from_stored(format!("new${subject}${}", code.expose())))
        }

        fn code_matches(&self, _: Purpose, _: &str, _: &Secret, _: Option<&CodeHash>) -> bool {
            false
        }

        fn seal(&self, _: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
            Ok(SealedCode::from_stored(format!("new${subject}${}", code.expose())))
        }

        fn open(&self, _: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
            let mut parts = sealed.as_stored().split('$');
            let (key, of, code) = (parts.next(), parts.next(), parts.next());
            code.filter(|_| matches!(key, Some("new" | "old")) && of == Some(subject))
                .map(Secret::new)
                .ok_or_else(|| Error::internal("cannot be opened"))
        }
    }

    #[derive(Default)]
    struct Codes {
        codes: Mutex<BTreeMap<(i32, String), VerificationCode>>,
        /// Positions whose codes change as soon as they were read.
        busy: Vec<Position>,
    }

    impl KeyStore for Codes {
        async fn verification_codes(
            &self,
            current: &str,
            after: Option<&Position>,
            limit: u32,
        ) -> StoreResult<Vec<(Position, VerificationCode)>> {
            let mut codes = self.codes.lock().expect("lock");
            let other = |text: &str| text.split('$').next() != Some(current);
            let found = codes
                .iter()
                .filter(|(at, code)| {
                    after.is_none_or(|after| **at > key(after))
                        && (other(code.hash.as_stored()) || other(code.sealed.as_stored()))
                })
                .take(limit as usize)
                .map(|(at, code)| ((OrganisationKey(at.0), at.1.clone()), code.clone()))
                .collect();
            for at in &self.busy {
                codes.insert(key(at), code("new", &at.1, "another"));
            }
            Ok(found)
        }

        async fn replace_verification_codes(
            &self,
            replacements: &[(Position, VerificationCode, VerificationCode)],
        ) -> StoreResult<u64> {
            let mut codes = self.codes.lock().expect("lock");
            let mut replaced = 0;
            for (at, old, new) in replacements {
                if codes.get(&key(at)) == Some(old) {
                    codes.insert(key(at), new.clone());
                    replaced += 1;
                }
            }
            Ok(replaced)
        }

        async fn withdraw_credentials(
            &self,
            _: Unused<'_>,
            _: Withdrawal<'_>,
            _: crate::model::time::Timestamp,
        ) -> StoreResult<Withdrawn> {
            unreachable!("nothing is withdrawn here")
        }

        async fn withdraw_pass_codes(
            &self,
            _: Unused<'_>,
            _: Option<&Position>,
            _: u32,
        ) -> StoreResult<Option<(u64, Position)>> {
            unreachable!("nothing is withdrawn here")
        }

        async fn sampled_key_use(&self, _: crate::model::time::Timestamp, _: u32, _: u32) -> StoreResult<KeySample> {
            unreachable!("no start here")
        }

        async fn key_use(&self, _: crate::model::time::Timestamp) -> StoreResult<Vec<KeyUse>> {
            Ok(Vec::new())
        }
    }

    /// Returns the sort key of a position.
    fn key(at: &Position) -> (i32, String) {
        (at.0.0, at.1.clone())
    }

    fn at(index: i32) -> Position {
        (OrganisationKey(index % 2), format!("T{index:04}"))
    }

    fn put(store: &Codes, index: i32, code: VerificationCode) {
        store.codes.lock().expect("lock").insert(key(&at(index)), code);
    }

    fn code(key: &str, token: &str, code: &str) -> VerificationCode {
        let text = format!("{key}${token}${code}");
        VerificationCode { hash: CodeHash::from_stored(text.clone()), sealed: SealedCode::from_stored(text) }
    }

    fn run(store: &Codes) -> Vec<Progress> {
        let (mut all, mut after) = (Vec::new(), None);
        while let Some(progress) =
            batch(store, &Plain, "new", after.as_ref()).now_or_never().expect("no waiting").expect("no error")
        {
            after = Some(progress.last.clone());
            all.push(progress);
        }
        all
    }

    #[test]
    fn every_code_moves_once_and_stays_the_same_code() {
        let store = Codes::default();
        for index in 0..1_201 {
            let under = if index % 3 == 0 { "new" } else { "old" };
            put(&store, index, code(under, &at(index).1, &index.to_string()));
        }
        let moved: Vec<_> = run(&store).iter().map(|progress| progress.moved).collect();
        assert_eq!(moved, [500, 300]);
        for (at, stored) in store.codes.lock().expect("lock").iter() {
            let index: i32 = at.1[1..].parse().expect("a number");
            assert_eq!(*stored, code("new", &at.1, &index.to_string()));
        }
        assert!(run(&store).is_empty(), "there is nothing left to do");
    }

    #[test]
    fn a_code_of_which_only_the_hash_is_old_moves_too() {
        let store = Codes::default();
        let half = VerificationCode { hash: CodeHash::from_stored("old$x"), ..code("new", "T0001", "1") };
        put(&store, 1, half);
        assert_eq!(run(&store), [Progress { moved: 1, changed: 0, unreadable: 0, last: at(1) }]);
    }

    #[test]
    fn what_changed_meanwhile_or_cannot_be_opened_is_left_alone_and_counted() {
        let store = Codes { busy: vec![at(2)], ..Codes::default() };
        let lost = code("lost", "T0003", "3");
        for (index, one) in [(1, code("old", "T0001", "1")), (2, code("old", "T0002", "2")), (3, lost.clone())] {
            put(&store, index, one);
        }
        assert_eq!(run(&store), [Progress { moved: 1, changed: 1, unreadable: 1, last: at(3) }]);
        let codes = store.codes.lock().expect("lock");
        assert_eq!(codes[&key(&at(2))], code("new", "T0002", "another"));
        assert_eq!(codes[&key(&at(3))], lost);
    }
}
