//! Changes of a key ring's text that leave everything else in it as it is: comments, blank lines, the other keys.

use zeroize::Zeroizing;

use super::keys::{entries, id_of};

/// Keys in clear, wiped when they go.
type Text = Zeroizing<String>;

/// Reserved at once: a buffer that grows leaves copies of what was in it behind.
fn buffer(text: &str, added: &str) -> Text {
    Zeroizing::new(String::with_capacity(text.len() + added.len() + 2))
}

/// The line that notes that a database was opened with a ring. It never changes: older files have it.
const USED: &str = "# A database was opened with these keys. Beside an empty database they need --new-database.";

/// The text with the note that a database was opened with it.
pub(super) fn mark_used(text: &str) -> Text {
    if is_marked_used(text) {
        return Zeroizing::new(text.to_owned());
    }
    let mut marked = buffer(text, USED);
    marked.push_str(USED);
    marked.push('\n');
    marked.push_str(text);
    marked
}

/// Has the text that note?
pub(super) fn is_marked_used(text: &str) -> bool {
    text.lines().any(|line| line.trim() == USED)
}

/// The text with one more key, after all others.
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

/// The text with a key before all others. `None`: it is not there.
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

/// The text without a key. `None`: it is not there.
pub(super) fn remove(text: &str, id: &str) -> Option<Text> {
    take(text, id).map(|(rest, _)| rest)
}

/// The text without a key, and the key.
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
            // A line of its own goes whole.
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
    fn a_removed_key_takes_nothing_with_it() {
        assert_eq!(*remove(TEXT, "a").expect("there"), "# head\n\n  # of a\n# of b and c\nb KB,c KC\r\n\n# tail");
        assert_eq!(*remove(TEXT, "b").expect("there"), "# head\n\n  # of a\na KA\n# of b and c\nc KC\r\n\n# tail");
        assert_eq!(*remove("a KA\nb KB", "b").expect("there"), "a KA\n");
        assert!(remove(TEXT, "x").is_none() && remove("# a KA\n", "a").is_none(), "comments are no keys");
    }
}
