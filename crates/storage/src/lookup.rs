//! One row that is looked up by keys. The statements are written once, for one question and for several at a time.

mod owners;
mod prepared_query;
mod token;

pub(crate) use owners::{Ambiguous, OwnersLookup};
pub(crate) use prepared_query::{Lookup, PreparedQuery};
pub(crate) use token::TokenLookup;

#[cfg(test)]
use access_tokens_domain::session::OrganisationKey;

/// All of them.
#[cfg(test)]
pub(crate) fn all(organisation: OrganisationKey) -> impl Iterator<Item = PreparedQuery> {
    token::all().chain(owners::all()).map(move |statements| PreparedQuery { organisation, statements })
}
