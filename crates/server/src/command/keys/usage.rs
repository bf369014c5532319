//! Describes the usage of keys by stored values.

use std::fmt::Write;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::store::{KeyStore, KeyUse};
use access_tokens_domain::time::Timestamp;
use access_tokens_host::SystemClock;

use super::super::{context, errors};
use super::source::{key_ring, sessions_until};
use crate::config::Settings;

/// Prints the keys of the ring, each with its usage.
pub(super) async fn list(settings: &Settings) -> anyhow::Result<()> {
    let ring = key_ring(settings)?;
    let (uses, now) = (read_usage(settings).await?, SystemClock.now());
    let key = |id| Key {
        id,
        is_prepared: ring.is_prepared(id),
        sessions_until: sessions_until(settings, &ring, id).filter(|until| *until > now),
    };
    let keys: Vec<_> = ring.ids().map(key).collect();
    print!("{}", table(&keys, &uses));
    Ok(())
}

/// A key of the ring.
struct Key<'a> {
    id: &'a str,
    /// Whether the key has never written.
    is_prepared: bool,
    /// The time until which sessions may live that the key signed.
    sessions_until: Option<Timestamp>,
}

/// Describes the usage of a key. None where it is not used.
pub(super) fn describe_key(uses: &[KeyUse], id: &str) -> Option<String> {
    describe(uses.iter().filter(|one| one.key.as_deref() == Some(id)), true)
}

/// Describes the usage of all keys but `current`. None where no other key is used.
pub(super) fn describe_other_keys(uses: &[KeyUse], current: &str) -> Option<String> {
    describe(uses.iter().filter(|one| one.key.as_deref().is_some_and(|key| key != current)), true)
}

/// Reads the usage of all keys. A missing database uses none, and is not created. If the keys were used with a database and that database
/// is missing, this is an error, because the values are elsewhere.
pub(super) async fn read_usage(settings: &Settings) -> anyhow::Result<Vec<KeyUse>> {
    context::refuse_empty_database(settings, false)?;
    if settings.database.sqlite_file().is_some_and(|file| !file.exists()) {
        return Ok(Vec::new());
    }
    let database = context::database(settings).await?;
    database.key_use(SystemClock.now()).await.map_err(errors::to_anyhow)
}

/// Returns one line for each key: the keys of the ring in their order, then those that are used and missing.
fn table(keys: &[Key<'_>], uses: &[KeyUse]) -> String {
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    let mut lines = Vec::new();
    for (index, Key { id, is_prepared, sessions_until }) in keys.iter().enumerate() {
        let need = describe(uses.iter().filter(|one| one.key.as_deref() == Some(id)), index > 0);
        let sessions = sessions_until.map(|until| format!("sessions, until {}", until.format("%Y-%m-%d %H:%M:%S UTC")));
        let does = if index == 0 { "writes" } else { "reads" };
        let need = match (need, sessions) {
            (need, _) if index == 0 => need.unwrap_or_else(|| "nothing needs it yet".to_owned()),
            (Some(need), sessions) => {
                let sessions = sessions.map(|sessions| format!(", {sessions}")).unwrap_or_default();
                format!("{need}{sessions}; `access-tokens keys withdraw {id}` ends what is not used any more")
            }
            (None, _) if *is_prepared => {
                format!("nothing needs it yet: `access-tokens keys rotate --to {id}` lets it write")
            }
            (None, Some(sessions)) => sessions,
            (None, None) => format!("nothing needs it: `access-tokens keys retire {id}`"),
        };
        lines.push((*id, does, need));
    }
    let mut missing: Vec<_> =
        uses.iter().filter_map(|one| one.key.as_deref()).filter(|key| !ids.contains(key)).collect();
    missing.sort_unstable();
    missing.dedup();
    for id in missing {
        let need = describe(uses.iter().filter(|one| one.key.as_deref() == Some(id)), false).unwrap_or_default();
        lines.push((id, "MISSING", format!("{need}: useless until this key is in the ring again")));
    }
    if let Some(need) = describe(uses.iter().filter(|one| one.key.is_none()), false) {
        lines.push(("-", "no key", format!("{need}: imported hashes, which no key protects")));
    }
    let width = lines.iter().map(|(id, _, _)| id.chars().count()).max().unwrap_or_default();
    lines.into_iter().fold(String::new(), |mut text, (id, does, need)| {
        // Writing to a string never fails.
        let _ = writeln!(text, "{id:width$}  {does:7}  {need}");
        text
    })
}

fn describe<'a>(uses: impl Iterator<Item = &'a KeyUse>, how: bool) -> Option<String> {
    let words = uses.map(|KeyUse { what, rows, .. }| match how.then(|| how_it_moves(what)).flatten() {
        Some(moves) => format!("{what}: {rows} ({moves})"),
        None => format!("{what}: {rows}"),
    });
    Some(words.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
}

/// Returns how a value moves to the key that writes. None where it does not.
fn how_it_moves(what: &str) -> Option<&'static str> {
    match what {
        "pass codes" => Some("each moves when it is used"),
        "passwords" => Some("each moves at the next log-in"),
        "verification codes" => Some("`access-tokens keys re-encrypt` moves them"),
        "one-time passwords" => Some("they expire"),
        "API keys" => Some("each moves when it is used"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(what: &'static str, key: Option<&str>, rows: u64) -> KeyUse {
        KeyUse { what, key: key.map(str::to_owned), rows }
    }

    #[test]
    fn the_list_has_every_key_with_its_usage() {
        let uses = [
            needed("pass codes", Some("9f31c0aa"), 17),
            needed("pass codes", Some("old"), 3),
            needed("pass codes", None, 5),
            needed("API keys", Some("old"), 1),
            needed("verification codes", Some("gone"), 2),
        ];
        let expected = "\
9f31c0aa  writes   pass codes: 17
old       reads    pass codes: 3 (each moves when it is used), API keys: 1 (each moves when it is used), sessions, until 2027-01-15 08:00:00 UTC; `access-tokens keys withdraw old` ends what is not used any more
older     reads    nothing needs it: `access-tokens keys retire older`
recent    reads    sessions, until 2027-01-15 08:00:00 UTC
next      reads    nothing needs it yet: `access-tokens keys rotate --to next` lets it write
gone      MISSING  verification codes: 2: useless until this key is in the ring again
-         no key   pass codes: 5: imported hashes, which no key protects
";
        let until = Timestamp::from_timestamp(1_800_000_000, 0);
        let key = |id, is_prepared, sessions_until| Key { id, is_prepared, sessions_until };
        let keys = [
            key("9f31c0aa", false, None),
            key("old", false, until),
            key("older", false, None),
            key("recent", false, until),
            key("next", true, None),
        ];
        assert_eq!(table(&keys, &uses), expected);
        assert_eq!(table(&keys[..1], &[]), "9f31c0aa  writes   nothing needs it yet\n");
    }

    #[test]
    fn the_remaining_usage_names_other_keys_only() {
        let uses = [needed("passwords", Some("new"), 1), needed("passwords", None, 1)];
        assert_eq!(describe_other_keys(&uses, "new"), None);
        let uses = [needed("one-time passwords", Some("old"), 4)];
        assert_eq!(describe_other_keys(&uses, "new").as_deref(), Some("one-time passwords: 4 (they expire)"));
    }
}
