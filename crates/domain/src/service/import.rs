//! Import records: one code path for files and for the directory RPC.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use crate::directory::Organisation;
use crate::guess_budget;
use crate::identifier::TokenKey;
use crate::import::{self, Batch, Kind, Outcome, Prepared, Record, Stored};
use crate::ports::{Clock, HashWork, Random, Secrets, Verdict};
use crate::reference::Reference;
use crate::secret::{PassCodeHash, Secret};
use crate::session::{Caller, Permission};
use crate::store::{AccountStore, ImportChanges, ImportKeys, Load, Store, UnitOfWork};
use crate::{Error, Reason, Result, text};

/// Secrets that are hashed at a time. The hasher's own bound is the number of cores.
const SECRETS_AT_ONCE: usize = 8;

/// Number of times that a batch, or a record alone, is written while changes of others come in between.
const WRITE_ATTEMPTS: usize = 4;

/// What became of one record.
#[derive(Debug)]
pub struct RecordResult {
    /// What it is about.
    pub kind: Kind,
    /// What became of it, with the id of its object.
    pub result: Result<(Outcome, String)>,
}

/// What a check-only run would have written so far.
#[derive(Default)]
pub struct Checked {
    reference: Option<Reference>,
    stored: Stored,
}

impl Checked {
    /// For an organisation that does not exist yet: the caller of the check has [`OrganisationKey::NONE`].
    ///
    /// [`OrganisationKey::NONE`]: crate::session::OrganisationKey::NONE
    pub fn of_new(organisation: Organisation) -> Self {
        Self { reference: Some(Reference::empty(organisation)), stored: Stored::default() }
    }
}

/// Imports records into one organisation.
pub struct Importer<S> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    secrets: Arc<dyn Secrets>,
    guess_limit: f64,
}

/// A record ready to be worked through, or the reason why it is not.
struct Candidate {
    kind: Kind,
    prepared: Result<Prepared, Error>,
}

impl<S: Store + AccountStore> Importer<S> {
    /// Puts the import on its ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self { store, clock, random, secrets, guess_limit: guess_budget::DEFAULT_LIMIT }
    }

    /// Sets the chance of an attacker, per token and day, above which a policy is refused.
    #[must_use]
    pub fn refusing_policies_above(mut self, guess_limit: f64) -> Self {
        self.guess_limit = guess_limit;
        self
    }

    /// Imports a batch, a few hundred records at most. A bad record is reported and leaves nothing behind; the rest is
    /// written in one transaction. An error of the whole batch means that nothing of it was written.
    pub async fn import(&self, caller: &Caller, records: Vec<Record>) -> Result<Vec<RecordResult>> {
        caller.require(Permission::DirectoryWrite)?;
        let candidates = self.prepare(caller, records).await?;
        match self.write_again(caller, &candidates).await {
            Err(error) if is_race(&error) => {}
            result => return result,
        }
        // Written one by one, only the record at fault fails.
        let mut results = Vec::with_capacity(candidates.len());
        for one in candidates.chunks(1) {
            match self.write_again(caller, one).await {
                Err(error) if is_race(&error) => results.push(RecordResult { kind: one[0].kind, result: Err(error) }),
                written => results.extend(written?),
            }
        }
        Ok(results)
    }

    /// Writes candidates in one transaction. When the change of another caller comes between the reading and the writing, such
    /// as a code that it takes, or PostgreSQL ends a circle of waiting transactions, nothing is written, and everything is read
    /// and worked through again.
    async fn write_again(&self, caller: &Caller, candidates: &[Candidate]) -> Result<Vec<RecordResult>> {
        for _ in 1..WRITE_ATTEMPTS {
            match self.write(caller, candidates).await {
                Err(error) if is_race(&error) => {}
                result => return result,
            }
        }
        self.write(caller, candidates).await
    }

    /// Says what an import would do, and writes nothing.
    pub async fn check(
        &self,
        caller: &Caller,
        records: Vec<Record>,
        checked: &mut Checked,
    ) -> Result<Vec<RecordResult>> {
        caller.require(Permission::DirectoryWrite)?;
        let candidates = self.prepare(caller, records).await?;
        let mut reference = match checked.reference.take() {
            Some(reference) => reference,
            None => self.store.reference(caller.organisation).await?.as_ref().clone(),
        };
        let mut unit = self.store.begin().await?;
        let rows = unit.load_import(caller.organisation, &keys(&reference, &candidates)).await?;
        drop(unit);
        let mut stored = Stored::from(rows);
        stored.lay_over(&checked.stored);
        let (results, changes) = self.work_through(caller, &reference, &stored, &candidates);
        checked.stored.lay_over(&Stored::of(&changes));
        reference.lay_over(changes);
        checked.reference = Some(reference);
        Ok(results)
    }

    async fn write(&self, caller: &Caller, candidates: &[Candidate]) -> Result<Vec<RecordResult>> {
        let mut unit = self.store.begin().await?;
        let reference = unit.lock_directory(caller.organisation).await?;
        let rows = unit.load_import(caller.organisation, &keys(&reference, candidates)).await?;
        let (results, changes) = self.work_through(caller, &reference, &Stored::from(rows), candidates);
        if changes != ImportChanges::default() {
            unit.save_import(caller.organisation, &changes).await?;
        }
        unit.commit().await?;
        Ok(results)
    }

    fn work_through(
        &self,
        caller: &Caller,
        reference: &Reference,
        stored: &Stored,
        candidates: &[Candidate],
    ) -> (Vec<RecordResult>, ImportChanges) {
        let now = self.clock.now();
        let mut batch = Batch::new(reference, stored, self.random.as_ref(), self.secrets.as_ref(), now);
        batch.refuse_policies_above(self.guess_limit);
        batch.by(caller.user.clone(), caller.unit.clone());
        batch.limit_to(caller.permissions);
        let results = candidates.iter().map(|candidate| RecordResult {
            kind: candidate.kind,
            result: match &candidate.prepared {
                Ok(prepared) => batch.add(prepared.clone()),
                // A batch that is repeated gives the same answer again.
                Err(error) => Err(error.copy()),
            },
        });
        let results = results.collect();
        (results, batch.into_changes())
    }

    /// Takes the plain secrets out of the records and hashes them, before any transaction begins.
    async fn prepare(&self, caller: &Caller, records: Vec<Record>) -> Result<Vec<Candidate>> {
        let candidates = stream::iter(records).map(|record| self.prepare_one(caller, record));
        let candidates: Vec<Result<Candidate>> = candidates.buffered(SECRETS_AT_ONCE).collect().await;
        candidates.into_iter().collect()
    }

    async fn prepare_one(&self, caller: &Caller, mut record: Record) -> Result<Candidate> {
        let kind = record.kind;
        let secret = match import::check_record(caller, &record).and_then(|()| take_secret(&mut record)) {
            Ok(secret) => secret,
            Err(error) => return Ok(Candidate { kind, prepared: Err(error) }),
        };
        let hash = match secret {
            Some(secret) => {
                // The same secret again changes nothing: its stored hash is kept.
                let stored = self.stored_hash(caller, &record).await?;
                let same = match &stored {
                    Some(_) => {
                        self.secrets.verify(HashWork::call(caller.organisation), secret.clone(), stored.clone()).await?
                            == Verdict::Right
                    }
                    None => false,
                };
                match kind {
                    _ if same => stored,
                    Kind::AccessToken => {
                        Some(self.secrets.hash_unchecked(HashWork::call(caller.organisation), secret).await?)
                    }
                    _ => Some(self.secrets.hash(HashWork::call(caller.organisation), secret).await?),
                }
            }
            None => None,
        };
        Ok(Candidate { kind, prepared: Ok(Prepared { record, hash }) })
    }

    async fn stored_hash(&self, caller: &Caller, record: &Record) -> Result<Option<PassCodeHash>> {
        let organisation = caller.organisation;
        let member = |name: &str| record.object.get(name).and_then(Value::as_str).filter(|v| text::code(v).is_ok());
        if record.kind == Kind::User {
            let credential = match (member("id"), member("username")) {
                (Some(id), _) => self.store.credential(organisation, id).await?,
                (None, Some(username)) => self.store.credential_by_username(organisation, username).await?,
                (None, None) => None,
            };
            return Ok(credential.and_then(|credential| credential.password));
        }
        let by_id = member("id").map(TokenKey::Id);
        let by_number = member("number").map(TokenKey::Number);
        let by_code = member("authentication_code").map(TokenKey::AuthenticationCode);
        for key in [by_id, by_number, by_code].into_iter().flatten() {
            if let Some(found) = self.store.find_token(organisation, key, Load::NONE).await?.found {
                return Ok(found.token.pass_code);
            }
        }
        Ok(None)
    }
}

/// The keys under which the objects of a batch may be stored.
fn keys(reference: &Reference, candidates: &[Candidate]) -> ImportKeys {
    let prepared = candidates.iter().filter_map(|candidate| candidate.prepared.as_ref().ok());
    let mut keys = import::keys(reference, prepared.map(|prepared| &prepared.record));
    keys.keep_storable();
    keys
}

/// The plain pass code or password of a record, which leaves the record.
fn take_secret(record: &mut Record) -> Result<Option<Secret>> {
    let names: &[&str] = match record.kind {
        Kind::AccessToken => &["pass_code", "random_pass_code"],
        Kind::User => &["password"],
        _ => &[],
    };
    let mut secret = None;
    for name in names {
        let field = || format!("{}.{name}", record.kind.name());
        match record.object.get(*name) {
            None => {}
            // Null clears a pass code; the record keeps saying so.
            Some(Value::Null) if *name == "pass_code" => {}
            Some(Value::Null) => {
                record.object.remove(*name);
            }
            Some(Value::String(_)) => {
                if let Some(Value::String(plain)) = record.object.remove(*name) {
                    if let Err((reason, what)) = text::code(&plain) {
                        return Err(Error::field(reason, field(), what));
                    }
                    secret = Some(Secret::new(plain));
                }
            }
            Some(_) => return Err(Error::field(Reason::InvalidFieldValue, field(), "must be a string")),
        }
    }
    Ok(secret)
}

/// Whether the batch was refused because another caller wrote at the same time.
fn is_race(error: &Error) -> bool {
    use Reason::{
        AuthenticationCodeAlreadyExists, Conflict, IdentifierAlreadyExists, NumberAlreadyExists, RecordAlreadyExists,
    };
    matches!(
        error.reason(),
        AuthenticationCodeAlreadyExists
            | IdentifierAlreadyExists
            | NumberAlreadyExists
            | RecordAlreadyExists
            | Conflict
    )
}
