//! A notification as its receiver sees it: the body, and the signature that proves where it comes from.

use access_tokens_domain::notification::Notification;
use access_tokens_domain::time::Timestamp;
use hmac::{KeyInit, Mac};
use hyper::body::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::config::Hidden;
use crate::crypto::HmacSha256;

/// Names, punctuation, kind and date.
const FRAME_BYTES: usize = 512;
/// What one byte of a text becomes at most: `\u0000`.
const ESCAPED_BYTES: usize = 6;

#[derive(Serialize)]
struct Message<'a> {
    kind: &'a str,
    organisation_id: &'a str,
    access_token: Token<'a>,
    accounts_receivable_id: Option<&'a str>,
    rewards_participant_id: Option<&'a str>,
    secret: &'a str,
    expiration_date: Option<Timestamp>,
}

#[derive(Serialize)]
struct Token<'a> {
    id: &'a str,
    number: &'a str,
    identifier: Option<&'a str>,
}

/// The body, in memory that is wiped when the last request with it goes.
pub(super) fn body(notification: &Notification) -> Bytes {
    let message = Message {
        kind: notification.kind.name(),
        organisation_id: &notification.organisation_id,
        access_token: Token {
            id: &notification.access_token,
            number: &notification.number,
            identifier: notification.identifier.as_deref(),
        },
        accounts_receivable_id: notification.accounts_receivable.as_deref(),
        rewards_participant_id: notification.rewards_participant.as_deref(),
        secret: notification.secret.expose(),
        expiration_date: notification.expiration_date,
    };
    let texts = [message.organisation_id, message.access_token.id, message.access_token.number, message.secret];
    let owners = [message.access_token.identifier, message.accounts_receivable_id, message.rewards_participant_id];
    let longest: usize = texts.into_iter().chain(owners.into_iter().flatten()).map(str::len).sum();
    // A buffer that grew would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FRAME_BYTES + longest * ESCAPED_BYTES));
    serde_json::to_writer(&mut *bytes, &message).expect("texts and a date are JSON");
    Bytes::from_owner(bytes)
}

/// Signs with the secret that receiver and service share.
pub(super) struct Signer(HmacSha256);

impl Signer {
    /// None without a secret.
    pub(super) fn new(secret: &Hidden) -> Option<Self> {
        let secret = secret.expose().as_bytes();
        let key = || HmacSha256::new_from_slice(secret).expect("HMAC takes keys of any length");
        (!secret.is_empty()).then(|| Self(key()))
    }

    /// `t=<seconds>,v1=<hex>`. The time is signed too, so that a receiver can refuse what somebody recorded.
    pub(super) fn sign(&self, now: Timestamp, body: &[u8]) -> String {
        let seconds = now.timestamp();
        let tag = self.0.clone().chain_update(format!("{seconds}.")).chain_update(body).finalize().into_bytes();
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::notification::NotificationKind;
    use access_tokens_domain::secret::Secret;
    use access_tokens_domain::time::parse;
    use serde_json::{Value, json};

    use super::*;

    fn notification(secret: &str) -> Notification {
        Notification {
            kind: NotificationKind::PassCodeForgotten,
            organisation_id: "O1".to_owned(),
            access_token: "T1".to_owned(),
            number: "AT1".to_owned(),
            identifier: Some("ann\"@example.com".to_owned()),
            accounts_receivable: Some("A1".to_owned()),
            rewards_participant: None,
            secret: Secret::new(secret),
            expiration_date: parse("2030-01-02T03:04:05"),
        }
    }

    #[test]
    fn the_body_names_everything_and_leaves_nothing_out() {
        let body: Value = serde_json::from_slice(&body(&notification("123456"))).expect("JSON");
        let expected = json!({
            "kind": "PASS_CODE_FORGOTTEN",
            "organisation_id": "O1",
            "access_token": {"id": "T1", "number": "AT1", "identifier": "ann\"@example.com"},
            "accounts_receivable_id": "A1",
            "rewards_participant_id": null,
            "secret": "123456",
            "expiration_date": "2030-01-02T03:04:05Z",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_frame_has_room_for_everything_but_the_texts() {
        let bare = Notification {
            kind: NotificationKind::PassCodeForgotten,
            organisation_id: String::new(),
            access_token: String::new(),
            number: String::new(),
            identifier: None,
            ..notification(&"\u{1}".repeat(100))
        };
        assert!(body(&bare).len() < FRAME_BYTES + (100 + "A1".len()) * ESCAPED_BYTES);
        assert!(body(&Notification { secret: Secret::new(""), ..bare }).len() < FRAME_BYTES);
    }

    #[test]
    fn the_signature_is_that_of_other_libraries() {
        let secret = |text: &str| serde_json::from_value::<Hidden>(json!(text)).expect("a text");
        assert!(Signer::new(&secret("")).is_none());
        let now = parse("2030-01-02T03:04:05.999").expect("a date");
        // printf '1893553445.{"a":1}' | openssl dgst -sha256 -hmac secret
        let expected = "t=1893553445,v1=0167dfa4b610536f677489603beab1ef4f3599e5c5a5ba7e497e26df7237b839";
        assert_eq!(Signer::new(&secret("secret")).expect("a signer").sign(now, b"{\"a\":1}"), expected);
    }
}
