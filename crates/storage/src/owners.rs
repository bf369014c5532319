//! Owners, joined to tokens or alone. Where several tokens of an answer have the same owner they share it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Account, Load, Owners, Participant, StoreResult};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, IdenStatic, Iterable, QueryResult, TryGetError};

use crate::convert;
use crate::entities::{accounts_receivable, contact_information, rewards_participant};
use crate::error::store_error;
use crate::sql::Sql;

// Aliases in the statements below: `t` the token, `a` its account and `c` that one's contact information,
// `p` its participant, `b` the participant's account where it is not `a`, and `d` that one's contact information.
static ACCOUNT: LazyLock<String> = LazyLock::new(|| {
    format!("{}, {}", columns::<accounts_receivable::Entity>("a"), columns::<contact_information::Entity>("c"))
});
static PARTICIPANT: LazyLock<String> = LazyLock::new(|| {
    let account = columns::<accounts_receivable::Entity>("b");
    let contact = columns::<contact_information::Entity>("d");
    format!("{}, {account}, {contact}", columns::<rewards_participant::Entity>("p"))
});
const ACCOUNT_OWNER: &str =
    " LEFT JOIN contact_information c ON c.organisation_key = a.organisation_key AND c.id = a.account_owner";
const PARTICIPANTS_ACCOUNT: &str =
    " LEFT JOIN accounts_receivable b ON b.organisation_key = p.organisation_key AND b.id = p.accounts_receivable";
const PARTICIPANTS_ACCOUNT_OWNER: &str =
    " LEFT JOIN contact_information d ON d.organisation_key = b.organisation_key AND d.id = b.account_owner";

/// The columns of a table as `t.id AS t_id`.
pub(crate) fn columns<E: EntityTrait>(alias: &str) -> String {
    let columns = E::Column::iter().map(|column| {
        let column = column.as_str();
        format!("{alias}.{column} AS {alias}_{column}")
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// The columns of the owners that are asked for, after those of the token.
pub(crate) fn select(load: Load) -> String {
    let account = if load.accounts_receivable { [", ", &ACCOUNT] } else { [""; 2] };
    let participant = if load.rewards_participant { [", ", &PARTICIPANT] } else { [""; 2] };
    [account, participant].concat().concat()
}

/// Appends the joins of the owners that are asked for.
pub(crate) fn join(sql: &mut Sql, load: Load) {
    if load.accounts_receivable {
        sql.push(
            " LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable",
        );
        sql.push(ACCOUNT_OWNER);
    }
    if load.rewards_participant {
        sql.push(
            " LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant",
        );
        sql.push(PARTICIPANTS_ACCOUNT);
        if load.accounts_receivable {
            // Nearly always the token's own account: not read twice.
            sql.push(" AND (t.accounts_receivable IS NULL OR t.accounts_receivable <> p.accounts_receivable)");
        }
        sql.push(PARTICIPANTS_ACCOUNT_OWNER);
    }
}

/// Reads the owners of rows, each once.
#[derive(Default)]
pub(crate) struct Reader {
    accounts: HashMap<String, Arc<Account>>,
    participants: HashMap<String, Arc<Participant>>,
}

impl Reader {
    /// The owners of a row, as far as they were asked for.
    pub(crate) fn owners(&mut self, row: &QueryResult, load: Load) -> StoreResult<Owners> {
        let accounts_receivable = if load.accounts_receivable { self.account(row, "a_", "c_")? } else { None };
        let rewards_participant = if load.rewards_participant { self.participant(row)? } else { None };
        Ok(Owners { accounts_receivable, rewards_participant })
    }

    fn account(&mut self, row: &QueryResult, account: &str, contact: &str) -> StoreResult<Option<Arc<Account>>> {
        let Some(id) = row.try_get::<Option<String>>(account, "id").map_err(store_error)? else { return Ok(None) };
        if let Some(known) = self.accounts.get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(read) = read_account(row, account, contact)? else { return Ok(None) };
        let read = Arc::new(read);
        self.accounts.insert(id, Arc::clone(&read));
        Ok(Some(read))
    }

    fn participant(&mut self, row: &QueryResult) -> StoreResult<Option<Arc<Participant>>> {
        let Some(id) = row.try_get::<Option<String>>("p_", "id").map_err(store_error)? else { return Ok(None) };
        if let Some(known) = self.participants.get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(model) = optional::<rewards_participant::Model>(row, "p_")? else { return Ok(None) };
        let record = convert::rewards_participant(model)?;
        let accounts_receivable = match &record.accounts_receivable {
            // The token's own account was read just now, so it is known.
            Some(account) => match self.accounts.get(account) {
                Some(known) => Some(Arc::clone(known)),
                None => self.account(row, "b_", "d_")?,
            },
            None => None,
        };
        let participant = Arc::new(Participant { record, accounts_receivable });
        self.participants.insert(id, Arc::clone(&participant));
        Ok(Some(participant))
    }
}

fn read_account(row: &QueryResult, account: &str, contact: &str) -> StoreResult<Option<Account>> {
    let Some(record) = optional::<accounts_receivable::Model>(row, account)? else { return Ok(None) };
    let owner = optional::<contact_information::Model>(row, contact)?;
    Ok(Some(Account {
        record: convert::accounts_receivable(record)?,
        account_owner: owner.map(convert::contact).transpose()?,
    }))
}

/// A joined row, unless the join found nothing.
fn optional<M: FromQueryResult>(row: &QueryResult, prefix: &str) -> StoreResult<Option<M>> {
    match M::from_query_result_nullable(row, prefix) {
        Ok(model) => Ok(Some(model)),
        Err(TryGetError::Null(_)) => Ok(None),
        Err(TryGetError::DbErr(error)) => Err(store_error(error)),
    }
}

/// The accounts of an identifier: none, one, or two when a name matches several.
pub(crate) async fn find_accounts<C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    identifier: &AccountsReceivableIdentifier,
) -> StoreResult<Vec<Account>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(&ACCOUNT).push(" FROM accounts_receivable a").push(ACCOUNT_OWNER);
    sql.push(" WHERE a.organisation_key = ").bind(organisation.0);
    match identifier {
        AccountsReceivableIdentifier::Id(id) => sql.push(" AND a.id = ").bind(id.as_str()),
        AccountsReceivableIdentifier::Number(number) => sql.push(" AND a.number = ").bind(number.as_str()),
        AccountsReceivableIdentifier::Name(name) => {
            // Only the beginning is indexed.
            let beginning: String = name.chars().take(100).collect();
            sql.push(" AND substr(a.name, 1, 100) = ").bind(beginning);
            sql.push(" AND a.name = ").bind(name.as_str());
            sql.push(" ORDER BY a.id").limit(2)
        }
    };
    let rows = sql.find(connection).await?;
    rows.iter().filter_map(|row| read_account(row, "a_", "c_").transpose()).collect()
}

/// The participant of an identifier.
pub(crate) async fn find_participant<C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    identifier: &RewardsParticipantIdentifier,
) -> StoreResult<Option<Participant>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(&PARTICIPANT).push(" FROM rewards_participant p");
    sql.push(PARTICIPANTS_ACCOUNT).push(PARTICIPANTS_ACCOUNT_OWNER);
    sql.push(" WHERE p.organisation_key = ").bind(organisation.0);
    match identifier {
        RewardsParticipantIdentifier::Id(id) => sql.push(" AND p.id = ").bind(id.as_str()),
        RewardsParticipantIdentifier::Number(number) => sql.push(" AND p.number = ").bind(number.as_str()),
    };
    let rows = sql.find(connection).await?;
    let found = rows.first().map(|row| Reader::default().participant(row)).transpose()?.flatten();
    Ok(found.map(Arc::unwrap_or_clone))
}
