//! Settings of notifications to owners.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use access_tokens_gateway::Network;
use access_tokens_host::SecretSetting;
use access_tokens_host::url::{has_good_port, host_address, is_local};
use access_tokens_host::value::{listed, unless_empty};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Minimum length of the key that notifications are signed with, in bytes.
const MIN_KEY_BYTES: usize = 32;
/// Minimum number of different bytes in a secret that operators supply: random keys of 32 bytes have more, repetitions have fewer.
const MIN_DISTINCT_BYTES: usize = 8;
/// Prefix of a secret of Standard Webhooks. The key follows in base64.
const STANDARD_PREFIX: &str = "whsec_";

/// Notifications to owners.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSettings {
    /// The URL of the receiver. None where notifications are switched off.
    #[serde(deserialize_with = "unless_empty")]
    pub webhook: Option<Webhook>,
    /// The secret that signs notifications. Empty where they are not signed.
    pub secret: SecretSetting,
    /// Maximum time of one attempt, in seconds.
    pub timeout_seconds: u64,
    /// Maximum number of notifications that wait for delivery.
    pub queue_size: usize,
}

impl NotificationSettings {
    /// Returns the key of Standard Webhooks: what follows `whsec_`, decoded from base64, or the bytes of a secret without that prefix.
    /// None without a secret. The error says what a secret must be.
    pub(crate) fn signing_key(&self) -> Result<Option<Zeroizing<Vec<u8>>>, &'static str> {
        let secret = self.secret.expose();
        if secret.is_empty() {
            return Ok(None);
        }
        let key = match secret.strip_prefix(STANDARD_PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "must have base64 after whsec_")?,
            None => secret.as_bytes().to_vec(),
        };
        let key = Zeroizing::new(key);
        if key.len() < MIN_KEY_BYTES {
            return Err("must have at least 32 bytes, or be whsec_ and at least 32 bytes in base64");
        }
        Ok(Some(key))
    }

    /// Returns invalid settings as (key, requirement).
    pub(super) fn problems(&self, webhooks: &WebhookSettings) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut add = |key, what: &str| found.push((key, what.to_owned()));
        match self.signing_key() {
            Err(what) => add("notifications.secret", what),
            Ok(key) => {
                if let Some(what) = key.and_then(|key| secret_weakness(self.secret.expose(), &key)) {
                    add("notifications.secret", &what);
                }
            }
        }
        if self.webhook.as_ref().is_some_and(Webhook::is_https) {
            let what = "must be http: notifications are not sent over TLS; let a sidecar or a relay on this machine take \
                        http and pass it on over https";
            add("notifications.webhook", what);
        } else if !self.webhook.as_ref().is_none_or(|webhook| webhooks.allows(webhook)) {
            let what = "must lead to this machine: what it carries is secret and not encrypted. Where something else encrypts, \
                        webhooks.allowed_networks names the networks of its receiver";
            add("notifications.webhook", what);
        }
        found
    }
}

/// Returns the problem of a secret that an operator supplies, given the bytes of its key: leading or trailing blanks, or fewer than
/// [`MIN_DISTINCT_BYTES`] different bytes in the key.
fn secret_weakness(text: &str, key: &[u8]) -> Option<String> {
    if text.trim() != text {
        return Some("must have no blanks around it".to_owned());
    }
    let distinct = key.iter().collect::<HashSet<_>>().len();
    (distinct < MIN_DISTINCT_BYTES)
        .then(|| format!("must be random: it must have at least {MIN_DISTINCT_BYTES} different bytes"))
}

/// Requests to receivers outside of the process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Networks besides the loopback that plain http may go to.
    #[serde(deserialize_with = "listed")]
    pub allowed_networks: Vec<Network>,
}

impl WebhookSettings {
    /// Returns whether plain http may go to this address.
    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.allowed_networks.iter().any(|network| network.contains(address))
    }

    /// Returns whether plain http may go to this URL, as far as it is known before its name is resolved.
    pub(crate) fn allows(&self, webhook: &Webhook) -> bool {
        match host_address(&webhook.0) {
            Some(address) => self.allows_address(address),
            None => webhook.is_local() || !self.allowed_networks.is_empty(),
        }
    }
}

/// The URL of a webhook. Its path and query often have a key of the receiver, so only scheme, host and port are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook(Uri);

impl Webhook {
    /// Returns the URL itself.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns whether the URL requires TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Returns whether requests stay on this machine.
    pub fn is_local(&self) -> bool {
        is_local(&self.0)
    }
}

impl FromStr for Webhook {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is no URL of http";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        // A user and a password would have to be sent as a header. This client does not, so it refuses them.
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if known && host && !user && has_good_port(&uri) { Ok(Self(uri)) } else { Err(wrong) }
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.0.path_and_query().is_none_or(|path| path.as_str() == "/") { "" } else { "***" };
        let place = self.0.authority().map(http::uri::Authority::as_str);
        write!(f, "{}://{}/{path}", self.0.scheme_str().unwrap_or_default(), place.unwrap_or_default())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_is_a_url_with_a_host_and_no_user() {
        for good in ["http://127.0.0.1:9000", "http://relay/a?b=c", "https://relay.example.com/", "HTTP://[::1]:1/x"] {
            assert!(good.parse::<Webhook>().is_ok(), "{good}");
        }
        for bad in ["relay:9000", "/path", "http://", "http://:80/", "ftp://relay/", "http://u:p@relay/", "http://a b/"]
        {
            assert!(bad.parse::<Webhook>().is_err(), "{bad}");
        }
    }

    #[test]
    fn path_and_query_of_a_webhook_are_not_shown() {
        for (url, shown) in [
            ("http://relay:9000/hooks/hunter2", "http://relay:9000/***"),
            ("http://relay?key=hunter2", "http://relay/***"),
            ("http://relay:9000", "http://relay:9000/"),
        ] {
            let webhook: Webhook = url.parse().expect("a webhook");
            assert_eq!((webhook.to_string(), format!("{webhook:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    fn problems(webhook: &str, secret: &str, allowed: &str) -> Vec<(&'static str, String)> {
        let settings = json!({"webhook": webhook, "secret": secret, "timeout_seconds": 1, "queue_size": 1});
        let settings: NotificationSettings = serde_json::from_value(settings).expect("settings");
        settings.problems(&serde_json::from_value(json!({"allowed_networks": allowed})).expect("settings"))
    }

    #[test]
    fn plain_http_stays_on_this_machine_and_in_networks_that_are_allowed() {
        for (webhook, allowed, good) in [
            ("", "", true),
            ("http://127.0.0.1:9000/", "", true),
            ("http://[::ffff:127.0.0.1]/", "", true),
            ("http://localhost/", "", true),
            ("http://10.0.0.1/", "", false),
            ("http://relay/", "", false),
            ("http://0.0.0.0/", "", false),
            ("http://[fe80::1]/", "", false),
            ("http://10.0.0.1/", "10.0.0.0/24", true),
            ("http://10.0.1.1/", "10.0.0.0/24", false),
            ("http://[::ffff:10.0.0.1]/", "10.0.0.0/24", true),
            ("http://[fd00::1]/", "10.0.0.0/24,fd00::/8", true),
            // The addresses of a name are checked when it is resolved.
            ("http://relay/", "10.0.0.0/24", true),
            ("https://relay/", "10.0.0.0/24", false),
            ("https://127.0.0.1/", "", false),
        ] {
            let found = problems(webhook, &"12345678".repeat(4), allowed);
            assert_eq!(found.is_empty(), good, "{webhook} with {allowed}: {found:?}");
            assert!(found.iter().all(|(key, _)| *key == "notifications.webhook"), "{found:?}");
        }
    }

    #[test]
    fn a_secret_has_at_least_32_bytes_of_which_8_differ() {
        let various = |bytes: usize| b"0123456789abcdef".iter().copied().cycle().take(bytes).collect::<Vec<_>>();
        let text = |bytes: usize| String::from_utf8(various(bytes)).expect("text");
        let encoded = |bytes: usize| format!("whsec_{}", STANDARD.encode(various(bytes)));
        let good = ["".to_owned(), text(32), "éèabcdefgh".repeat(3), text(300), encoded(32), encoded(64)];
        for secret in good {
            assert!(problems("http://127.0.0.1/", &secret, "").is_empty(), "{secret}");
        }
        let weak = [
            "x".repeat(32),
            " ".repeat(40),
            "\t".repeat(32),
            "1234567".repeat(6),
            "é".repeat(16),
            format!(" {}", text(32)),
            format!("{}\n", text(32)),
            format!("whsec_{}", STANDARD.encode([b'k'; 32])),
        ];
        let short = [text(1), text(31), "é".repeat(15), encoded(31), "whsec_".to_owned(), "whsec_*".repeat(10)];
        let bad = weak.into_iter().chain(short);
        for secret in bad {
            let found = problems("http://127.0.0.1/", &secret, "");
            let [("notifications.secret", what)] = found.as_slice() else { panic!("{secret}: {found:?}") };
            assert!(!what.contains(&secret) || secret == "whsec_", "{what}");
        }
    }

    #[test]
    fn only_the_loopback_is_local() {
        for (url, local) in [
            ("http://127.0.0.1:9000/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://LocalHost/", true),
            ("http://localhost.example.com/", false),
            ("http://10.0.0.1/", false),
            ("http://relay/", false),
        ] {
            assert_eq!(url.parse::<Webhook>().expect("a webhook").is_local(), local, "{url}");
        }
    }
}
