//! Identifying the caller of a call: by a session token, an API key or a certificate.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::ports::Purpose;
use access_tokens_domain::secret::{CodeHash, Secret};
use access_tokens_domain::session::{Caller, Session};
use access_tokens_domain::store::{AccountStore, KeyTerms, Store, UserAccount};
use access_tokens_domain::{Error, Result};

use super::{Authenticator, KnownKey, KnownUser, default_unit};
use crate::api_key::PresentedKey;
use crate::certificate_bindings::BoundUser;

impl<S: Store + AccountStore> Authenticator<S> {
    /// Returns the caller and the session of a session token. Fails with INVALID_TOKEN if no key of this service signed
    /// it, if it has expired or was released, or if its user or organisation does not exist any more.
    pub async fn authenticate_bearer(&self, token: &str) -> Result<(Caller, Arc<Session>)> {
        let session = self.tokens.read(token).ok_or_else(Error::invalid_token)?;
        let now = self.clock.now();
        if session.expires_at <= now || self.released.contains(self.store.as_ref(), &session, now).await? {
            return Err(Error::invalid_token());
        }
        // Ids contain no control characters, so no two users or keys share a cache key.
        let key = session.api_key.as_deref().unwrap_or_default();
        let name = format!("{}\n{}\n{key}", session.organisation, session.user);
        let found = self.users.get(&name, self.find_user(&session)).await?;
        let known = found.ok_or_else(Error::invalid_token)?;
        if known.not_before.is_some_and(|not_before| session.issued_at < not_before) || !known.terms.are_valid(now) {
            return Err(Error::invalid_token());
        }
        let (organisation, permissions) = (known.organisation, known.permissions);
        let (user, unit) = (Some(session.user.clone()), session.unit.clone());
        Ok((Caller { organisation, user, unit, permissions }, session))
    }

    async fn find_user(&self, session: &Session) -> Result<Option<Arc<KnownUser>>> {
        let Some(organisation) = self.store.organisation_by_id(&session.organisation).await? else { return Ok(None) };
        let organisation = organisation.key;
        let found = match &session.api_key {
            Some(key) => self.store.account_with_key(organisation, &session.user, key).await?,
            None => self.store.account(organisation, &session.user).await?.map(|user| (user, KeyTerms::default())),
        };
        let known = |(user, terms): (UserAccount, KeyTerms)| {
            let permissions = terms.granted(user.credential.permissions);
            Arc::new(KnownUser { organisation, permissions, not_before: user.sessions_not_before, terms })
        };
        Ok(found.map(known))
    }

    /// Returns the caller of an API key. Fails with INVALID_TOKEN if the key is unknown or revoked.
    pub async fn authenticate_api_key(&self, key: &Secret) -> Result<Caller> {
        let known = self.known_key(key).await?.ok_or_else(Error::invalid_token)?;
        Ok(known.caller.clone())
    }

    pub(super) async fn known_key(&self, key: &Secret) -> Result<Option<Arc<KnownKey>>> {
        let Some(key) = PresentedKey::parse(key.expose()) else { return Ok(None) };
        let found = self.api_keys.get(&key.id, self.find_api_key(&key.id)).await?;
        let hash = found.as_ref().map(|known| &known.key.hash);
        let matches = key.matches(self.secrets.as_ref(), hash);
        let now = self.clock.now();
        let Some(known) = found.filter(|known| matches && known.key.terms.are_valid(now)) else { return Ok(None) };
        known.uses.note(now);
        if !self.secrets.code_is_current(Purpose::ApiKey, &known.key.hash) && known.begin_rehash() {
            self.rehash_api_key(&key, &known.key.hash).await;
        }
        Ok(Some(known))
    }

    /// Replaces the hash of an API key by one under the current key of the key ring, so that older keys of the ring can
    /// be retired. A failure does not affect the call.
    async fn rehash_api_key(&self, key: &PresentedKey, old: &CodeHash) {
        let replaced = async {
            let new = key.hash(self.secrets.as_ref())?;
            Ok::<_, Error>(self.store.replace_api_key_hash(&key.id, old, &new).await?)
        };
        match replaced.await {
            Ok(true) => tracing::info!(api_key = key.id, "hash of the API key replaced by one under the current key"),
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(api_key = key.id, cause = error.with_causes(), "hash of the API key not replaced")
            }
        }
    }

    async fn find_api_key(&self, id: &str) -> Result<Option<Arc<KnownKey>>> {
        let Some(key) = self.store.api_key(id).await? else { return Ok(None) };
        let Some(UserAccount { credential, .. }) = self.store.account(key.organisation, &key.user).await? else {
            return Ok(None);
        };
        let reference = self.store.reference(key.organisation).await?;
        let own_unit = key.terms.unit.clone().filter(|unit| reference.units.contains_key(unit));
        let caller = Caller {
            organisation: key.organisation,
            user: Some(key.user.clone()),
            unit: own_unit.or_else(|| default_unit(&reference, &credential)),
            permissions: key.terms.granted(credential.permissions),
        };
        let uses = self.key_uses.of(&key.id);
        Ok(Some(Arc::new(KnownKey { key, caller, uses, rehashed: AtomicBool::new(false) })))
    }

    /// Binds the users of certificates to the ids that have their names now. A user that does not exist yet is bound as
    /// soon as it exists.
    pub async fn bind_certificates(&self, users: &[CertificateUser]) {
        for names in users {
            let CertificateUser { organisation, username } = names;
            match self.bound(names).await {
                Ok(Some(bound)) => {
                    tracing::info!(organisation, username, id = bound.user, "a certificate stands for a user")
                }
                Ok(None) => {
                    tracing::warn!(organisation, username, "a certificate stands for a user that does not exist yet");
                }
                Err(error) => {
                    tracing::warn!(cause = error.with_causes(), "the user of a certificate cannot be looked up")
                }
            }
        }
    }

    /// Returns the caller of a certificate that identifies this user. Fails with INVALID_TOKEN if the user does not
    /// exist, or no longer exists.
    pub async fn authenticate_certificate(&self, user: &CertificateUser) -> Result<Caller> {
        let found = self.certificates.get(&user.key(), self.find_certificate_user(user)).await?;
        found.ok_or_else(Error::invalid_token)
    }

    async fn find_certificate_user(&self, names: &CertificateUser) -> Result<Option<Caller>> {
        let Some(BoundUser { organisation, user }) = self.bound(names).await? else { return Ok(None) };
        let Some(account) = self.store.account(organisation, &user).await? else { return Ok(None) };
        let credential = account.credential;
        let reference = self.store.reference(organisation).await?;
        let unit = default_unit(&reference, &credential);
        let (user, permissions) = (Some(credential.user), credential.permissions);
        Ok(Some(Caller { organisation, user, unit, permissions }))
    }

    /// Returns the user to which the names in the settings are bound. Names are bound only to a user that may log in or
    /// call: a user that tokens merely refer to may have been created by any caller that imports.
    async fn bound(&self, names: &CertificateUser) -> Result<Option<BoundUser>> {
        if let Some(bound) = self.bindings.get(names) {
            return Ok(Some(bound));
        }
        let Some(organisation) = self.store.organisation_by_name(&names.organisation).await? else { return Ok(None) };
        let found = self.store.credential_by_username(organisation.key, &names.username).await?;
        let user = found.map(|credential| BoundUser { organisation: organisation.key, user: credential.user });
        Ok(user.map(|user| self.bindings.bind(names, user)))
    }
}
