//! `organisation add` and `organisation rename`: the only ways in which an organisation gets its name. `organisation list`.

use access_tokens_domain::store::{AccountStore, StoreError};
use access_tokens_domain::text;
use anyhow::bail;
use clap::{Args, Subcommand};

use super::context::{Context, domain};
use super::examples;
use super::output::say;
use crate::config::Settings;

/// Largest edit distance at which a name counts as similar to a longer one. For a short name it is a third of its length.
const MAX_DISTANCE: usize = 3;
/// Maximum number of similar names in an error.
const MAX_SIMILAR: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an organisation. A name that is taken is an error.
    #[command(after_help = examples::ORGANISATION_ADD)]
    Add(Add),
    /// List the organisations: one line for each, with its id and its name.
    #[command(after_help = examples::ORGANISATION_LIST)]
    List,
    /// Give an organisation another name.
    ///
    /// Log-ins and settings (grpc.tls.identities) name the organisation: under the old name they fail from now on. Sessions,
    /// API keys, tokens and their numbers stay as they are.
    #[command(after_help = examples::ORGANISATION_RENAME)]
    Rename(Rename),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the new organisation: 1 to 256 characters.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// Name that the organisation has.
    #[arg(value_name = "OLD")]
    old: String,

    /// Name that the organisation gets: 1 to 256 characters. No other organisation may have it.
    #[arg(value_name = "NEW")]
    new: String,
}

pub(super) async fn run(settings: Settings, command: Command) -> anyhow::Result<()> {
    let context = Context::open(&settings).await?;
    match command {
        Command::Add(Add { name }) => {
            let (organisation, created) = context.create_organisation(&name).await?;
            if !created {
                bail!("there is an organisation {name:?} already, id {}", organisation.id);
            }
            println!("organisation {name} added, id {}", organisation.id);
        }
        Command::List => {
            let all = context.database.organisations().await.map_err(domain)?;
            let lines: Vec<_> = all.iter().map(|one| format!("{}  {}\n", one.id, one.name)).collect();
            say(&lines.concat())?;
        }
        Command::Rename(Rename { old, new }) => {
            check_name(&new)?;
            let organisation = context.organisation(&old).await?;
            match context.database.rename_organisation(organisation.key, &text::nfc(&new)).await {
                Err(StoreError::Duplicate(_)) => bail!("there is an organisation {new:?} already"),
                renamed => renamed.map_err(domain)?,
            }
            println!("organisation {old} renamed to {new}, id {}", organisation.id);
        }
    }
    Ok(())
}

/// Refuses what cannot be the name of an organisation.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    if let Err((_, what)) = text::written(name) {
        bail!("the name of an organisation {what}; it has 1 to 256 visible characters");
    }
    Ok(())
}

/// The error about a name that no organisation has.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let similar = similar(name, known);
    let hint = match similar.as_slice() {
        [] => String::new(),
        names => format!("; similar: {}", names.join(", ")),
    };
    format!("there is no organisation {name:?}{hint}; `access-tokens organisation add NAME` adds one")
}

/// The known names that differ from `name` by a slip of the hand, or by upper and lower case, the most similar first.
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
