//! Shows settings with their origins, and without secrets.

use std::fmt::Write as _;

use access_tokens_host::value::split_urls;
use toml::Value;

use super::{LoadedSettings, Origin, Webhook};

/// Settings with secrets. URLs are shown without the parts that may be secret, the other values as `***`.
const DATABASE_URL: &str = "database.url";
const REPLICA_URLS: &str = "database.replica_urls";
const WEBHOOK: &str = "notifications.webhook";
const KEY_RING: &str = "keys.ring";
const SECRET: &str = "notifications.secret";
const HEADERS: &str = "telemetry.headers";

/// Parameters of a database URL that are not secret.
const PUBLIC_PARAMETERS: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "mode",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
];

impl LoadedSettings {
    /// Returns every setting with its origin.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.values.iter().map(|(key, (_, origin))| (key.as_str(), origin))
    }

    /// Returns whether [`Self::describe`] hides a part of the value of a setting.
    pub fn is_masked(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|(value, _)| display_value(key, value).contains("***"))
    }

    /// Returns every setting with its value and origin, as TOML. Secrets are masked.
    pub fn describe(&self) -> String {
        let (mut text, mut section) = (String::new(), "");
        // Settings without a section come before the first section.
        let (sectioned, top): (Vec<_>, Vec<_>) = self.values.iter().partition(|(key, _)| key.contains('.'));
        for (key, (value, origin)) in top.into_iter().chain(sectioned) {
            let (of, name) = key.split_once('.').unwrap_or(("", key));
            if of != section {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{of}]");
                section = of;
            }
            let _ = writeln!(text, "{name} = {}  # {origin}", display_value(key, value));
        }
        text
    }
}

fn display_value(key: &str, value: &Value) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.escape_debug());
    // Secrets are recognised by the key alone, not by the type: a secret that consists of digits is a number in a file.
    match (key, plain(value).as_str()) {
        (KEY_RING | SECRET | HEADERS | WEBHOOK, "") => return "\"\"".to_owned(),
        (KEY_RING | SECRET | HEADERS, _) => return "\"***\"".to_owned(),
        (WEBHOOK, url) => return quoted(&url.parse::<Webhook>().map_or("***".to_owned(), |url| url.to_string())),
        (DATABASE_URL, url) => return quoted(&mask_url(url)),
        (REPLICA_URLS, _) => return mask_urls(value),
        _ => {}
    }
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(|one| display_value("", one)).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let members = table.iter().map(|(name, value)| format!("{name} = {}", display_value("", value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        value => quoted(&plain(value)),
    }
}

/// Returns a value as a text, without the quotes of TOML.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a list of URLs without secrets, for a list and for a text with commas.
fn mask_urls(value: &Value) -> String {
    let texts: Vec<String> = match value {
        Value::Array(list) => list.iter().map(plain).collect(),
        value => split_urls(&plain(value)).filter(|text| !text.is_empty()).map(str::to_owned).collect(),
    };
    let masked = texts.iter().map(|url| format!("\"{}\"", mask_url(url).escape_debug()));
    format!("[{}]", masked.collect::<Vec<_>>().join(", "))
}

/// Returns a database URL without what may be a password: everything between the user name and the last `@`, and the values of unknown
/// parameters.
fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => {
            (user.split_once(':').map_or(format!("{user}@"), |(name, _)| format!("{name}:***@")), host)
        }
        None => (String::new(), rest),
    };
    let (place, query) = host.split_once('?').map_or((host, None), |(place, query)| (place, Some(query)));
    let parameter = |one: &str| match one.split_once('=') {
        Some((name, _)) if !PUBLIC_PARAMETERS.contains(&name) => format!("{name}=***"),
        _ => one.to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{user}{place}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_by_name_whatever_their_type() {
        let number = Value::from(4_711_471_147_i64);
        for key in [KEY_RING, SECRET, HEADERS, WEBHOOK, DATABASE_URL, REPLICA_URLS] {
            assert!(!display_value(key, &number).contains("4711"), "{key}");
        }
        assert_eq!(
            (
                display_value(KEY_RING, &Value::from("")).as_str(),
                display_value("http.max_connections", &number).as_str()
            ),
            ("\"\"", "4711471147")
        );
    }

    #[test]
    fn passwords_in_odd_urls_are_masked_too() {
        for url in [
            "postgres://u:hunter2@h/d",
            "postgres://u:hun@ter2@h/d",
            "postgres://u:x/hunter2@h/d",
            "postgres://u:hun?ter2@h/d",
            "postgres://u:hun:ter2@h/d?a=b",
            "postgres://u:hunter2=1@h/d",
            "postgres:hunter2",
            "postgres://h/d?user=u&PassWord=hunter2",
            "postgres://h/d?user=u&pwd=hunter2",
            "postgres://:hunter2@h/d",
        ] {
            let shown = mask_url(url);
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{url}: {shown}");
        }
        assert_eq!(mask_url("postgres://u:hunter2@h/d?sslmode=require"), "postgres://u:***@h/d?sslmode=require");
        assert_eq!(mask_url("sqlite://access-tokens.db"), "sqlite://access-tokens.db");
    }
}
