//! How the values of settings are read: from a file they have types, from variables and flags they are texts.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a text as what it stands for.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.trim().parse().map_err(D::Error::custom)
}

/// Reads a text as what it stands for. An empty text stands for nothing.
pub fn unless_empty<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// A number and nothing else: left to itself, the library takes `yes` for 1.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(f64),
    }
    let Number::Number(number) = Number::deserialize(from)?;
    Ok(number)
}

/// A list, or a text with commas between.
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
