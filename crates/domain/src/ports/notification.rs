//! Telling the owner of a token something: the port through which secrets leave for people instead of callers.

use crate::model::access_token::AccessToken;
use crate::model::named::named;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

named! {
    /// The subject of a notification. The names are part of what receivers get.
    NotificationKind {
        /// The policy created a pass code with the token.
        PassCodeCreated = "PASS_CODE_CREATED",
        /// A new pass code was requested: with this one-time password it can be set.
        PassCodeForgotten = "PASS_CODE_FORGOTTEN",
    }
}

/// A message for the owner of a token. How it reaches the owner (mail, text message) is the receiver's business.
#[derive(Clone)]
pub struct Notification {
    /// What it is about.
    pub kind: NotificationKind,
    /// The public id of the token's organisation.
    pub organisation_id: String,
    /// The id of the token.
    pub access_token: String,
    /// The number of the token.
    pub number: String,
    /// The identifier of the token; often an e-mail address or a phone number.
    pub identifier: Option<String>,
    /// The account that owns the token.
    pub accounts_receivable: Option<String>,
    /// The member that owns the token.
    pub rewards_participant: Option<String>,
    /// The secret in clear. It is stored nowhere.
    pub secret: Secret,
    /// The first moment at which it is worthless, if there is one.
    pub expiration_date: Option<Timestamp>,
}

impl Notification {
    /// A notification about a token.
    pub fn about(
        kind: NotificationKind,
        organisation_id: &str,
        token: &AccessToken,
        secret: Secret,
        expiration_date: Option<Timestamp>,
    ) -> Self {
        Self {
            kind,
            organisation_id: organisation_id.to_owned(),
            access_token: token.id.clone(),
            number: token.number.clone(),
            identifier: token.identifier.clone(),
            accounts_receivable: token.accounts_receivable.clone(),
            rewards_participant: token.rewards_participant.clone(),
            secret,
            expiration_date,
        }
    }
}

/// Delivers notifications. Best effort: a call neither waits for a delivery nor fails by it.
pub trait Notifier: Send + Sync + 'static {
    /// Is there somebody who delivers? Without, what only a notification could bring is refused at once.
    fn delivers(&self) -> bool;

    /// Hands a notification over. Returns at once, whether or not it will be delivered.
    fn notify(&self, notification: Notification);
}

/// Nobody delivers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNotifier;

impl Notifier for NoNotifier {
    fn delivers(&self) -> bool {
        false
    }

    fn notify(&self, _: Notification) {}
}
