//! One token by one of its keys: the statements, written once, and their answer.

use std::sync::LazyLock;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Load, Owners, StoreResult};
use sea_orm::ConnectionTrait;

use crate::cells::Cells;
use crate::convert;
use crate::entities::access_token::Model;
use crate::error::Failure;
use crate::owners::{self, Reader};
use crate::reference;
use crate::sql::Sql;
use crate::tokens::{TOKEN, Versioned};

/// The statements of each kind of key and of load: nothing of them depends on values.
static STATEMENTS: LazyLock<[[Statements; 4]; 4]> = LazyLock::new(|| {
    ["id", "number", "authentication_code", "identifier"]
        .map(|column| LOADS.map(|load| Statements { one: one(column, load), many: many(column, load) }))
});
const LOADS: [Load; 4] = [
    Load { accounts_receivable: false, rewards_participant: false },
    Load { accounts_receivable: true, rewards_participant: false },
    Load { accounts_receivable: false, rewards_participant: true },
    Load { accounts_receivable: true, rewards_participant: true },
];

struct Statements {
    one: String,
    many: String,
}

/// The version of reference data, and the token, if there is one.
pub(crate) type Lookedup = Versioned<Option<(AccessToken, Owners)>>;

/// What a token is looked up by, and what is to be read along with it; all but the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// Whose tokens.
    pub(crate) organisation: OrganisationKey,
    column: usize,
    load: Load,
}

impl Question {
    /// The question for a key, and its value.
    pub(crate) fn of(organisation: OrganisationKey, key: TokenKey<'_>, load: Load) -> (Self, &str) {
        let (column, value) = match key {
            TokenKey::Id(id) => (0, id),
            TokenKey::Number(number) => (1, number),
            TokenKey::AuthenticationCode(code) => (2, code),
            TokenKey::Identifier(identifier) => (3, identifier),
        };
        (Self { organisation, column, load }, owners::existing(value))
    }

    /// The statement for one value: `$1` is the organisation, `$2` the value. One row, unless there is no such organisation.
    pub(crate) fn one(self) -> &'static str {
        &self.statements().one
    }

    /// The statement for an array of values, on PostgreSQL. One row each; the last column is its place, beginning at 1.
    pub(crate) fn many(self) -> &'static str {
        &self.statements().many
    }

    /// Looks it up on any connection.
    pub(crate) async fn find<C: ConnectionTrait>(self, connection: C, value: &str) -> StoreResult<Lookedup> {
        let rows = Sql::fixed(self.one(), vec![self.organisation.0.into(), value.into()]).all(&connection).await?;
        self.read(Cells::of(rows.first().ok_or_else(|| self.unknown())?))
    }

    /// Without any row.
    pub(crate) fn unknown(self) -> Failure {
        reference::unknown(self.organisation)
    }

    /// Reads a row of either. There is a version in any case.
    pub(crate) fn read(self, mut cells: Cells<'_>) -> StoreResult<Lookedup> {
        let version = cells.take()?;
        let value = match cells.joined::<Model>(self.organisation.0)? {
            None => None,
            Some(token) => {
                let owners = Reader::new(self.organisation).owners(&mut cells, self.load)?;
                Some((convert::token(token)?, owners))
            }
        };
        Ok(Versioned { version, value })
    }

    #[cfg(test)]
    pub(crate) fn all(organisation: OrganisationKey) -> impl Iterator<Item = Self> {
        let columns = 0..STATEMENTS.len();
        columns.flat_map(move |column| LOADS.map(|load| Self { organisation, column, load }))
    }

    fn statements(self) -> &'static Statements {
        &STATEMENTS[self.column]
            [usize::from(self.load.accounts_receivable) + 2 * usize::from(self.load.rewards_participant)]
    }
}

fn one(column: &str, load: Load) -> String {
    let mut sql = Sql::new(format!("SELECT o.directory_version, {}{}", *TOKEN, owners::select(load)));
    sql.push(" FROM organisation o LEFT JOIN access_token t ON t.organisation_key = o.key AND t.");
    sql.push(column).push(" = $2");
    owners::join(&mut sql, load);
    sql.push(" WHERE o.key = $1");
    sql.into_text()
}

fn many(column: &str, load: Load) -> String {
    let mut sql = Sql::new(format!("SELECT o.directory_version, {}{}, k.place", *TOKEN, owners::select(load)));
    sql.push(" FROM organisation o CROSS JOIN unnest($2::text[]) WITH ORDINALITY AS k(value, place)");
    sql.push(" LEFT JOIN access_token t ON t.organisation_key = o.key AND t.").push(column).push(" = k.value");
    owners::join(&mut sql, load);
    sql.push(" WHERE o.key = $1");
    sql.into_text()
}
