//! Checks the password of a user: counts the attempt as wrong, compares, and corrects the count if the password was
//! right.
//!
//! Attempts are counted per user and network, and on one meter per user for networks that are new to the user (see
//! [`access_tokens_domain::login`]). Each refusal takes the same number of reads, writes and hash computations, whether
//! the user is unknown, has no password, is locked, or the password is wrong. Attempts without a comparison are counted
//! on dummy subjects, so that invented names and addresses add no rows.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use access_tokens_domain::attempts::{Attempts, Lock};
use access_tokens_domain::login::{
    LoginAccount, Meter, NETWORK_LOCK, Network, USER_METER, dummy_subject, meter_subject, network_subject,
};
use access_tokens_domain::observer::{AttemptOutcome, Observer};
use access_tokens_domain::policy::LockPolicy;
use access_tokens_domain::ports::{Clock, HashWork, Random, Secrets, Verdict};
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::keyed_mutex::KeyedMutex;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Entry, LoginStore};
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Result};
use access_tokens_secrets::overloaded;
use futures::try_join;

/// Maximum number of tries of a compare-and-set. Within a process the attempts of one user and network run one after
/// the other, so conflicts come from other networks (on the meter) or from other replicas.
const MAX_TRIES: usize = 256;

/// A request to log in.
pub struct Login<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password.
    pub password: Secret,
    /// The name of the organisation.
    pub organisation: &'a str,
    /// The unit, by id or alternative code. None or empty: the default unit of the user.
    pub unit: Option<&'a str>,
    /// The IP address of the client, if it is known.
    pub address: Option<IpAddr>,
}

/// A password to check.
pub(super) struct Attempt<'a> {
    pub(super) organisation: OrganisationKey,
    pub(super) username: &'a str,
    pub(super) password: Secret,
    pub(super) network: Network,
}

/// Checks passwords of users.
pub(super) struct Logins<S> {
    store: Arc<S>,
    secrets: Arc<dyn Secrets>,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    user_locks: KeyedMutex,
    /// Keyed, so that a client cannot choose a network that has the same hash as another one.
    hasher: RandomState,
}

/// The reason of a refusal. It is logged; the client does not receive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Unknown,
    NoPassword,
    NetworkLocked,
    MeterFull,
    Wrong,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::NoPassword => "NOT_SET",
            Self::NetworkLocked => "LOCKED",
            Self::MeterFull => "TOO_MANY_ATTEMPTS",
            Self::Wrong => "WRONG",
        }
    }
}

/// The stored entries of an attempt.
struct Counted {
    network: Entry<Attempts>,
    meter: Option<Entry<Attempts>>,
}

/// Counts one attempt to log in, in the rows of its organisation and network.
struct Counter<'a, S> {
    logins: &'a Logins<S>,
    organisation: OrganisationKey,
    network: &'a Network,
    now: Timestamp,
}

/// Subjects under which the attempts at one account are counted.
struct Subjects {
    network: String,
    meter: String,
    part: Meter,
}

impl<S: LoginStore> Logins<S> {
    pub(super) fn new(
        store: Arc<S>,
        secrets: Arc<dyn Secrets>,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { store, secrets, random, clock, observer, user_locks: KeyedMutex::default(), hasher: RandomState::new() }
    }

    /// Sets the observer that counts attempts.
    pub(super) fn set_observer(&mut self, observer: Arc<dyn Observer>) {
        self.observer = observer;
    }

    /// Returns the account if the password is right, and None for every refusal.
    pub(super) async fn check(&self, attempt: Attempt<'_>) -> Result<Option<LoginAccount>> {
        let Attempt { organisation, username, password, network } = attempt;
        // One attempt at a time per user and network. Otherwise five right passwords at the same time would lock the
        // sixth.
        let guard = self.user_locks.lock((organisation, username, network.as_str())).await;
        let _guard = guard.map_err(|_| overloaded())?;
        let account = self.store.login_account(organisation, username, &network).await?;
        let now = self.clock.now();
        let work = match &account {
            Some(account) if account.knows_network(now) => HashWork::known_login(organisation),
            _ => HashWork::anonymous_login(self.hasher.hash_one(network.as_str())),
        };
        // Checked before the attempt is counted: an attempt that is not compared would have to be withdrawn.
        self.secrets.check_queue(work)?;
        let counter = Counter { logins: self, organisation, network: &network, now };
        let counted = counter.count(account.as_ref()).await?;
        let stored = match &counted {
            Ok(_) => account.as_ref().and_then(|account| account.credential.password.clone()),
            Err(_) => None,
        };
        let verdict = match self.secrets.verify(work, password.clone(), stored).await {
            Ok(verdict) => verdict,
            Err(error) => {
                if let (Ok(counted), Some(account)) = (counted, &account) {
                    counter.recount(account, counted, Attempts::withdrawn).await?;
                }
                return Err(error);
            }
        };
        match (account, counted, verdict) {
            (Some(account), Ok(counted), Verdict::Right | Verdict::Outdated) => {
                self.observer.login(AttemptOutcome::Right);
                let remember = async {
                    if account.is_stale(now) {
                        let user = account.credential.user.as_str();
                        self.store.remember_login(organisation, user, &network, now).await?;
                    }
                    Ok::<_, Error>(())
                };
                try_join!(counter.recount(&account, counted, Attempts::succeeded), remember)?;
                if verdict == Verdict::Outdated {
                    self.rehash(organisation, &account, work, password).await;
                }
                Ok(Some(account))
            }
            (account, counted, _) => {
                counter.refused(account.as_ref(), counted);
                Ok(None)
            }
        }
    }

    /// Replaces the hash of a right password by one of the current form. A failure does not affect the log-in.
    async fn rehash(&self, organisation: OrganisationKey, account: &LoginAccount, work: HashWork, password: Secret) {
        let Some(old) = &account.credential.password else { return };
        let user = account.credential.user.as_str();
        let replaced = async {
            let new = self.secrets.hash(work, password).await?;
            Ok::<_, Error>(self.store.replace_password(organisation, user, old, &new).await?)
        };
        match replaced.await {
            Ok(true) => tracing::info!(user, "password hash replaced by one of the current form"),
            Ok(false) => {}
            Err(error) => tracing::debug!(user, reason = error.reason().name(), "password hash not replaced"),
        }
    }

    /// Returns two different dummy subjects.
    fn dummy_subjects(&self) -> Result<[String; 2]> {
        let mut byte = [0];
        self.random.fill(&mut byte)?;
        Ok([dummy_subject(byte[0]), dummy_subject(byte[0].wrapping_add(1))])
    }
}

impl<S: LoginStore> Counter<'_, S> {
    /// Counts an attempt as wrong before the comparison, or as refused. Each case takes two reads and two writes.
    async fn count(&self, account: Option<&LoginAccount>) -> Result<Result<Counted, Cause>> {
        let [one, other] = self.logins.dummy_subjects()?;
        let cause = match account {
            Some(account) if account.credential.password.is_some() => {
                let subjects = Subjects::of(account, self.network, self.now);
                match self.admit(&subjects, &other).await? {
                    Ok(counted) => return Ok(Ok(counted)),
                    Err(cause) => {
                        // The refusal is counted in an existing row, and in the row of a dummy subject instead of the
                        // second one.
                        let counted = if cause == Cause::MeterFull { subjects.meter } else { subjects.network };
                        self.count_refused(&counted, &other).await?;
                        return Ok(Err(cause));
                    }
                }
            }
            Some(_) => Cause::NoPassword,
            None => Cause::Unknown,
        };
        try_join!(self.read(&one), self.read(&other))?;
        self.count_refused(&one, &other).await?;
        Ok(Err(cause))
    }

    async fn read(&self, subject: &str) -> Result<Entry<Attempts>> {
        Ok(self.logins.store.login_attempts(self.organisation, subject).await?)
    }

    async fn save(&self, subject: &str, entry: &Entry<Attempts>) -> Result<bool> {
        Ok(self.logins.store.save_login_attempts(self.organisation, subject, entry).await?)
    }

    async fn count_one_refused(&self, subject: &str) -> Result<()> {
        Ok(self.logins.store.count_refused_login(self.organisation, subject, self.now).await?)
    }

    async fn count_refused(&self, one: &str, other: &str) -> Result<()> {
        try_join!(self.count_one_refused(one), self.count_one_refused(other))?;
        Ok(())
    }

    /// Writes the attempt to the row of the network and to the meter, each by compare-and-set.
    async fn admit(&self, subjects: &Subjects, decoy: &str) -> Result<Result<Counted, Cause>> {
        let Subjects { network, meter, part } = subjects;
        let now = self.now;
        let (mut network_saved, mut meter_saved, mut decoy_saved) = (None, None, false);
        for _ in 0..MAX_TRIES {
            let (read, metered) = try_join!(self.read(network), self.read(meter))?;
            // An entry that is already written is not admitted again.
            let next = network_saved.is_none().then(|| read.state.admit(&NETWORK_LOCK, now, None)).transpose();
            let metering = meter_saved.is_none() && *part != Meter::Exempt;
            let next_metered = metering.then(|| part.admit(&metered.state, now)).transpose();
            let (next, next_metered) = match (next, next_metered) {
                (Ok(next), Ok(next_metered)) => (next, next_metered),
                (Err(_), _) => {
                    self.take_back(meter, meter_saved, &USER_METER).await?;
                    return Ok(Err(Cause::NetworkLocked));
                }
                (_, Err(_)) => {
                    self.take_back(network, network_saved, &NETWORK_LOCK).await?;
                    return Ok(Err(Cause::MeterFull));
                }
            };
            let save = async |subject: &str, state: Option<Attempts>, revision| match state {
                None => Ok(None),
                Some(state) => {
                    let entry = Entry { state, revision };
                    let saved = self.save(subject, &entry).await?;
                    Ok::<_, Error>(saved.then(|| Entry { revision: revision + 1, ..entry }))
                }
            };
            let stand_in = async {
                if *part == Meter::Exempt && !decoy_saved {
                    self.count_one_refused(decoy).await?;
                }
                Ok::<_, Error>(())
            };
            let (saved, saved_meter, ()) =
                try_join!(save(network, next, read.revision), save(meter, next_metered, metered.revision), stand_in)?;
            decoy_saved = true;
            network_saved = network_saved.or(saved);
            meter_saved = meter_saved.or(saved_meter);
            match network_saved.take() {
                Some(network) if *part == Meter::Exempt || meter_saved.is_some() => {
                    return Ok(Ok(Counted { network, meter: meter_saved }));
                }
                unfinished => network_saved = unfinished,
            }
        }
        Err(overloaded())
    }

    /// Undoes the count of an attempt in one entry, because the second entry refuses the attempt.
    async fn take_back(&self, subject: &str, entry: Option<Entry<Attempts>>, policy: &LockPolicy) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        self.change(subject, entry, |state| state.withdrawn(policy, self.now)).await
    }

    /// Changes the entries of an attempt once its outcome is known.
    async fn recount(
        &self,
        account: &LoginAccount,
        counted: Counted,
        change: fn(&Attempts, &LockPolicy, Timestamp) -> Attempts,
    ) -> Result<()> {
        let now = self.now;
        let Subjects { network, meter, .. } = Subjects::of(account, self.network, now);
        let metered = async {
            match counted.meter {
                Some(entry) => self.change(&meter, entry, |state| change(state, &USER_METER, now)).await,
                None => Ok(()),
            }
        };
        let row = self.change(&network, counted.network, |state| change(state, &NETWORK_LOCK, now));
        try_join!(row, metered)?;
        Ok(())
    }

    /// Changes an entry by compare-and-set. It starts from the state that was written, and reads the state again after
    /// a conflict.
    async fn change(
        &self,
        subject: &str,
        mut entry: Entry<Attempts>,
        change: impl Fn(&Attempts) -> Attempts,
    ) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let changed = Entry { state: change(&entry.state), revision: entry.revision };
            if self.save(subject, &changed).await? {
                return Ok(());
            }
            entry = self.read(subject).await?;
        }
        Err(overloaded())
    }

    /// Counts and logs a refusal. The user name is never logged: people type passwords into its field.
    fn refused(&self, account: Option<&LoginAccount>, counted: Result<Counted, Cause>) {
        let (observer, network, now) = (&self.logins.observer, self.network.as_str(), self.now);
        let user = account.map(|account| account.credential.user.as_str()).unwrap_or_default();
        let (outcome, cause) = match &counted {
            Ok(_) => (AttemptOutcome::Wrong, Cause::Wrong),
            Err(cause) => (AttemptOutcome::Refused, *cause),
        };
        observer.login(outcome);
        tracing::info!(user, network, cause = cause.name(), "log-in refused");
        let (Ok(counted), Some(account)) = (counted, account) else { return };
        if let Some(Lock { until, .. }) = counted.network.state.lock(&NETWORK_LOCK, now) {
            observer.login_locked();
            let until = until.map(|until| until.to_rfc3339()).unwrap_or_default();
            tracing::warn!(user, network, until, "user locked on this network");
        }
        let meter = counted.meter.as_ref();
        if let Some(Lock { until, .. }) = meter.and_then(|meter| Meter::of(account, now).lock(&meter.state, now)) {
            observer.login_locked();
            let until = until.map(|until| until.to_rfc3339()).unwrap_or_default();
            tracing::warn!(user, until, "user locked on new networks: too many wrong passwords today");
        }
    }
}

impl Subjects {
    fn of(account: &LoginAccount, network: &Network, now: Timestamp) -> Self {
        let user = account.credential.user.as_str();
        Self { network: network_subject(user, network), meter: meter_subject(user), part: Meter::of(account, now) }
    }
}
