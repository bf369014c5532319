//! Changes of the text of a key ring. They keep everything else in it: comments, blank lines and the other keys.

use access_tokens_domain::time::Timestamp;
use zeroize::Zeroizing;

/// Keys in clear text. The memory is overwritten when the text is dropped.
type Text = Zeroizing<String>;

/// Reserves a buffer for a text and an addition: a buffer that grows leaves copies of its content in memory.
fn buffer(text: &str, added: &str) -> Text {
    Zeroizing::new(String::with_capacity(text.len() + added.len() + 2))
}

/// Note that a database was opened with a ring. It never changes, since older files contain it.
const USED: &str = "# A database was opened with these keys. Beside an empty database they need --new-database.";

/// Prefix of a note about lost keys. It never changes, since older files contain it.
const LOST: &str = "# Lost keys, accepted: ";
/// Prefix of notes about one key, and the texts that follow the id of the key.
const KEY: &str = "# Key ";
const MADE: &str = " was made at ";
const WRITES: &str = " writes since ";

/// Notes about keys in the comments of a ring. Other comments are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Keys that are permanently lost, as an operator has accepted.
    pub(super) lost: Vec<String>,
    made: Vec<(String, Timestamp)>,
    writes: Vec<(String, Timestamp)>,
}

impl Notes {
    /// Reads the notes of a text. A note that cannot be parsed is ignored.
    pub(super) fn of(text: &str) -> Self {
        let mut notes = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(ids) = line.strip_prefix(LOST) {
                notes.lost.extend(ids.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned));
            } else if let Some((id, since)) = dated(line, MADE) {
                notes.made.push((id, since));
            } else if let Some((id, since)) = dated(line, WRITES) {
                notes.writes.push((id, since));
            }
        }
        notes
    }

    /// Returns the last time at which a key became the current one. None: no note says so.
    pub(super) fn writes_since(&self, id: &str) -> Option<Timestamp> {
        self.writes.iter().filter(|(other, _)| other == id).map(|(_, since)| *since).max()
    }

    /// Returns the time at which a key was made. None: no note says so.
    pub(super) fn made(&self, id: &str) -> Option<Timestamp> {
        self.made.iter().filter(|(other, _)| other == id).map(|(_, at)| *at).min()
    }

    /// Returns whether the key was made and has never been the current one.
    pub(super) fn is_prepared(&self, id: &str) -> bool {
        self.made.iter().any(|(other, _)| other == id) && self.writes_since(id).is_none()
    }
}

/// Returns the id and the time of a note about one key.
fn dated(line: &str, what: &str) -> Option<(String, Timestamp)> {
    let (id, time) = line.strip_prefix(KEY)?.split_once(what)?;
    Some((id.to_owned(), time.parse().ok()?))
}

/// Returns the keys of one line, each as it is written.
pub(super) fn entries(line: &str) -> impl Iterator<Item = &str> {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    line.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Returns the id of a key as it is written.
fn id_of(entry: &str) -> &str {
    entry.split_whitespace().next().unwrap_or_default()
}

/// Adds the note that a key was made.
pub(super) fn note_made(text: &str, id: &str, at: Timestamp) -> Text {
    noted(text, &format!("{KEY}{id}{MADE}{}", at.format(TIME)))
}

/// Adds the note that a key writes from this time on.
pub(super) fn note_writes(text: &str, id: &str, since: Timestamp) -> Text {
    noted(text, &format!("{KEY}{id}{WRITES}{}", since.format(TIME)))
}

/// Adds the note that keys are permanently lost. Without new ids the text stays as it is.
pub(super) fn note_lost(text: &str, ids: &[String]) -> Text {
    let known = Notes::of(text).lost;
    let new: Vec<_> = ids.iter().filter(|id| !known.contains(id)).map(String::as_str).collect();
    if new.is_empty() { Zeroizing::new(text.to_owned()) } else { noted(text, &format!("{LOST}{}", new.join(", "))) }
}

/// Format of times in notes, in UTC.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Adds a line at the top.
fn noted(text: &str, note: &str) -> Text {
    let mut noted = buffer(text, note);
    noted.push_str(note);
    noted.push('\n');
    noted.push_str(text);
    noted
}

/// Adds the note that a database was opened with the ring.
pub(super) fn mark_used(text: &str) -> Text {
    if is_marked_used(text) {
        return Zeroizing::new(text.to_owned());
    }
    noted(text, USED)
}

/// Returns whether the text has that note.
pub(super) fn is_marked_used(text: &str) -> bool {
    text.lines().any(|line| line.trim() == USED)
}

/// Adds a key after all others.
pub(super) fn append(text: &str, key: &str) -> Text {
    let mut changed = buffer(text, key);
    changed.push_str(text);
    if !text.is_empty() && !text.ends_with('\n') {
        changed.push('\n');
    }
    changed.push_str(key);
    changed.push('\n');
    changed
}

/// Moves a key before all others. None: there is no such key.
pub(super) fn promote(text: &str, id: &str) -> Option<Text> {
    let (rest, key) = take(text, id)?;
    let mut changed = buffer(text, &key);
    let mut waiting = true;
    for line in rest.split_inclusive('\n') {
        if waiting && entries(line).next().is_some() {
            changed.push_str(&key);
            changed.push('\n');
            waiting = false;
        }
        changed.push_str(line);
    }
    if waiting { Some(append(&rest, &key)) } else { Some(changed) }
}

/// Removes a key and the notes about it. None: there is no such key.
pub(super) fn remove(text: &str, id: &str) -> Option<Text> {
    let (rest, _) = take(text, id)?;
    let mut kept = buffer(&rest, "");
    let about = |line: &str| [MADE, WRITES].iter().any(|what| dated(line.trim(), what).is_some_and(|(of, _)| of == id));
    rest.split_inclusive('\n').filter(|line| !about(line)).for_each(|line| kept.push_str(line));
    Some(kept)
}

/// Splits a key from the text. Returns the rest, and the key.
fn take(text: &str, id: &str) -> Option<(Text, Text)> {
    let (mut rest, mut taken) = (buffer(text, ""), None);
    for line in text.split_inclusive('\n') {
        let Some(key) = entries(line).find(|key| id_of(key) == id) else {
            rest.push_str(line);
            continue;
        };
        taken = Some(Zeroizing::new(key.to_owned()));
        let mut others = entries(line).filter(|key| id_of(key) != id).peekable();
        if others.peek().is_none() {
            // A line with this key only is removed.
            continue;
        }
        while let Some(other) = others.next() {
            rest.push_str(other);
            if others.peek().is_some() {
                rest.push(',');
            }
        }
        rest.push_str(&line[line.trim_end_matches(['\r', '\n']).len()..]);
    }
    Some((rest, taken?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\n\n  # of a\na KA\n# of b and c\nb KB,c KC\r\n\n# tail";

    #[test]
    fn a_new_key_goes_last_and_on_a_line_of_its_own() {
        assert_eq!(*append(TEXT, "d KD"), format!("{TEXT}\nd KD\n"));
        assert_eq!(*append("a KA\n", "b KB"), "a KA\nb KB\n");
        assert_eq!(*append("", "b KB"), "b KB\n");
    }

    #[test]
    fn a_ring_is_marked_once_and_its_keys_stay() {
        let marked = mark_used(TEXT);
        assert!(is_marked_used(&marked) && !is_marked_used(TEXT));
        assert!(marked.ends_with(TEXT) && entries(marked.lines().next().expect("a line")).next().is_none());
        assert_eq!(*mark_used(&marked), *marked);
        assert!(is_marked_used(&remove(&append(&promote(&marked, "c").expect("there"), "d KD"), "a").expect("there")));
    }

    #[test]
    fn notes_are_read_and_go_with_their_key() {
        let at = |second: i64| Timestamp::from_timestamp(1_800_000_000 + second, 0).expect("a time");
        let made = note_made(TEXT, "b", at(0));
        assert!(Notes::of(&made).is_prepared("b") && !Notes::of(&made).is_prepared("a"));
        let writes = note_writes(&note_writes(&made, "b", at(5)), "b", at(9));
        let notes = Notes::of(&writes);
        assert_eq!(
            (notes.writes_since("b"), notes.writes_since("a"), notes.is_prepared("b")),
            (Some(at(9)), None, false)
        );
        let lost = note_lost(&writes, &["x".to_owned(), "y-1".to_owned()]);
        assert_eq!(Notes::of(&lost).lost, ["x", "y-1"]);
        assert_eq!(*note_lost(&lost, &["y-1".to_owned()]), *lost, "noted once");
        assert_eq!(*note_lost(TEXT, &[]), *TEXT);
        let rest = remove(&lost, "b").expect("there");
        assert_eq!((Notes::of(&rest).writes_since("b"), Notes::of(&rest).lost.len()), (None, 2));
        for odd in
            ["# Key b writes since yesterday", "# Key b", "Key b writes since 2026-01-01T00:00:00Z", "# Lost keys"]
        {
            assert_eq!(Notes::of(odd), Notes::default(), "{odd}");
        }
    }

    #[test]
    fn the_first_key_stands_where_the_first_key_stood() {
        let expected = "# head\n\n  # of a\nc KC\na KA\n# of b and c\nb KB\r\n\n# tail";
        assert_eq!(*promote(TEXT, "c").expect("there"), expected);
        assert_eq!(
            *promote(TEXT, "a").expect("there"),
            "# head\n\n  # of a\n# of b and c\na KA\nb KB,c KC\r\n\n# tail"
        );
        assert_eq!(*promote("# one\na KA", "a").expect("there"), "# one\na KA\n");
        assert_eq!(*promote("a KA, b\tKB", "b").expect("there"), "b\tKB\na KA");
        assert!(promote(TEXT, "d").is_none() && promote(TEXT, "").is_none() && promote(TEXT, "#").is_none());
    }

    #[test]
    fn removing_a_key_keeps_the_rest_of_the_text() {
        assert_eq!(*remove(TEXT, "a").expect("there"), "# head\n\n  # of a\n# of b and c\nb KB,c KC\r\n\n# tail");
        assert_eq!(*remove(TEXT, "b").expect("there"), "# head\n\n  # of a\na KA\n# of b and c\nc KC\r\n\n# tail");
        assert_eq!(*remove("a KA\nb KB", "b").expect("there"), "a KA\n");
        assert!(remove(TEXT, "x").is_none() && remove("# a KA\n", "a").is_none(), "comments are no keys");
    }
}
