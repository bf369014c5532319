//! The verifier. Every method that takes a secret of a token uses it:
//!
//! 1. It reads the token, the policy and the attempts so far.
//! 2. It counts the attempt as wrong, in a write of its own that is committed. If there is a lock, or nothing to
//!    compare with and so nothing to guess, it counts the attempt as refused instead.
//! 3. It compares the secret with the stored hash, or does the same work without a hash if the attempt was refused.
//! 4. It counts a right secret as right.
//!
//! Refused attempts take the same steps, and attempts at an unknown token are counted on a dummy subject. So neither
//! the answer nor the work reveals the cause.

use std::time::Duration;

use super::AccessTokens;
use super::keyed_mutex::too_many_calls;
use crate::model::access_token::{AccessToken, Precondition, TokenChanges};
use crate::model::identifier::{Proof, TokenKey};
use crate::model::life_cycle::LifeCycleState;
use crate::model::policy::LockPolicy;
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::{Caller, OrganisationKey, Permission};
use crate::model::time::Timestamp;
use crate::policy::attempts::{Attempts, Lock};
use crate::ports::observer::AttemptOutcome;
use crate::ports::store::{Entry, FoundToken, Lookup, OwnerJoins, ReadOptions, Store};
use crate::ports::{HashWork, Purpose, Verdict};
use crate::{Error, Reason, Result};

/// Maximum number of attempts to write an entry of the ledger while others write it too. Each time, one of the
/// concurrent writers succeeds. Within a process calls about one name wait for each other ([`super::keyed_mutex`]), so
/// the other writers use another name or another replica.
pub(super) const MAX_LEDGER_WRITE_ATTEMPTS: usize = 256;

/// A secret to be checked.
pub(super) struct Check<'a> {
    /// Token.
    pub(super) key: TokenKey<'a>,
    /// Kind of the secret.
    pub(super) kind: SecretKind,
    /// Presented secret.
    pub(super) secret: &'a Secret,
    /// The only state in which the secret is accepted. `None`: any state.
    pub(super) state: Option<LifeCycleState>,
    /// Owners to load with the token.
    pub(super) joins: OwnerJoins,
}

/// The result of a right secret.
pub(super) struct Verified {
    /// The token as it was when the secret was compared.
    pub(super) found: FoundToken,
    /// Whether the stored hash has an older form than a new hash would have.
    pub(super) outdated: bool,
}

/// The result of a secret that is wrong or cannot be used.
pub(super) struct Rejection {
    cause: Cause,
    /// The token, where there is one.
    pub(super) found: Option<FoundToken>,
    now: Timestamp,
}

/// The true cause of a rejection. Only callers with `access_tokens.secrets` learn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Unknown,
    Locked(Lock),
    WrongState,
    NotSet,
    Expired,
    Wrong,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Locked(_) => "LOCKED",
            Self::WrongState => "WRONG_LIFE_CYCLE_STATE",
            Self::NotSet => "NOT_SET",
            Self::Expired => "EXPIRED",
            Self::Wrong => "WRONG",
        }
    }
}

impl Rejection {
    /// Returns the public error, which is the same for every cause. Callers with `access_tokens.secrets` also get the
    /// cause and the time to wait.
    pub(super) fn error(&self, caller: &Caller, reason: Reason) -> Error {
        let error = match reason {
            Reason::InvalidVerificationCode => {
                Error::field(reason, "verification_code", "is not the verification code of this access token")
            }
            _ => invalid_credential(),
        };
        if !caller.permissions.contains(Permission::AccessTokensSecrets) {
            return error;
        }
        let error = error.with("cause", self.cause.name());
        let until = match self.cause {
            Cause::Locked(lock) => lock.until,
            _ => None,
        };
        match until.and_then(|until| (until - self.now).to_std().ok()) {
            Some(wait) => error.retry_after(wait.max(Duration::from_secs(1))),
            None => error,
        }
    }

    fn wrong(found: FoundToken, now: Timestamp) -> Self {
        Self { cause: Cause::Wrong, found: Some(found), now }
    }
}

impl<S: Store> AccessTokens<S> {
    /// Checks a pass code or a one-time password, and consumes the latter. Every rejection is INVALID_CREDENTIAL.
    pub(super) async fn authenticate(
        &self,
        caller: &Caller,
        key: TokenKey<'_>,
        proof: &Proof,
        state: Option<LifeCycleState>,
        joins: OwnerJoins,
    ) -> Result<Verified> {
        let (kind, secret) = (proof.kind(), proof.secret());
        // Only effective tokens give access (D3).
        let state = if kind == SecretKind::OneTimePassword { Some(LifeCycleState::Effective) } else { state };
        let verified = match self.verify_secret(caller, Check { key, kind, secret, state, joins }).await? {
            Ok(verified) => verified,
            Err(rejection) => return Err(rejection.error(caller, Reason::InvalidCredential)),
        };
        match kind {
            SecretKind::OneTimePassword => self.consume(caller, verified).await,
            _ if verified.outdated => self.rehash(caller, verified, secret).await,
            _ => Ok(verified),
        }
    }

    /// Counts the attempt, compares the secret, and counts a right one as right. Does not change the token.
    pub(super) async fn verify_secret(&self, caller: &Caller, check: Check<'_>) -> Result<Result<Verified, Rejection>> {
        let Check { key, kind, secret, state, joins } = check;
        let organisation = caller.organisation;
        if kind == SecretKind::PassCode {
            self.secrets.check_queue(HashWork::call(caller.organisation))?;
        }
        let _guard = self.secret_locks.lock((organisation, key, kind)).await?;
        let Lookup { found, reference } = self.store.find_token(organisation, key, joins, ReadOptions::STRONG).await?;
        let token = found.as_ref().map(|found| &found.token);
        let policy = reference.policy(token.and_then(|token| token.classification.as_deref())).lock;
        let subject = match token {
            Some(token) => token.id.clone(),
            None => self.dummy_subject()?,
        };
        let now = self.clock.now();
        let counted = match not_comparable(token, kind, state, now) {
            None => self.count(caller, &subject, kind, &policy, now).await?.map_err(Cause::Locked),
            Some(cause) => {
                // There is nothing to guess, so the attempt needs no count. The work is that of any other attempt.
                self.store.attempts(organisation, &subject, kind).await?;
                self.store.count_refused(organisation, &subject, kind, now).await?;
                Err(cause)
            }
        };
        let comparable = token.filter(|_| counted.is_ok());
        let verdict = match self.compare(caller, kind, &subject, secret, comparable).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // The secret was never compared, so the attempt does not count.
                if let Ok(entry) = counted {
                    self.update_attempts(organisation, &subject, kind, entry, |all| all.withdrawn(&policy, now))
                        .await?;
                }
                return Err(error);
            }
        };
        let outcome = match (&counted, verdict) {
            (Err(_), _) => AttemptOutcome::Refused,
            (Ok(_), Verdict::Wrong) => AttemptOutcome::Wrong,
            (Ok(_), Verdict::Right | Verdict::Outdated) => AttemptOutcome::Right,
        };
        self.observer.attempt(kind, outcome);
        if let (Ok(entry), AttemptOutcome::Wrong) = (&counted, outcome)
            && entry.state.lock(&policy, now).is_some()
        {
            self.observer.locked(kind);
        }
        match (found, counted, verdict) {
            (Some(found), Ok(entry), Verdict::Right | Verdict::Outdated) => {
                self.update_attempts(organisation, &subject, kind, entry, |all| all.succeeded(&policy, now)).await?;
                Ok(Ok(Verified { found, outdated: verdict == Verdict::Outdated }))
            }
            (found, counted, _) => Ok(Err(Rejection { cause: counted.err().unwrap_or(Cause::Wrong), found, now })),
        }
    }

    /// Compares a secret with the stored hash. Without a hash, it does the same work and returns [`Verdict::Wrong`].
    async fn compare(
        &self,
        caller: &Caller,
        kind: SecretKind,
        subject: &str,
        secret: &Secret,
        token: Option<&AccessToken>,
    ) -> Result<Verdict> {
        let (purpose, stored) = match kind {
            SecretKind::PassCode => {
                let stored = token.and_then(|token| token.pass_code.clone());
                return self.secrets.verify(HashWork::call(caller.organisation), secret.clone(), stored).await;
            }
            SecretKind::VerificationCode => {
                let stored = token.and_then(|token| token.verification.as_ref()).map(|code| &code.hash);
                (Purpose::Verification, stored)
            }
            SecretKind::OneTimePassword => {
                let stored = token.and_then(|token| token.one_time_password.as_ref()).map(|code| &code.hash);
                (Purpose::OneTimePassword, stored)
            }
        };
        let matches = self.secrets.code_matches(purpose, subject, secret, stored);
        Ok(if matches { Verdict::Right } else { Verdict::Wrong })
    }

    /// Counts an attempt before the comparison. The inner error is the lock that refuses it.
    async fn count(
        &self,
        caller: &Caller,
        subject: &str,
        kind: SecretKind,
        policy: &LockPolicy,
        now: Timestamp,
    ) -> Result<Result<Entry<Attempts>, Lock>> {
        for _ in 0..MAX_LEDGER_WRITE_ATTEMPTS {
            let Entry { state, revision } = self.store.attempts(caller.organisation, subject, kind).await?;
            match state.admit(policy, now, caller.user.as_deref()) {
                Ok(state) => {
                    let entry = Entry { state, revision };
                    if self.store.save_attempts(caller.organisation, subject, kind, &entry).await? {
                        return Ok(Ok(Entry { revision: revision + 1, ..entry }));
                    }
                }
                Err(lock) => {
                    self.store.count_refused(caller.organisation, subject, kind, now).await?;
                    return Ok(Err(lock));
                }
            }
        }
        Err(too_many_calls())
    }

    /// Changes attempts that were just written. If other callers wrote since, the change applies to their result.
    pub(super) async fn update_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        mut entry: Entry<Attempts>,
        change: impl Fn(&Attempts) -> Attempts,
    ) -> Result<()> {
        for _ in 0..MAX_LEDGER_WRITE_ATTEMPTS {
            let changed = Entry { state: change(&entry.state), revision: entry.revision };
            if self.store.save_attempts(organisation, subject, kind, &changed).await? {
                return Ok(());
            }
            entry = self.store.attempts(organisation, subject, kind).await?;
        }
        Err(too_many_calls())
    }

    /// Consumes a one-time password. If several calls present it concurrently, exactly one succeeds.
    async fn consume(&self, caller: &Caller, verified: Verified) -> Result<Verified> {
        let FoundToken { token, owners, .. } = &verified.found;
        let precondition = Precondition {
            life_cycle_state: Some(LifeCycleState::Effective),
            one_time_password: token.one_time_password.as_ref().map(|code| code.hash.clone()),
            ..Precondition::default()
        };
        let changes = TokenChanges { one_time_password: Some(None), ..TokenChanges::default() };
        // A use is no change of the token, so its log information stays.
        match self.store.update_token(caller.organisation, &token.id, &precondition, &changes, None).await? {
            Some(used) => Ok(Verified { found: FoundToken { owners: owners.clone(), ..used }, ..verified }),
            None => {
                let rejection = Rejection::wrong(verified.found, self.clock.now());
                Err(rejection.error(caller, Reason::InvalidCredential))
            }
        }
    }

    /// Replaces the hash of a right pass code by one of the current form, unless the pass code was changed in the
    /// meantime.
    async fn rehash(&self, caller: &Caller, verified: Verified, secret: &Secret) -> Result<Verified> {
        let token = &verified.found.token;
        let precondition = Precondition { pass_code: token.pass_code.clone(), ..Precondition::default() };
        // The check has succeeded, whether or not the queue has room for another hash.
        let Ok(hash) = self.secrets.hash_unchecked(HashWork::call(caller.organisation), secret.clone()).await else {
            return Ok(verified);
        };
        let changes = TokenChanges { pass_code: Some(Some(hash)), ..TokenChanges::default() };
        match self.store.update_token(caller.organisation, &token.id, &precondition, &changes, None).await? {
            Some(hashed) => Ok(Verified { found: FoundToken { owners: verified.found.owners, ..hashed }, ..verified }),
            None => Ok(verified),
        }
    }

    /// Returns the subject that counts attempts at unknown tokens: one of 256, drawn each time. No token id has this
    /// form.
    pub(super) fn dummy_subject(&self) -> Result<String> {
        let mut byte = [0];
        self.random.fill(&mut byte)?;
        Ok(format!("decoy/{:02x}", byte[0]))
    }
}

/// Returns the cause why there is no hash to compare with, if so.
fn not_comparable(
    token: Option<&AccessToken>,
    kind: SecretKind,
    state: Option<LifeCycleState>,
    now: Timestamp,
) -> Option<Cause> {
    let Some(token) = token else { return Some(Cause::Unknown) };
    if state.is_some_and(|state| state != token.life_cycle_state) {
        return Some(Cause::WrongState);
    }
    let set = match kind {
        SecretKind::PassCode => token.pass_code.is_some(),
        SecretKind::VerificationCode => token.verification.is_some(),
        SecretKind::OneTimePassword => match &token.one_time_password {
            Some(code) if code.expiration_date <= now => return Some(Cause::Expired),
            code => code.is_some(),
        },
    };
    (!set).then_some(Cause::NotSet)
}

/// Returns the public error of a rejected credential.
pub(super) fn invalid_credential() -> Error {
    Error::new(Reason::InvalidCredential, "the access token is unknown, or what was presented for it is not valid")
}
