//! Lookup of the owners that a new token refers to: an account, a participant, or both.

use std::sync::LazyLock;

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, Owners, StoreResult};

use super::prepared_query::{Lookup, PreparedQuery, Statements};
use crate::owners::{KEYS, LABEL, Reader, both, matchable, participant_key};
use crate::reference::Versioned;
use crate::sql::row_reader::RowReader;

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

/// Lookup of the version of the reference data and of those owners that exist.
pub(crate) struct OwnersLookup<'a> {
    query: PreparedQuery,
    keys: [&'a str; 2],
}

/// A name of an account. Several accounts may have it, so that one row is not enough.
pub(crate) struct Ambiguous<'a>(pub(crate) &'a str);

impl<'a> OwnersLookup<'a> {
    /// Creates the lookup for these identifiers.
    pub(crate) fn new(
        organisation: OrganisationKey,
        account: Option<&'a AccountsReceivableIdentifier>,
        participant: Option<&'a RewardsParticipantIdentifier>,
    ) -> Result<Self, Ambiguous<'a>> {
        // No owner has an empty id.
        let (account_key, account) = match account {
            Some(AccountsReceivableIdentifier::Id(id)) => (0, id.as_str()),
            Some(AccountsReceivableIdentifier::Number(number)) => (1, number.as_str()),
            Some(AccountsReceivableIdentifier::Name(name)) => return Err(Ambiguous(name)),
            None => (0, ""),
        };
        let (participant_key, participant) = participant_key(participant);
        let query = PreparedQuery { organisation, statements: &STATEMENTS[account_key][participant_key] };
        Ok(Self { query, keys: [matchable(account), participant] })
    }
}

impl Lookup for OwnersLookup<'_> {
    type Found = Versioned<Owners>;

    fn query(&self) -> PreparedQuery {
        self.query
    }

    fn keys(&self) -> &[&str] {
        &self.keys
    }

    fn read(&self, mut row_reader: RowReader<'_>) -> StoreResult<Self::Found> {
        let version = row_reader.read()?;
        let value = Reader::new(self.query.organisation).owners(&mut row_reader, OwnerJoins::ALL)?;
        Ok(Versioned { version, value })
    }
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Statements> {
    STATEMENTS.iter().flatten()
}
