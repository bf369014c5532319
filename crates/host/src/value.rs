//! Deserialisation of settings. Values from a file have types; values from variables and flags are texts.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Parses a text.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.trim().parse().map_err(D::Error::custom)
}

/// Parses a text. An empty text is None.
pub fn unless_empty<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// Reads a number. The library on its own also accepts `yes` for 1.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(f64),
    }
    let Number::Number(number) = Number::deserialize(from)?;
    Ok(number)
}

/// Reads a list, or a text whose items are separated by commas.
pub fn listed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<Vec<T>, D::Error> {
    let texts = match List::deserialize(from)? {
        List::Texts(texts) => texts,
        List::Text(text) if text.trim().is_empty() => Vec::new(),
        List::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    texts.iter().map(|text| text.trim().parse().map_err(D::Error::custom)).collect()
}

/// The same for URLs, whose authority may contain commas: see [`split_urls`].
pub fn listed_urls<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<Vec<T>, D::Error> {
    let texts = match List::deserialize(from)? {
        List::Texts(texts) => texts,
        List::Text(text) => split_urls(&text).map(str::to_owned).collect(),
    };
    texts.iter().map(|text| text.trim().parse().map_err(D::Error::custom)).collect()
}

/// Splits a text into URLs: at each comma before a scheme, another comma or the end. Other commas belong to a URL, which
/// may name several hosts.
pub fn split_urls(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.trim().is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let ends = text.match_indices(',').map(|(at, _)| at).find(|at| begins_entry(&text[at + 1..]));
        let (url, next) = ends.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        rest = next;
        Some(url.trim())
    })
}

fn begins_entry(text: &str) -> bool {
    let text = text.trim_start();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.is_empty() || text.starts_with(',') || scheme.is_some_and(is_scheme)
}

/// A list in a file, or a text with commas.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Text(String),
    Texts(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_before_a_scheme_separate_urls() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            ("p://a/d", &["p://a/d"]),
            ("p://a/d, q://b/d", &["p://a/d", "q://b/d"]),
            ("p://a,b:1,[::1]:2/d,q://c,d/e", &["p://a,b:1,[::1]:2/d", "q://c,d/e"]),
            ("p://a/d,", &["p://a/d", ""]),
            ("p://a,,b/d", &["p://a", ",b/d"]),
            ("p://u:x,y@a/d", &["p://u:x,y@a/d"]),
            ("loud", &["loud"]),
        ] {
            assert_eq!(split_urls(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
