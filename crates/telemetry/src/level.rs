//! Levels of the log, as settings and `RUST_LOG` name them.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Maximum length of `log.level`, in bytes.
const MAX_LEVEL_BYTES: usize = 4_096;

/// Is this a level, or a list of parts with their levels? A word that is no level would be taken by the library for a part whose
/// lines are all shown, with no line of any other.
pub fn is_level(text: &str) -> bool {
    let level = |text: &str| text.parse::<LevelFilter>().is_ok() && !text.is_empty();
    let part = |one: &str| match one.trim().rsplit_once('=') {
        // `part[span{field=value}]=level`: what stands before is looked at by the library.
        Some((part, text)) => is_part(part.trim()) && level(text.trim()),
        None => level(one.trim()),
    };
    text.len() <= MAX_LEVEL_BYTES && text.split(',').all(part) && EnvFilter::try_new(text).is_ok()
}

/// Can a part of the program be called this: a path of Rust, perhaps with a span behind it?
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
