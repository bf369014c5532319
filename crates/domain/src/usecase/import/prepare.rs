//! Preparation of records: normalised texts, and hashes in place of secrets in clear.

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::Importer;
use super::candidate::Candidate;
use super::run::Run;
use crate::import::{self, Kind, Prepared, Record};
use crate::model::identifier::TokenKey;
use crate::model::secret::{PassCodeHash, Secret};
use crate::model::session::{Caller, Permission};
use crate::model::text;
use crate::ports::store::{AccountStore, OwnerJoins, ReadOptions, Store};
use crate::ports::{HashWork, Verdict};
use crate::{Error, Reason, Result};

/// Number of secrets that are hashed concurrently. The hasher itself limits this to the number of cores.
const MAX_CONCURRENT_HASHES: usize = 8;

impl<S: Store + AccountStore> Importer<S> {
    /// Normalises records, takes their secrets in clear out and hashes them, before any transaction begins.
    pub(super) async fn prepare(&self, caller: &Caller, run: &Run, records: Vec<Record>) -> Result<Vec<Candidate>> {
        let records = stream::iter((run.records..).zip(records));
        let candidates = records.map(|(position, record)| self.prepare_one(caller, run, position, record));
        let candidates: Vec<Result<Candidate>> = candidates.buffered(MAX_CONCURRENT_HASHES).collect().await;
        candidates.into_iter().collect()
    }

    async fn prepare_one(&self, caller: &Caller, run: &Run, position: usize, mut record: Record) -> Result<Candidate> {
        let kind = record.kind;
        let secret = match import::check_record(caller, &record).and_then(|()| take_secret(&mut record)) {
            Ok(secret) => secret,
            Err(error) => return Ok(Candidate { position, kind, prepared: Err(error) }),
        };
        self.normalise(caller, &mut record).await?;
        let hash = match secret {
            // The result of a check does not depend on the secret, and the hash is not stored.
            Some(_) if run.only_checks() => Some(PassCodeHash::from_stored(String::new())),
            Some(secret) => {
                // An unchanged secret keeps its stored hash. A changed one takes the same work, so that the time
                // reveals nothing.
                let stored = self.stored_hash(caller, &record).await?;
                let work = HashWork::call(caller.organisation);
                let same = stored.is_some()
                    && self.secrets.verify(work, secret.clone(), stored.clone()).await? == Verdict::Right;
                let hash = match kind {
                    Kind::AccessToken => self.secrets.hash_unchecked(work, secret).await?,
                    _ => self.secrets.hash(work, secret).await?,
                };
                if same { stored } else { Some(hash) }
            }
            None => None,
        };
        Ok(Candidate { position, kind, prepared: Ok(Prepared::new(record, hash)) })
    }

    /// Returns the stored hash of the pass code or password of the object that the record names, if there is one.
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
        let (id, number) = (member("id"), member("number"));
        let unnumbered = import::is_unnumbered(&record.object);
        let code = member("authentication_code").filter(|_| unnumbered);
        let derived = match code {
            Some(code) => {
                let reference = self.store.reference(organisation).await?;
                Some(import::derived_token_id(&reference.organisation.id, code))
            }
            None => None,
        };
        let may_look_up = caller.permissions.contains(Permission::AccessTokensLookup);
        let identifier = member("identifier").filter(|_| unnumbered && may_look_up);
        let keys = [
            id.map(TokenKey::Id),
            number.map(TokenKey::Number),
            code.map(TokenKey::AuthenticationCode),
            derived.as_deref().map(TokenKey::Id),
            identifier.map(TokenKey::Identifier),
        ];
        for key in keys.into_iter().flatten() {
            if let Some(found) =
                self.store.find_token(organisation, key, OwnerJoins::NONE, ReadOptions::STRONG).await?.found
            {
                return Ok(found.token.pass_code);
            }
        }
        Ok(None)
    }
}

/// Takes the pass code or password in clear out of a record.
fn take_secret(record: &mut Record) -> Result<Option<Secret>> {
    let names: &[&str] = match record.kind {
        Kind::AccessToken => &["pass_code", "random_pass_code"],
        Kind::User => &["password"],
        _ => &[],
    };
    let mut secret = None;
    for name in names {
        let field = format!("{}.{name}", record.kind.name());
        match record.object.remove(*name) {
            // A null secret never clears a secret.
            None | Some(Value::Null) => {}
            Some(Value::String(plain)) => {
                Error::of_check(&field, text::written(&plain))?;
                secret = Some(Secret::new(plain));
            }
            Some(_) => return Err(Error::field(Reason::InvalidFieldValue, field, "must be a string")),
        }
    }
    Ok(secret)
}
