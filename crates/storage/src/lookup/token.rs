//! Lookup of one token by one of its keys.

use std::sync::LazyLock;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, Owners, StoreResult};

use super::prepared_query::{Lookup, PreparedQuery, Statements};
use crate::convert;
use crate::entities::access_token::Model;
use crate::owners::{self, Reader, matchable};
use crate::sql::Sql;
use crate::sql::label::Label;
use crate::sql::row_reader::RowReader;
use crate::tokens::TOKEN;

/// One entry for each kind of key and each combination of loaded owners.
static STATEMENTS: LazyLock<[[Statements; 4]; 4]> = LazyLock::new(|| {
    ["id", "number", "authentication_code", "identifier"].map(|column| {
        JOINS.map(|joins| Statements {
            label: label(joins),
            one: statement("", "", column, "$2", joins),
            many: statement(", k.place", MANY, column, "k.value", joins),
        })
    })
});
const MANY: &str = " CROSS JOIN pg_catalog.unnest($2::text[]) WITH ORDINALITY AS k(value, place)";
const JOINS: [OwnerJoins; 4] = [
    OwnerJoins { accounts_receivable: false, rewards_participant: false },
    OwnerJoins { accounts_receivable: true, rewards_participant: false },
    OwnerJoins { accounts_receivable: false, rewards_participant: true },
    OwnerJoins { accounts_receivable: true, rewards_participant: true },
];

/// Returns the lookup of the token that has a key, if it exists.
pub(crate) fn token(
    organisation: OrganisationKey,
    key: TokenKey<'_>,
    joins: OwnerJoins,
) -> Lookup<'_, Option<(AccessToken, Owners)>, 1> {
    let (column, value) = match key {
        TokenKey::Id(id) => (0, id),
        TokenKey::Number(number) => (1, number),
        TokenKey::AuthenticationCode(code) => (2, code),
        TokenKey::Identifier(identifier) => (3, identifier),
    };
    let kind = usize::from(joins.accounts_receivable) + 2 * usize::from(joins.rewards_participant);
    let query = PreparedQuery { organisation, statements: &STATEMENTS[column][kind] };
    Lookup { query, keys: [matchable(value)], joins, read }
}

fn read(
    row_reader: &mut RowReader<'_>,
    organisation: OrganisationKey,
    joins: OwnerJoins,
) -> StoreResult<Option<(AccessToken, Owners)>> {
    let Some(token) = row_reader.read_joined::<Model>(organisation.0)? else { return Ok(None) };
    let owners = Reader::new(organisation).owners(row_reader, joins)?;
    Ok(Some((convert::token(token)?, owners)))
}

fn label(joins: OwnerJoins) -> Label {
    Label::select(match (joins.accounts_receivable, joins.rewards_participant) {
        (false, false) => &["organisation", "access_token"],
        (true, false) => &["organisation", "access_token", "accounts_receivable", "contact_information"],
        (false, true) => {
            &["organisation", "access_token", "rewards_participant", "accounts_receivable", "contact_information"]
        }
        (true, true) => {
            &["organisation", "access_token", "accounts_receivable", "contact_information", "rewards_participant"]
        }
    })
}

/// Returns the statement for a token whose key has a value. `among` joins a table of values; `place` is the column
/// after those of the token and its owners.
fn statement(place: &str, among: &str, key: &str, value: &str, joins: OwnerJoins) -> String {
    let columns = format!("{}{}{place}", *TOKEN, owners::select(joins));
    let mut sql = Sql::new(label(joins), format!("SELECT o.directory_version, {columns} FROM organisation o{among}"));
    sql.push(" LEFT JOIN access_token t ON t.organisation_key = o.key AND t.").push(key).push(" = ").push(value);
    owners::join(&mut sql, joins);
    sql.push(" WHERE o.key = $1");
    sql.into_text()
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Statements> {
    STATEMENTS.iter().flatten()
}
