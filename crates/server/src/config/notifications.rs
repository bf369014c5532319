//! The settings of notifications to owners.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;

use super::settings::unless_empty;
use super::{Hidden, is_local};

/// Notifications to owners.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSettings {
    /// Where they go; none when nobody delivers.
    #[serde(deserialize_with = "unless_empty")]
    pub webhook: Option<Webhook>,
    /// What they are signed with; empty when they are not.
    pub secret: Hidden,
    /// Seconds for one try.
    pub timeout_seconds: u64,
    /// Notifications that may wait.
    pub queue: usize,
}

impl NotificationSettings {
    /// How long one try may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// The URL of a webhook. Such URLs often hold a key of their receiver, so only scheme, host and port are ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook(Uri);

impl Webhook {
    /// The URL itself.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Does it ask for TLS?
    pub fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Does what is sent stay on this machine?
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
        // A user and a password would have to be sent as a header; nobody would expect them to be left out.
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if known && host && !user { Ok(Self(uri)) } else { Err(wrong) }
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
    fn what_follows_the_port_is_not_shown() {
        for (url, shown) in [
            ("http://relay:9000/hooks/hunter2", "http://relay:9000/***"),
            ("http://relay?key=hunter2", "http://relay/***"),
            ("http://relay:9000", "http://relay:9000/"),
        ] {
            let webhook: Webhook = url.parse().expect("a webhook");
            assert_eq!((webhook.to_string(), format!("{webhook:?}")), (shown.to_owned(), shown.to_owned()));
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
