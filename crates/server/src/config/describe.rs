//! The settings for people to read: values, where they come from, and no secrets.

use std::fmt::Write as _;

use config::{Value, ValueKind};

use super::Loaded;

/// Shown as `***`; of the first only what may be a password.
const URL: &str = "database.url";
const RING: &str = "keys.ring";

impl Loaded {
    /// Every setting with its value and origin, as TOML. Secrets are masked.
    pub fn describe(&self) -> String {
        let (mut text, mut section) = (String::new(), "");
        for (key, (value, origin)) in &self.values {
            let (of, name) = key.split_once('.').unwrap_or(("", key));
            if of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{of}]");
                section = of;
            }
            let _ = writeln!(text, "{name} = {}  # {origin}", shown(key, value));
        }
        text
    }
}

fn shown(key: &str, value: &Value) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.escape_debug());
    match &value.kind {
        ValueKind::I64(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::Array(list) => {
            format!("[{}]", list.iter().map(|one| quoted(&one.to_string())).collect::<Vec<_>>().join(", "))
        }
        kind => match (key, kind.to_string().as_str()) {
            (RING, "") => "\"\"".to_owned(),
            (RING, _) => "\"***\"".to_owned(),
            (URL, url) => quoted(&masked(url)),
            (_, text) => quoted(text),
        },
    }
}

/// A database URL without what may be a password: all from the user's name to the last `@`, and in parameters.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => {
            (user.split_once(':').map_or(format!("{user}@"), |(name, _)| format!("{name}:***@")), host)
        }
        None => (String::new(), rest),
    };
    let (place, query) = host.split_once('?').map_or((host, None), |(place, query)| (place, Some(query)));
    let parameter = |one: &str| match one.split_once('=') {
        Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}=***"),
        _ => one.to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{user}{place}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "postgres://:hunter2@h/d",
        ] {
            let shown = masked(url);
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{url}: {shown}");
        }
        assert_eq!(masked("postgres://u:hunter2@h/d?sslmode=require"), "postgres://u:***@h/d?sslmode=require");
        assert_eq!(masked("sqlite://access-tokens.db"), "sqlite://access-tokens.db");
    }
}
