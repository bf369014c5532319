//! Conversion of attempts and issues.

use access_tokens_domain::attempts::{Attempts, SecretKind};
use access_tokens_domain::issues::Issues;
use access_tokens_domain::store::{Entry, StoreResult};
use sea_orm::Value;

use super::value::{corrupt, document, micros, named, optional_time, to_document};
use crate::entities::{code_issue, credential_attempt};

/// Converts a row to its attempts and the kind of secret.
pub(crate) fn attempts(row: credential_attempt::Model) -> StoreResult<(SecretKind, Entry<Attempts>)> {
    let kind = named(&row.kind, SecretKind::from_name, "credential_attempt.kind")?;
    Ok((kind, attempts_of_any_kind(row)?))
}

/// Converts a row to its attempts. Ignores the kind.
pub(crate) fn attempts_of_any_kind(row: credential_attempt::Model) -> StoreResult<Entry<Attempts>> {
    let state = Attempts {
        in_a_row: u32::try_from(row.in_a_row).map_err(|_| corrupt("credential_attempt.in_a_row"))?,
        locked_until: optional_time(row.locked_until, "credential_attempt.locked_until")?,
        day_arrival: optional_time(row.day_arrival, "credential_attempt.day_arrival")?,
        // A caller that reaches this number of attempts gets no error for it.
        refused: u32::try_from(row.refused).unwrap_or(u32::MAX),
        last_refused: optional_time(row.last_refused, "credential_attempt.last_refused")?,
        recent: document(&row.recent, "credential_attempt.recent")?,
    };
    Ok(Entry { state, revision: row.revision })
}

/// Returns the columns that a write of attempts sets, with their values. The columns that only refused attempts change
/// are left out.
pub(crate) fn attempts_columns(attempts: &Attempts) -> StoreResult<Vec<(&'static str, Value)>> {
    Ok(vec![
        ("in_a_row", i64::from(attempts.in_a_row).into()),
        ("locked_until", attempts.locked_until.map(micros).into()),
        ("day_arrival", attempts.day_arrival.map(micros).into()),
        ("recent", to_document(&attempts.recent)?.into()),
    ])
}

/// Converts a row to its issues.
pub(crate) fn issues(row: code_issue::Model) -> StoreResult<Entry<Issues>> {
    let state = Issues {
        cooldown_arrival: optional_time(row.cooldown_arrival, "code_issue.cooldown_arrival")?,
        day_arrival: optional_time(row.day_arrival, "code_issue.day_arrival")?,
    };
    Ok(Entry { state, revision: row.revision })
}

/// Returns the columns that a write of issues sets, with their values.
pub(crate) fn issues_columns(issues: &Issues) -> Vec<(&'static str, Value)> {
    vec![
        ("cooldown_arrival", issues.cooldown_arrival.map(micros).into()),
        ("day_arrival", issues.day_arrival.map(micros).into()),
    ]
}
