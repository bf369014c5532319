//! Opening sessions: for a user with a password, and for an API key.

use std::net::IpAddr;

use access_tokens_domain::error::Violations;
use access_tokens_domain::login::Network;
use access_tokens_domain::ports::{HashWork, Verdict};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::session::{OrganisationKey, Session};
use access_tokens_domain::store::{AccountStore, NewSession, SessionProof, Store};
use access_tokens_domain::{Error, Reason, Result, code, text};
use chrono::SubsecRound;

use super::{Authenticator, SESSION_LIFETIME, default_unit};
use crate::login::{Attempt, Login};
use crate::session_token::{ClaimForm, ClaimNames};

/// A session to be opened.
struct SessionRequest<'a> {
    organisation: OrganisationKey,
    /// The public id of the organisation.
    organisation_id: &'a str,
    user: &'a str,
    unit: Option<&'a str>,
    names: ClaimNames,
    /// The address of the client, if it is known.
    address: Option<String>,
}

impl<S: Store + AccountStore> Authenticator<S> {
    /// Opens a session for a user and returns its token.
    ///
    /// Fails with INVALID_LOGIN if the user name, the password or the organisation is wrong, or if the user is locked.
    /// The error does not say which, and each case takes the same work. Only a caller with the right password learns
    /// that a unit does not exist.
    pub async fn login(&self, login: Login<'_>) -> Result<Secret> {
        let Login { username, password, organisation, unit, address } = login;
        let mut violations = Violations::default();
        for (field, value, limit) in [
            ("username", username, text::MAX_NAME_LENGTH),
            ("password", password.expose(), text::MAX_CODE_LENGTH),
            ("organisation", organisation, text::MAX_NAME_LENGTH),
        ] {
            if value.is_empty() {
                violations.add(Reason::RequiredFieldMissing, field, "is required");
            }
            violations.check(field, text::bounded(value, limit));
        }
        violations.check("unit", text::bounded(unit.unwrap_or_default(), text::MAX_NAME_LENGTH));
        violations.into_result()?;

        let organisation = self.store.organisation_by_name(organisation).await?;
        let key = organisation.as_ref().map_or(OrganisationKey::NONE, |organisation| organisation.key);
        let network = Network::of(address);
        let attempt = Attempt { organisation: key, username, password: password.clone(), network };
        let account = self.logins.check(attempt).await?;
        let (Some(organisation), Some(account)) = (organisation, account) else { return Err(invalid_login()) };
        let credential = account.credential;
        let reference = self.store.reference(organisation.key).await?;
        let unit = match unit.filter(|unit| !unit.is_empty()) {
            Some(unit) => Some(named_unit(&reference, unit)?),
            None => default_unit(&reference, &credential),
        };
        let request = SessionRequest {
            organisation: organisation.key,
            organisation_id: &organisation.id,
            user: &credential.user,
            unit: unit.as_deref(),
            names: names(&reference, &credential.user, unit.as_deref()),
            address: address.map(|address| address.to_string()),
        };
        self.open_for_user(&request, password, credential.password.clone()).await
    }

    /// Opens a session for an API key and returns its token.
    pub async fn login_with_api_key(&self, key: &Secret, address: Option<IpAddr>) -> Result<Secret> {
        let known = self.known_key(key).await?.ok_or_else(invalid_login)?;
        self.login_rate.take(&format!("{}\n{}", known.key.organisation.0, known.key.id))?;
        let reference = self.store.reference(known.key.organisation).await?;
        let request = SessionRequest {
            organisation: known.key.organisation,
            organisation_id: &reference.organisation.id,
            user: &known.key.user,
            unit: known.caller.unit.as_deref(),
            names: names(&reference, &known.key.user, known.caller.unit.as_deref()),
            address: address.map(|address| address.to_string()),
        };
        let token = self.open(&request, SessionProof::ApiKey(&known.key.id)).await?;
        token.ok_or_else(invalid_login)
    }

    /// Opens a session for a user whose password was right.
    async fn open_for_user(
        &self,
        request: &SessionRequest<'_>,
        password: Secret,
        hash: Option<PassCodeHash>,
    ) -> Result<Secret> {
        // No API key has a rate key of this form.
        self.login_rate.take(&format!("{}\n{}\n", request.organisation.0, request.user))?;
        let hash = hash.ok_or_else(invalid_login)?;
        if let Some(token) = self.open(request, SessionProof::Password(&hash)).await? {
            return Ok(token);
        }
        // The stored hash has changed since it was read: to a hash of the same password, or of a new one.
        let account = self.store.account(request.organisation, request.user).await?.ok_or_else(invalid_login)?;
        let hash = account.credential.password.ok_or_else(invalid_login)?;
        let work = HashWork::known_login(request.organisation);
        if self.secrets.verify(work, password, Some(hash.clone())).await? == Verdict::Wrong {
            return Err(invalid_login());
        }
        self.open(request, SessionProof::Password(&hash)).await?.ok_or_else(invalid_login)
    }

    /// Stores a session and signs its token. None: the proof is no longer valid.
    async fn open(&self, request: &SessionRequest<'_>, proof: SessionProof<'_>) -> Result<Option<Secret>> {
        let id = code::hex_id(self.random.as_ref())?;
        let session = NewSession {
            id: &id,
            organisation: request.organisation,
            user: request.user,
            unit: request.unit,
            proof,
            issued: self.clock.now().trunc_subsecs(0),
            lifetime: SESSION_LIFETIME,
            address: request.address.as_deref(),
        };
        let Some((issued_at, expires_at)) = self.store.open_session(&session).await? else { return Ok(None) };
        let api_key = match proof {
            SessionProof::ApiKey(key) => Some(key.to_owned()),
            SessionProof::Password(_) => None,
        };
        let (organisation, user) = (request.organisation_id.to_owned(), request.user.to_owned());
        let unit = request.unit.map(str::to_owned);
        let expires_at = expires_at.trunc_subsecs(0);
        let session = Session { id, organisation, user, unit, issued_at, expires_at, api_key };
        let former = self.former_servers.are_connected(self.store.as_ref(), self.clock.now()).await;
        let form = if former { ClaimForm::Ids } else { ClaimForm::Names(&request.names) };
        self.tokens.sign(&session, form).map(Some)
    }
}

fn named_unit(reference: &Reference, name: &str) -> Result<String> {
    if reference.units.contains_key(name) {
        return Ok(name.to_owned());
    }
    let mut found = reference.units.values().filter(|unit| unit.alternative_code.as_deref() == Some(name));
    match (found.next(), found.next()) {
        (Some(unit), None) => Ok(unit.id.clone()),
        (Some(_), Some(_)) => {
            Err(Error::field(Reason::UnitNotFound, "unit", "several units have this alternative code: use the id"))
        }
        (None, _) => Err(Error::field(Reason::UnitNotFound, "unit", "no such unit")),
    }
}

/// Returns the names that a token states. A user or unit without a name is stated by its id.
fn names(reference: &Reference, user: &str, unit: Option<&str>) -> ClaimNames {
    let username = reference.users.get(user).and_then(|user| user.username.clone());
    let unit_name = |id: &str| reference.units.get(id).and_then(|unit| unit.name.clone());
    ClaimNames {
        user: username.unwrap_or_else(|| user.to_owned()),
        organisation: reference.organisation.name.clone(),
        unit: unit.map(|id| unit_name(id).unwrap_or_else(|| id.to_owned())),
    }
}

fn invalid_login() -> Error {
    Error::new(Reason::InvalidLogin, "the user name, the password, the organisation or the API key is wrong")
}
