//! Lookups of one row by keys. Each has a statement for a single lookup and one for a batch of lookups.

mod owners;
mod prepared_query;
mod token;

pub(crate) use owners::{Ambiguous, owners};
pub(crate) use prepared_query::{Lookup, PreparedQuery};
pub(crate) use token::token;

#[cfg(test)]
use access_tokens_domain::session::OrganisationKey;

/// Returns all prepared queries.
#[cfg(test)]
pub(crate) fn all(organisation: OrganisationKey) -> impl Iterator<Item = PreparedQuery> {
    token::all().chain(owners::all()).map(move |statements| PreparedQuery { organisation, statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_has_the_label_of_its_statements() {
        for query in all(OrganisationKey(1)) {
            query.label().check(query.single_sql());
            query.label().check(query.batch_sql());
        }
    }
}
