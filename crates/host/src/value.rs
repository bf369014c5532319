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
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Text(String),
        Texts(Vec<String>),
    }
    let texts = match List::deserialize(from)? {
        List::Texts(texts) => texts,
        List::Text(text) if text.trim().is_empty() => Vec::new(),
        List::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    texts.iter().map(|text| text.trim().parse().map_err(D::Error::custom)).collect()
}
