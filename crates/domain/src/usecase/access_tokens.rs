//! What the use cases of access tokens share: their ports, and the form of an answer.

use std::sync::Arc;

use super::keyed_mutex::KeyedMutex;
use super::numbers::Numbers;
use crate::Result;
use crate::model::access_token::AccessToken;
use crate::model::field_selection::FieldSelection;
use crate::model::reference::Reference;
use crate::model::secret::Secret;
use crate::model::session::{Caller, Permission};
use crate::policy::guess_budget;
use crate::ports::notification::{NoNotifier, Notifier};
use crate::ports::observer::{NoObserver, Observer};
use crate::ports::store::{FoundToken, Owners, Store};
use crate::ports::{Clock, Purpose, Random, Secrets};

/// The use cases of access tokens.
pub struct AccessTokens<S> {
    pub(super) store: Arc<S>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) notifier: Arc<dyn Notifier>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) numbers: Numbers,
    pub(super) guess_limit: f64,
    pub(super) secret_locks: KeyedMutex,
}

/// A token with everything that an answer about it shows.
pub struct Answer {
    /// The token.
    pub token: AccessToken,
    /// Its owners, as far as selected.
    pub owners: Owners,
    /// What the token and its owners refer to.
    pub reference: Arc<Reference>,
    /// The verification code, if selected, present and permitted.
    pub verification_code: Option<Secret>,
}

impl<S: Store> AccessTokens<S> {
    /// Puts the use cases on their ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            store,
            clock,
            random,
            secrets,
            notifier: Arc::new(NoNotifier),
            observer: Arc::new(NoObserver),
            numbers: Numbers::default(),
            guess_limit: guess_budget::DEFAULT_LIMIT,
            secret_locks: KeyedMutex::default(),
        }
    }

    /// Sets who delivers notifications to owners. Without, nobody does.
    #[must_use]
    pub fn notifying(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = notifier;
        self
    }

    /// Sets who is told how it goes. Without, nobody is.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the chance of an attacker, per token and day, that a policy must not exceed.
    #[must_use]
    pub fn refusing_policies_above(mut self, guess_limit: f64) -> Self {
        self.guess_limit = guess_limit;
        self
    }

    /// The answer about a token that was read or written just now.
    pub(super) fn answer(&self, caller: &Caller, found: FoundToken, fields: &FieldSelection) -> Result<Answer> {
        let FoundToken { token, owners, reference } = found;
        let visible =
            fields.contains("verification_code") && caller.permissions.contains(Permission::AccessTokensSecrets);
        let verification_code = token
            .verification
            .as_ref()
            .filter(|_| visible)
            .map(|code| self.secrets.open(Purpose::Verification, &token.id, &code.sealed))
            .transpose()?;
        Ok(Answer { token, owners, reference, verification_code })
    }
}
