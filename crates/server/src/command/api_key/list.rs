//! `api-key list`: prints one line for each key.

use std::fmt::Write as _;

use access_tokens_domain::store::KeyDetails;
use access_tokens_domain::time::Timestamp;
use clap::Args;

use super::date::shown;
use crate::command::context::{Context, operator};
use crate::command::errors::to_anyhow;
use crate::command::output::print;

#[derive(Debug, Args)]
pub(in crate::command) struct List {
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,
}

pub(super) async fn run(context: &Context, list: &List) -> anyhow::Result<()> {
    let organisation = context.organisation(&list.organisation).await?;
    let (administration, caller) = (context.administration(), operator(&organisation));
    let now = context.clock.now();
    let mut after: Option<String> = None;
    loop {
        let page = administration.list_api_keys(&caller, after.as_deref()).await.map_err(to_anyhow)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let mut text = String::new();
        for key in &page {
            let _ = writeln!(text, "{}", line(key, now));
        }
        print(&text)?;
    }
}

/// Returns the line of a key: id, name, state, permissions, and further attributes.
fn line(key: &KeyDetails, now: Timestamp) -> String {
    let state = match (key.terms.revoked, key.terms.expires) {
        (Some(revoked), _) => format!("revoked {}", shown(revoked)),
        (None, Some(expires)) if expires <= now => format!("expired {}", shown(expires)),
        _ if key.user_disabled => "user disabled".to_owned(),
        (None, Some(expires)) => format!("valid until {}", shown(expires)),
        (None, None) => "valid".to_owned(),
    };
    let mut text = format!("{}  {}  {state}", key.id, key.name.as_deref().unwrap_or("-"));
    let _ = write!(
        text,
        "  may: {}",
        if key.permissions.is_empty() { "nothing".to_owned() } else { key.permissions.to_string() }
    );
    if let Some(unit) = &key.terms.unit {
        let _ = write!(text, "  unit {unit}");
    }
    let _ = write!(text, "  made {}", shown(key.created));
    match key.last_used {
        Some(used) => _ = write!(text, "  used {}", shown(used)),
        None => text.push_str("  never used"),
    }
    if let Some(new) = &key.rotated_to {
        let _ = write!(text, "  replaced by {new}");
    }
    text
}
