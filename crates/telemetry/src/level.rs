//! Levels of the log, as settings and `RUST_LOG` name them.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Maximum length of `log.level`, in bytes.
const MAX_LEVEL_BYTES: usize = 4_096;

/// Returns whether a text is a level, or a list of parts with their levels. The library would take a word that is no
/// level for a part, show all of its lines, and show no line of any other part.
pub fn is_level(text: &str) -> bool {
    let level = |text: &str| text.parse::<LevelFilter>().is_ok() && !text.is_empty();
    let part = |one: &str| match one.trim().rsplit_once('=') {
        // `part[span{field=value}]=level`: the library checks the text before the level.
        Some((part, text)) => is_part(part.trim()) && level(text.trim()),
        None => level(one.trim()),
    };
    text.len() <= MAX_LEVEL_BYTES && text.split(',').all(part) && EnvFilter::try_new(text).is_ok()
}

/// Returns whether a text can be the name of a part of the program: a path of Rust, which may be followed by a span.
fn is_part(text: &str) -> bool {
    let (path, span) = text.split_once('[').map_or((text, None), |(path, span)| (path, Some(span)));
    let named = path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'));
    named && (!path.is_empty() || span.is_some()) && span.is_none_or(|span| span.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_that_the_log_knows() {
        for good in [
            "info",
            "WARN",
            "off",
            "info,sea_orm_migration=warn",
            "error,access_tokens::comparison=trace",
            "h2=debug",
            "info,[call]=trace",
        ] {
            assert!(is_level(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "loud",
            "info,loud",
            "access_tokens",
            "h2=loud",
            "info,,warn",
            "=info",
            "h2=",
            "a b=info",
            "info=",
            "h2/x",
        ] {
            assert!(!is_level(bad), "{bad}");
        }
    }
}
