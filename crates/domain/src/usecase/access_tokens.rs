//! The ports that the use cases of access tokens share, and their common result.

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
    pub(super) max_guess_chance: f64,
    pub(super) secret_locks: KeyedMutex,
}

/// A token with everything that an answer shows of it.
pub struct Answer {
    /// The token.
    pub token: AccessToken,
    /// Owners of the token, if selected.
    pub owners: Owners,
    /// Reference data of the token and its owners.
    pub reference: Arc<Reference>,
    /// The verification code, if selected, present and permitted.
    pub verification_code: Option<Secret>,
}

impl<S: Store> AccessTokens<S> {
    /// Connects the use cases to their ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            store,
            clock,
            random,
            secrets,
            notifier: Arc::new(NoNotifier),
            observer: Arc::new(NoObserver),
            numbers: Numbers::default(),
            max_guess_chance: guess_budget::DEFAULT_LIMIT,
            secret_locks: KeyedMutex::default(),
        }
    }

    /// Sets the port that delivers notifications to owners. The default delivers none.
    #[must_use]
    pub fn with_notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = notifier;
        self
    }

    /// Sets the port that counts events. The default counts nothing.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the maximum chance of an attacker, per token and day, that a policy may allow.
    #[must_use]
    pub fn with_max_guess_chance(mut self, max_guess_chance: f64) -> Self {
        self.max_guess_chance = max_guess_chance;
        self
    }

    /// Returns the answer about a token that was just read or written.
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
