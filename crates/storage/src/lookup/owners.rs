//! Lookup of the owners that a new token refers to: an account, a participant, or both.

use std::sync::LazyLock;

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, Owners};

use super::prepared_query::{Lookup, PreparedQuery, Statements};
use crate::owners::{KEYS, LABEL, Reader, both, matchable, participant_key};

/// One entry for each kind of key of an account and each kind of key of a participant.
static STATEMENTS: LazyLock<[[Statements; 2]; 2]> = LazyLock::new(|| {
    KEYS.map(|account| {
        KEYS.map(|participant| {
            let by = |a: &str, p: &str| (format!("a.{account} = {a}"), format!("p.{participant} = {p}"));
            let (one, many) = (by("$2", "$3"), by("k.account", "k.participant"));
            Statements {
                label: LABEL,
                one: both("", "", &one.0, &one.1),
                many: both(", k.place", MANY, &many.0, &many.1),
            }
        })
    })
});
const MANY: &str = " CROSS JOIN unnest($2::text[], $3::text[]) WITH ORDINALITY AS k(account, participant, place)";

/// A name of an account. Several accounts may have it, so that one row is not enough.
pub(crate) struct Ambiguous<'a>(pub(crate) &'a str);

/// Returns the lookup of those owners that exist.
pub(crate) fn owners<'a>(
    organisation: OrganisationKey,
    account: Option<&'a AccountsReceivableIdentifier>,
    participant: Option<&'a RewardsParticipantIdentifier>,
) -> Result<Lookup<'a, Owners, 2>, Ambiguous<'a>> {
    // No owner has an empty id.
    let (account_key, account) = match account {
        Some(AccountsReceivableIdentifier::Id(id)) => (0, id.as_str()),
        Some(AccountsReceivableIdentifier::Number(number)) => (1, number.as_str()),
        Some(AccountsReceivableIdentifier::Name(name)) => return Err(Ambiguous(name)),
        None => (0, ""),
    };
    let (participant_key, participant) = participant_key(participant);
    Ok(Lookup {
        query: PreparedQuery { organisation, statements: &STATEMENTS[account_key][participant_key] },
        keys: [matchable(account), participant],
        joins: OwnerJoins::ALL,
        read: |row_reader, organisation, joins| Reader::new(organisation).owners(row_reader, joins),
    })
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Statements> {
    STATEMENTS.iter().flatten()
}
