//! Checks names of organisations, and suggests similar ones for an unknown name.

use access_tokens_domain::text;
use anyhow::bail;

/// Largest edit distance at which a name counts as similar to a longer one. For a short name it is a third of its length.
const MAX_DISTANCE: usize = 3;
/// Maximum number of similar names in an error.
const MAX_SIMILAR: usize = 3;

/// Refuses an invalid name of an organisation.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    if let Err((_, what)) = text::written(name) {
        bail!("the name of an organisation {what}; it has 1 to 256 visible characters");
    }
    Ok(())
}

/// Returns the error about an unknown name.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let similar = similar(name, known);
    let hint = match similar.as_slice() {
        [] => String::new(),
        names => format!("; similar: {}", names.join(", ")),
    };
    format!("there is no organisation {name:?}{hint}; `access-tokens organisation add NAME` adds one")
}

/// Returns the known names that differ from `name` by a typing error or by upper and lower case, the most similar first.
fn similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.trim().to_lowercase();
    let limit = (wanted.chars().count() / 3).clamp(1, MAX_DISTANCE);
    let distance = |one: &str| strsim::damerau_levenshtein(&wanted, &one.to_lowercase());
    let mut found: Vec<_> = known.map(|one| (distance(one), one)).filter(|(distance, _)| *distance <= limit).collect();
    found.sort_unstable();
    found.into_iter().take(MAX_SIMILAR).map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_found_and_others_are_not() {
        let known = [
            "ACME",
            "ACME Cyprus",
            "DEMO",
            "Shop 1",
            "Shop 2",
            "Shop 3",
            "Shop 4",
            "\u{39a}\u{3cd}\u{3c0}\u{3c1}\u{3bf}\u{3c2}",
        ];
        for (name, expected) in [
            ("ACNE", &["ACME"][..]),
            ("acme", &["ACME"]),
            (" DEMO", &["DEMO"]),
            ("DEOM", &["DEMO"]),
            ("ACME Cypurs", &["ACME Cyprus"]),
            ("Shop", &[]),
            ("Shop 5", &["Shop 1", "Shop 2", "Shop 3"]),
            ("\u{39a}\u{3c5}\u{3c0}\u{3c1}\u{3bf}\u{3c2}", &["\u{39a}\u{3cd}\u{3c0}\u{3c1}\u{3bf}\u{3c2}"]),
            ("", &[]),
            ("X", &[]),
        ] {
            assert_eq!(similar(name, known.into_iter()), expected, "{name:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_quoted() {
        let said = unknown("a\nb", ["DEMO"].into_iter());
        assert_eq!(said, r#"there is no organisation "a\nb"; `access-tokens organisation add NAME` adds one"#);
    }
}
