//! The one verifier: every path that takes a secret of a token comes through here.
//!
//! 1. The token, the policy and the attempts so far are read.
//! 2. The attempt is counted as wrong, in a write of its own that is committed. Or it is counted as refused: because of
//!    a lock, or because there is nothing to compare with and so nothing to guess.
//! 3. The secret is compared: with the stored hash, or with nothing after a rejection.
//! 4. What was right is counted as right.
//!
//! Whatever is refused takes the same steps; an unknown token is counted on a dummy subject. So neither the answer nor the work
//! tells them apart.

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

/// How often a write of the ledger is tried when others write the same entry. Of all that try at once one succeeds each
/// time, and within a process they take turns: those that still compete came under other names, or to other replicas.
pub(super) const LEDGER_WRITE_ATTEMPTS: usize = 256;

/// What is to be checked.
pub(super) struct Check<'a> {
    /// Which token.
    pub(super) key: TokenKey<'a>,
    /// Which of its secrets.
    pub(super) kind: SecretKind,
    /// What was presented.
    pub(super) secret: &'a Secret,
    /// The only state in which the secret is worth something; `None`: any.
    pub(super) state: Option<LifeCycleState>,
    /// The owners to read along.
    pub(super) joins: OwnerJoins,
}

/// The secret was right.
pub(super) struct Verified {
    /// The token as it was when the secret was compared.
    pub(super) found: FoundToken,
    /// Is the stored hash of an old form?
    pub(super) outdated: bool,
}

/// The secret was not right, or could not be used.
pub(super) struct Rejection {
    cause: Cause,
    /// The token, where there is one.
    pub(super) found: Option<FoundToken>,
    now: Timestamp,
}

/// The true reason of a rejection. Only callers with `access_tokens.secrets` are told.
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
    /// The public answer, the same for every cause. Who may know secrets is told the cause and the time to wait.
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
    /// Checks a pass code or a one-time password, which is used up by it. The public answer to whatever is not right
    /// is INVALID_CREDENTIAL.
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

    /// Counts, compares, and counts what was right. Nothing of the token changes.
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
                // There is nothing to guess, so nothing is lost; but it is written as any other attempt.
                self.store.attempts(organisation, &subject, kind).await?;
                self.store.count_refused(organisation, &subject, kind, now).await?;
                Err(cause)
            }
        };
        let comparable = token.filter(|_| counted.is_ok());
        let verdict = match self.compare(caller, kind, &subject, secret, comparable).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // It was never compared, so it does not count.
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

    /// Compares with the stored hash, or does the same work for nothing.
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

    /// Counts an attempt before it is compared. The inner error is the lock that refuses it.
    async fn count(
        &self,
        caller: &Caller,
        subject: &str,
        kind: SecretKind,
        policy: &LockPolicy,
        now: Timestamp,
    ) -> Result<Result<Entry<Attempts>, Lock>> {
        for _ in 0..LEDGER_WRITE_ATTEMPTS {
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

    /// Changes attempts that were written just now, or whatever others have made of them since.
    pub(super) async fn update_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        mut entry: Entry<Attempts>,
        change: impl Fn(&Attempts) -> Attempts,
    ) -> Result<()> {
        for _ in 0..LEDGER_WRITE_ATTEMPTS {
            let changed = Entry { state: change(&entry.state), revision: entry.revision };
            if self.store.save_attempts(organisation, subject, kind, &changed).await? {
                return Ok(());
            }
            entry = self.store.attempts(organisation, subject, kind).await?;
        }
        Err(too_many_calls())
    }

    /// Uses a one-time password up: of all who present it, one succeeds.
    async fn consume(&self, caller: &Caller, verified: Verified) -> Result<Verified> {
        let FoundToken { token, owners, .. } = &verified.found;
        let precondition = Precondition {
            life_cycle_state: Some(LifeCycleState::Effective),
            one_time_password: token.one_time_password.as_ref().map(|code| code.hash.clone()),
            ..Precondition::default()
        };
        let changes = TokenChanges { one_time_password: Some(None), ..TokenChanges::default() };
        // A use is no change of the resource: its log information stays.
        match self.store.update_token(caller.organisation, &token.id, &precondition, &changes, None).await? {
            Some(used) => Ok(Verified { found: FoundToken { owners: owners.clone(), ..used }, ..verified }),
            None => {
                let rejection = Rejection::wrong(verified.found, self.clock.now());
                Err(rejection.error(caller, Reason::InvalidCredential))
            }
        }
    }

    /// Keeps a pass code that was right under a hash of today's form. Whoever set another one meanwhile wins.
    async fn rehash(&self, caller: &Caller, verified: Verified, secret: &Secret) -> Result<Verified> {
        let token = &verified.found.token;
        let precondition = Precondition { pass_code: token.pass_code.clone(), ..Precondition::default() };
        // The login is right, whether or not there is room for another hash now.
        let Ok(hash) = self.secrets.hash_unchecked(HashWork::call(caller.organisation), secret.clone()).await else {
            return Ok(verified);
        };
        let changes = TokenChanges { pass_code: Some(Some(hash)), ..TokenChanges::default() };
        match self.store.update_token(caller.organisation, &token.id, &precondition, &changes, None).await? {
            Some(hashed) => Ok(Verified { found: FoundToken { owners: verified.found.owners, ..hashed }, ..verified }),
            None => Ok(verified),
        }
    }

    /// The subject on which attempts at unknown tokens are counted: one of 256, drawn each time. No id has such a form.
    pub(super) fn dummy_subject(&self) -> Result<String> {
        let mut byte = [0];
        self.random.fill(&mut byte)?;
        Ok(format!("decoy/{:02x}", byte[0]))
    }
}

/// Why there is nothing to compare with.
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

/// The public answer to a credential that is not right.
pub(super) fn invalid_credential() -> Error {
    Error::new(Reason::InvalidCredential, "the access token is unknown, or what was presented for it is not valid")
}
