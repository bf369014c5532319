//! The body of a notification, and the signature that proves its sender.

use access_tokens_domain::notification::Notification;
use access_tokens_domain::time::Timestamp;
use access_tokens_secrets::HmacSha256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit, Mac};
use hyper::body::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::config::NotificationSettings;

/// Maximum size of the body without its texts, in bytes: names, punctuation, kind and date.
const FRAME_BYTES: usize = 512;
/// Maximum size of an escaped byte of a text, such as `\u0000`.
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

/// Returns the body. Its memory is wiped when the last request with it ends.
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
    // A buffer that grows would leave copies of the secret in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FRAME_BYTES + longest * ESCAPED_BYTES));
    serde_json::to_writer(&mut *bytes, &message).expect("texts and a date are JSON");
    Bytes::from_owner(bytes)
}

/// Signs with the secret that the receiver and the service share.
pub(super) struct Signer {
    /// Keyed with the text of the secret.
    text: HmacSha256,
    /// Keyed with the key that libraries of Standard Webhooks derive from the secret.
    standard: HmacSha256,
}

impl Signer {
    /// Returns None without a secret, and where the secret is invalid.
    pub(super) fn new(settings: &NotificationSettings) -> Option<Self> {
        let standard = settings.signing_key().ok().flatten()?;
        let keyed = |key: &[u8]| HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length");
        Some(Self { text: keyed(settings.secret.expose().as_bytes()), standard: keyed(&standard) })
    }

    /// Returns `t=<seconds>,v1=<hex>`. The time is signed too, so that a receiver can refuse a recorded request.
    pub(super) fn sign(&self, now: Timestamp, body: &[u8]) -> String {
        let seconds = now.timestamp();
        let tag = self.text.clone().chain_update(format!("{seconds}.")).chain_update(body).finalize().into_bytes();
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }

    /// Returns the signature of Standard Webhooks: `v1,` and base64. It covers the id of the delivery, the time of the attempt and the
    /// body.
    pub(super) fn sign_standard(&self, id: &str, now: Timestamp, body: &[u8]) -> String {
        let head = format!("{id}.{}.", now.timestamp());
        let tag = self.standard.clone().chain_update(head).chain_update(body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(tag))
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

    fn signer(secret: &str) -> Option<Signer> {
        let settings = json!({"webhook": "http://127.0.0.1/", "secret": secret, "timeout_seconds": 1, "queue_size": 1});
        Signer::new(&serde_json::from_value(settings).expect("settings"))
    }

    #[test]
    fn the_signature_is_that_of_other_libraries() {
        assert!(signer("").is_none());
        let now = parse("2030-01-02T03:04:05.999").expect("a date");
        let text = "0123456789abcdef0123456789abcdef";
        let signer_of_text = signer(text).expect("a signer");
        // printf '1893553445.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let expected = "t=1893553445,v1=b59d4c50dde4e48131895b0dfb96104ff673f9745f318f471881a4eaeb48ed4d";
        assert_eq!(signer_of_text.sign(now, b"{\"a\":1}"), expected);
        // printf 'D1.1893553445.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | base64
        let expected = "v1,7lPi+Tsfr36Ojeb1vQqi2QpmZQBot/vhiLIF3pxoyPU=";
        assert_eq!(signer_of_text.sign_standard("D1", now, b"{\"a\":1}"), expected);
        // The same key, as libraries of Standard Webhooks take it.
        let encoded = signer(&format!("whsec_{}", STANDARD.encode(text))).expect("a signer");
        assert_eq!(encoded.sign_standard("D1", now, b"{\"a\":1}"), expected);
        assert_ne!(encoded.sign(now, b"{\"a\":1}"), signer_of_text.sign(now, b"{\"a\":1}"), "that of the text");
    }
}
