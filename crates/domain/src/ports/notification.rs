//! Notifications of owners of tokens. They send secrets to persons other than the caller.

use crate::model::access_token::AccessToken;
use crate::model::named::named;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

named! {
    /// The subject of a notification. The names are part of what receivers get.
    NotificationKind {
        /// The policy has created a pass code together with the token.
        PassCodeCreated = "PASS_CODE_CREATED",
        /// A new pass code was requested. It can be set with the one-time password of the notification.
        PassCodeForgotten = "PASS_CODE_FORGOTTEN",
    }
}

/// A message for the owner of a token. The receiver chooses the way to the owner, such as mail or text message.
#[derive(Clone)]
pub struct Notification {
    /// Subject of the message.
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
    /// Secret in clear. It is not stored.
    pub secret: Secret,
    /// Time from which the secret is no longer valid, if it expires.
    pub expiration_date: Option<Timestamp>,
}

impl Notification {
    /// Returns a notification about a token.
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

/// Delivers notifications on a best-effort basis. A call neither waits for a delivery nor fails by it.
pub trait Notifier: Send + Sync + 'static {
    /// Returns whether notifications are delivered. If not, calls whose result only a notification can bring are
    /// refused.
    fn delivers(&self) -> bool;

    /// Accepts a notification. Returns at once, whether or not the notification will be delivered.
    fn notify(&self, notification: Notification);
}

/// A notifier for installations without a receiver.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNotifier;

impl Notifier for NoNotifier {
    fn delivers(&self) -> bool {
        false
    }

    fn notify(&self, _: Notification) {}
}
