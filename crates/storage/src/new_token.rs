//! Inserts of new tokens, one or several in one statement.

use std::sync::LazyLock;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::Value;

use crate::convert;
use crate::entities::access_token::Model;
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::row_reader::TableRow;

/// Label of the statements.
pub(crate) const LABEL: Label = Label::insert(&["access_token"]);

/// Maximum number of tokens in one statement.
pub(crate) const MAX_TOKENS: usize = 16;

/// Statements for 1 to [`MAX_TOKENS`] tokens. Their text does not depend on values.
static STATEMENTS: LazyLock<[String; MAX_TOKENS]> = LazyLock::new(|| std::array::from_fn(|more| insert_sql(more + 1)));

/// Inserts one token.
pub(crate) async fn insert<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    token: &AccessToken,
) -> StoreResult<()> {
    sql(organisation, token).all(connection).await.map(drop)
}

/// Returns the statement for a number of tokens from 1 to [`MAX_TOKENS`]. Its parameters are the values of each token.
pub(crate) fn statement(tokens: usize) -> &'static str {
    &STATEMENTS[tokens - 1]
}

/// Returns the statement for one token with its values.
pub(crate) fn sql(organisation: OrganisationKey, token: &AccessToken) -> Sql {
    Sql::fixed(LABEL, statement(1), values(organisation, token))
}

/// Returns the values of one token.
pub(crate) fn values(organisation: OrganisationKey, token: &AccessToken) -> Vec<Value> {
    convert::token_row(organisation, token).into_values()
}

fn insert_sql(tokens: usize) -> String {
    let mut sql = Sql::new(LABEL, "INSERT INTO access_token (organisation_key, ");
    sql.push(&Model::COLUMNS.join(", ")).push(") VALUES ");
    let columns = 1 + Model::COLUMNS.len();
    for token in 0..tokens {
        let places = token * columns + 1..=(token + 1) * columns;
        let places: Vec<_> = places.map(|place| format!("${place}")).collect();
        sql.push(if token == 0 { "(" } else { ", (" }).push(&places.join(", ")).push(")");
    }
    sql.into_text()
}
