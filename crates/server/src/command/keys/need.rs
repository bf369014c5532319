//! What needs which key, in words.

use std::fmt::Write;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::store::{KeyStore, KeyUse};

use super::super::context;
use crate::config::Settings;
use crate::crypto::SystemClock;

/// Shows the ring, and what needs each of its keys.
pub(super) async fn list(settings: &Settings) -> anyhow::Result<()> {
    let ring = super::key_ring(settings)?;
    let ids: Vec<_> = ring.ids().collect();
    print!("{}", table(&ids, &all(settings).await?));
    Ok(())
}

/// What needs a key, in words. `None`: nothing does.
pub(super) async fn of(settings: &Settings, id: &str) -> anyhow::Result<Option<String>> {
    Ok(in_words(all(settings).await?.iter().filter(|one| one.key.as_deref() == Some(id)), true))
}

/// What needs other keys than `current`, in words. `None`: nothing does.
pub(super) fn of_others(uses: &[KeyUse], current: &str) -> Option<String> {
    in_words(uses.iter().filter(|one| one.key.as_deref().is_some_and(|key| key != current)), true)
}

/// What needs keys that are none of `ids`, in words. `None`: nothing does.
pub(super) fn of_missing(uses: &[KeyUse], ids: &[&str]) -> Option<String> {
    in_words(uses.iter().filter(|one| one.key.as_deref().is_some_and(|key| !ids.contains(&key))), false)
}

/// What a database holds that keys protect, with the ids of the keys. `None`: nothing.
pub(in crate::command) fn in_words_by_key(uses: &[KeyUse]) -> Option<String> {
    let words = uses.iter().filter_map(|one| Some(format!("{}: {} (key {})", one.what, one.rows, one.key.as_ref()?)));
    Some(words.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
}

/// Everything that needs keys. Where there is no database yet, nothing does, and none is made to find that out. Refuses keys that a
/// database was opened with where that database is not found: what needs them is elsewhere.
async fn all(settings: &Settings) -> anyhow::Result<Vec<KeyUse>> {
    context::refuse_empty_database(settings, false)?;
    if settings.database.sqlite_file().is_some_and(|file| !file.exists()) {
        return Ok(Vec::new());
    }
    let database = context::database(settings).await?;
    database.key_use(SystemClock.now()).await.map_err(|error| context::explained(error.into()))
}

/// One line a key: those of the ring in its order, then those that are needed and not in it.
fn table(ids: &[&str], uses: &[KeyUse]) -> String {
    let mut lines = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let need = in_words(uses.iter().filter(|one| one.key.as_deref() == Some(id)), index > 0);
        lines.push(match (index, need) {
            (0, need) => (*id, "writes", need.unwrap_or_else(|| "nothing needs it yet".to_owned())),
            (_, Some(need)) => (*id, "reads", need),
            (_, None) => (*id, "reads", format!("nothing needs it: `access-tokens keys retire {id}`")),
        });
    }
    let mut missing: Vec<_> =
        uses.iter().filter_map(|one| one.key.as_deref()).filter(|key| !ids.contains(key)).collect();
    missing.sort_unstable();
    missing.dedup();
    for id in missing {
        let need = in_words(uses.iter().filter(|one| one.key.as_deref() == Some(id)), false).unwrap_or_default();
        lines.push((id, "MISSING", format!("{need}: worth nothing until this key is in the ring again")));
    }
    if let Some(need) = in_words(uses.iter().filter(|one| one.key.is_none()), false) {
        lines.push(("-", "no key", format!("{need}: imported hashes, which no key protects")));
    }
    let width = lines.iter().map(|(id, _, _)| id.chars().count()).max().unwrap_or_default();
    lines.into_iter().fold(String::new(), |mut text, (id, does, need)| {
        // Writing to a string never fails.
        let _ = writeln!(text, "{id:width$}  {does:7}  {need}");
        text
    })
}

fn in_words<'a>(uses: impl Iterator<Item = &'a KeyUse>, how: bool) -> Option<String> {
    let words = uses.map(|KeyUse { what, rows, .. }| match how.then(|| moves(what)).flatten() {
        Some(moves) => format!("{what}: {rows} ({moves})"),
        None => format!("{what}: {rows}"),
    });
    Some(words.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
}

/// How something comes to be under the key that writes.
fn moves(what: &str) -> Option<&'static str> {
    match what {
        "pass codes" => Some("each moves when it is used"),
        "passwords" => Some("each moves when it is set again"),
        "verification codes" => Some("`access-tokens keys re-encrypt` moves them"),
        "one-time passwords" => Some("they expire"),
        "API keys" => Some("make new ones"),
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
    fn the_list_has_every_key_and_what_needs_it() {
        let uses = [
            needed("pass codes", Some("9f31c0aa"), 17),
            needed("pass codes", Some("old"), 3),
            needed("pass codes", None, 5),
            needed("API keys", Some("old"), 1),
            needed("verification codes", Some("gone"), 2),
        ];
        let expected = "\
9f31c0aa  writes   pass codes: 17
old       reads    pass codes: 3 (each moves when it is used), API keys: 1 (make new ones)
older     reads    nothing needs it: `access-tokens keys retire older`
gone      MISSING  verification codes: 2: worth nothing until this key is in the ring again
-         no key   pass codes: 5: imported hashes, which no key protects
";
        assert_eq!(table(&["9f31c0aa", "old", "older"], &uses), expected);
        assert_eq!(table(&["a"], &[]), "a  writes   nothing needs it yet\n");
    }

    #[test]
    fn what_is_left_names_other_keys_only() {
        let uses = [needed("passwords", Some("new"), 1), needed("passwords", None, 1)];
        assert_eq!(of_others(&uses, "new"), None);
        let uses = [needed("one-time passwords", Some("old"), 4)];
        assert_eq!(of_others(&uses, "new").as_deref(), Some("one-time passwords: 4 (they expire)"));
        assert_eq!(of_missing(&uses, &["new", "old"]), None);
        assert_eq!(of_missing(&uses, &["new"]).as_deref(), Some("one-time passwords: 4"));
        assert_eq!(in_words_by_key(&uses).as_deref(), Some("one-time passwords: 4 (key old)"));
        assert_eq!(in_words_by_key(&[needed("passwords", None, 1)]), None, "an imported hash needs no key");
    }
}
