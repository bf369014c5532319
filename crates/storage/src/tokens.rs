//! Statements that list, count and update tokens. [`crate::lookup`] has the lookups. One statement reads a token and its owners, so that
//! both have the state of one point in time.

use std::sync::LazyLock;

use access_tokens_domain::access_token::{AccessToken, AuditStamp, Precondition, TokenChanges};
use access_tokens_domain::identifier::OwnerIdentifier;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, OwnerKey, Owners, StoreResult, TokenPage};
use sea_orm::{IdenStatic, QueryResult};

use crate::convert;
use crate::entities::access_token::Model;
use crate::error::store_error;
use crate::owners::{self, Reader};
use crate::reference::{self, Versioned};
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::row_reader::{RowReader, TableRow, WriteResult, columns};
use crate::sql::{Sql, cannot_exist, is_postgres};

pub(crate) static TOKEN: LazyLock<String> = LazyLock::new(|| columns::<Model>("t"));
/// Unqualified names: SQLite does not know an alias after RETURNING.
static COLUMNS: LazyLock<String> = LazyLock::new(|| Model::COLUMNS.join(", "));
/// A token with its owners.
pub(crate) type Found = Versioned<(AccessToken, Owners)>;

/// Reads a page of an owner's tokens, and the ids of the owners that the identifier matches.
pub(crate) async fn list<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    page: TokenPage<'_>,
    joins: OwnerJoins,
) -> StoreResult<Versioned<(Vec<String>, Vec<(AccessToken, Owners)>)>> {
    let rows = page_of(organisation, page, joins).all(connection).await?;
    let (mut head, mut tokens, mut owners) = (None, Vec::with_capacity(rows.len()), Reader::new(organisation));
    for row in &rows {
        let mut row_reader = RowReader::new(row);
        let (version, first, last): (_, Option<String>, Option<String>) =
            (row_reader.read()?, row_reader.read()?, row_reader.read()?);
        head = Some((version, first, last));
        if let Some(token) = row_reader.read_joined::<Model>(organisation.0)? {
            tokens.push((convert::token(token)?, owners.owners(&mut row_reader, joins)?));
        }
    }
    // The tokens are nearly always sorted already, because the page has this order.
    tokens.sort_by(|(a, _): &(AccessToken, _), (b, _)| a.id.cmp(&b.id));
    let (version, first, last) = head.ok_or_else(|| reference::unknown_organisation(organisation))?;
    let mut named: Vec<_> = first.into_iter().chain(last).collect();
    named.dedup();
    Ok(Versioned { version, value: (named, tokens) })
}

/// Owner whose tokens are listed. If several owners match a name, the caller shows no tokens.
const OWNER: &str = "(SELECT min(id) FROM owner)";

fn page_label(owner: &OwnerIdentifier, joins: OwnerJoins) -> Label {
    let with_owners = joins.accounts_receivable || joins.rewards_participant;
    Label::select(match (owner, with_owners) {
        (OwnerIdentifier::AccountsReceivable(_), false) => {
            &["accounts_receivable", "organisation", "access_token", "rewards_participant"]
        }
        (OwnerIdentifier::AccountsReceivable(_), true) => {
            &["accounts_receivable", "organisation", "access_token", "rewards_participant", "contact_information"]
        }
        (OwnerIdentifier::RewardsParticipant(_), false) => &["rewards_participant", "organisation", "access_token"],
        (OwnerIdentifier::RewardsParticipant(_), true) => {
            &["rewards_participant", "organisation", "access_token", "accounts_receivable", "contact_information"]
        }
    })
}

/// Returns the statement for a page. It returns one row for each token, and one row if there are none.
pub(crate) fn page_of(organisation: OrganisationKey, page: TokenPage<'_>, joins: OwnerJoins) -> Sql {
    let mut sql = Sql::new(page_label(page.owner, joins), "WITH owner AS MATERIALIZED (SELECT ");
    match page.owner {
        OwnerIdentifier::AccountsReceivable(identifier) => {
            sql.push("a.id FROM accounts_receivable a WHERE a.organisation_key = ").bind(organisation.0).push(" AND ");
            owners::is_account(&mut sql, identifier);
            owners::only_two(&mut sql, identifier);
        }
        OwnerIdentifier::RewardsParticipant(identifier) => {
            sql.push("p.id FROM rewards_participant p WHERE p.organisation_key = ").bind(organisation.0).push(" AND ");
            owners::is_participant(&mut sql, identifier);
        }
    }
    sql.push(") SELECT o.directory_version, (SELECT min(id) FROM owner), (SELECT max(id) FROM owner), ").push(&TOKEN);
    sql.push(&owners::select(joins)).push(" FROM organisation o LEFT JOIN (");
    // Maximum number of rows that the page can need from each part of the union.
    let enough = page.limit.saturating_add(page.offset);
    sql.push("SELECT * FROM (SELECT * FROM access_token WHERE organisation_key = $1 AND ");
    sql.push(match page.owner {
        OwnerIdentifier::AccountsReceivable(_) => "accounts_receivable = ",
        OwnerIdentifier::RewardsParticipant(_) => "rewards_participant = ",
    });
    sql.push(OWNER);
    of_classification(&mut sql, "classification", page.classification);
    after(&mut sql, "id", page.after);
    sql.push(" ORDER BY id").limit(enough).push(") own");
    if let OwnerIdentifier::AccountsReceivable(_) = page.owner {
        // Tokens whose participant belongs to the account are listed too.
        sql.push(" UNION ALL SELECT * FROM (SELECT x.* FROM rewards_participant p CROSS JOIN access_token x");
        sql.push(" WHERE p.organisation_key = $1 AND p.accounts_receivable = ").push(OWNER);
        sql.push(" AND x.organisation_key = $1 AND x.rewards_participant = p.id");
        sql.push(" AND x.accounts_receivable IS DISTINCT FROM ").push(OWNER);
        of_classification(&mut sql, "x.classification", page.classification);
        after(&mut sql, "x.id", page.after);
        sql.push(" ORDER BY x.id").limit(enough).push(") members");
    }
    sql.push(" ORDER BY id").limit(page.limit);
    if page.offset > 0 {
        sql.push(" OFFSET ").bind(i64::from(page.offset));
    }
    sql.push(") t ON t.organisation_key = o.key");
    owners::join(&mut sql, joins);
    sql.push(" WHERE o.key = $1");
    sql
}

/// Counts the tokens of an owner. On PostgreSQL, where others may write at the same time, it locks the owner first, so
/// that the caller can write depending on the count.
pub(crate) async fn count_exclusively<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    owner: OwnerKey<'_>,
    classification: Option<&str>,
) -> StoreResult<u64> {
    if is_postgres(connection) {
        let (table, id) = match owner {
            OwnerKey::AccountsReceivable(id) => ("accounts_receivable", id),
            OwnerKey::RewardsParticipant(id) => ("rewards_participant", id),
        };
        let mut sql = Sql::select("id", table, " WHERE organisation_key = ");
        sql.bind(organisation.0).push(" AND id = ").bind(id).push(" FOR UPDATE");
        sql.all(connection).await?;
    }
    let mut sql = Sql::select("count(*) AS tokens", "access_token", " WHERE organisation_key = ");
    sql.bind(organisation.0);
    owned_by(&mut sql, owner, classification);
    let rows = sql.all(connection).await?;
    let count = rows.first().map(|row| row.try_get::<i64>("", "tokens")).transpose().map_err(store_error)?;
    Ok(count.unwrap_or(0).unsigned_abs())
}

/// Reads tokens without an existing owner, in ascending order of ids: free stock, tokens of terminated accounts whose
/// participant does not exist either, and tokens of terminated participants without any account. A terminated owner
/// does not exist, nor does one whose row is missing; a suspended one does.
///
/// Free stock is read from its index. The rest is computed from the terminated owners, however many they are: a column
/// on each token would make every write look at its owners.
pub(crate) async fn not_associated<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    state: Option<LifeCycleState>,
    limit: u32,
    joins: OwnerJoins,
) -> StoreResult<Vec<Found>> {
    read(&free(organisation, state, limit, joins).find(connection).await?, organisation, joins)
}

fn free_label(joins: OwnerJoins) -> Label {
    Label::select(if joins.accounts_receivable || joins.rewards_participant {
        &["accounts_receivable", "access_token", "rewards_participant", "organisation", "contact_information"]
    } else {
        &["accounts_receivable", "access_token", "rewards_participant", "organisation"]
    })
}

pub(crate) fn free(organisation: OrganisationKey, state: Option<LifeCycleState>, limit: u32, joins: OwnerJoins) -> Sql {
    let mut sql = Sql::new(free_label(joins), "WITH ");
    ended(&mut sql, organisation, state);
    sql.push(&select(joins));
    sql.push(" FROM (SELECT id FROM (SELECT id FROM ended");
    let all = LifeCycleState::ALL;
    for state in all.iter().filter(|each| state.is_none_or(|state| state == **each)) {
        // One part for each state, in the order of the index, which avoids sorting.
        sql.push(" UNION ALL SELECT id FROM (SELECT id FROM access_token WHERE organisation_key = $1");
        sql.push(" AND accounts_receivable IS NULL AND rewards_participant IS NULL AND life_cycle_state = '");
        sql.push(state.name()).push("' ORDER BY id").limit(limit).push(") free");
    }
    sql.push(") found ORDER BY id").limit(limit);
    // CROSS JOIN makes SQLite start with these few rows.
    sql.push(") k CROSS JOIN access_token t");
    owners::join(&mut sql, joins);
    sql.push(" WHERE t.organisation_key = $1 AND t.id = k.id ORDER BY k.id");
    sql
}

/// Appends the tokens that have a terminated owner and no existing one. MATERIALIZED keeps PostgreSQL from scanning all
/// tokens in the order of their ids until it has found enough; CROSS JOIN makes SQLite start with the owners.
fn ended(sql: &mut Sql, organisation: OrganisationKey, state: Option<LifeCycleState>) {
    sql.push("ended AS MATERIALIZED (SELECT x.id FROM accounts_receivable o CROSS JOIN access_token x");
    sql.push(" WHERE o.organisation_key = ").bind(organisation.0).push(" AND o.life_cycle_state = 'TERMINATED'");
    sql.push(" AND x.organisation_key = $1 AND x.accounts_receivable = o.id AND NOT EXISTS (SELECT 1");
    sql.push(" FROM rewards_participant e WHERE e.organisation_key = $1 AND e.id = x.rewards_participant");
    sql.push(" AND (e.life_cycle_state IS NULL OR e.life_cycle_state <> 'TERMINATED'))");
    in_state(sql, state);
    sql.push(" UNION ALL SELECT x.id FROM rewards_participant o CROSS JOIN access_token x");
    sql.push(" WHERE o.organisation_key = $1 AND o.life_cycle_state = 'TERMINATED'");
    sql.push(" AND x.organisation_key = $1 AND x.rewards_participant = o.id AND NOT EXISTS (SELECT 1");
    sql.push(" FROM accounts_receivable e WHERE e.organisation_key = $1 AND e.id = x.accounts_receivable)");
    in_state(sql, state);
    sql.push(") ");
}

fn in_state(sql: &mut Sql, state: Option<LifeCycleState>) {
    if let Some(state) = state {
        sql.push(" AND x.life_cycle_state = '").push(state.name()).push("'");
    }
}

/// Returns the statement that writes changes if the precondition holds. Condition and write are one statement, so that exactly
/// one of several concurrent callers succeeds. It returns the token; see [`updated`].
pub(crate) fn update(
    organisation: OrganisationKey,
    id: &str,
    precondition: &Precondition,
    changes: &TokenChanges,
    updated: Option<&AuditStamp>,
) -> Sql {
    let mut sql = Sql::new(Label::update(&["access_token", "organisation"]), "UPDATE access_token SET ");
    let columns = convert::changed_columns(changes, updated);
    if columns.is_empty() {
        // The statement must still check the precondition.
        sql.push("id = id");
    }
    for (i, (column, value)) in columns.into_iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " }).push(column.as_str()).push(" = ").bind(value);
    }
    sql.push(" WHERE organisation_key = ").bind(organisation.0).push(" AND id = ").bind(id);
    if let Some(state) = precondition.life_cycle_state {
        sql.push(" AND life_cycle_state = ").bind(state.name());
    }
    if let Some(hash) = &precondition.verification {
        sql.push(" AND verification_hash = ").bind(hash.as_stored());
    }
    if let Some(hash) = &precondition.one_time_password {
        sql.push(" AND otp_hash = ").bind(hash.as_stored());
    }
    if let Some(hash) = &precondition.pass_code {
        sql.push(" AND pass_code_hash = ").bind(hash.as_stored());
    }
    if precondition.without_identifier {
        sql.push(" AND identifier IS NULL");
    }
    sql.push(" RETURNING (SELECT directory_version FROM organisation WHERE key = organisation_key), ").push(&COLUMNS);
    sql
}

/// Reads the token that an update has returned. `None`: the precondition did not hold.
pub(crate) fn updated(
    answer: &WriteResult,
    organisation: OrganisationKey,
) -> StoreResult<Option<Versioned<AccessToken>>> {
    let Some(mut row_reader) = answer.first() else { return Ok(None) };
    let version = row_reader.read()?;
    let value = convert::token(Model::read(&mut row_reader, organisation.0)?)?;
    Ok(Some(Versioned { version, value }))
}

/// Returns the SELECT clause of a page. The first parameter of the statement is the organisation.
fn select(joins: OwnerJoins) -> String {
    let version = "(SELECT directory_version FROM organisation WHERE key = $1)";
    format!("SELECT {version}, {}{}", *TOKEN, owners::select(joins))
}

fn owned_by(sql: &mut Sql, owner: OwnerKey<'_>, classification: Option<&str>) {
    match owner {
        OwnerKey::AccountsReceivable(id) => sql.push(" AND accounts_receivable = ").bind(id),
        OwnerKey::RewardsParticipant(id) => sql.push(" AND rewards_participant = ").bind(id),
    };
    of_classification(sql, "classification", classification);
}

fn of_classification(sql: &mut Sql, column: &str, classification: Option<&str>) {
    if let Some(classification) = classification {
        sql.push(" AND ").push(column).push(" = ").bind(owners::matchable(classification));
    }
}

fn after(sql: &mut Sql, column: &str, id: Option<&str>) {
    match id {
        Some(id) if cannot_exist(id) => _ = sql.push(" AND ").push(owners::NONE),
        Some(id) => _ = sql.push(" AND ").push(column).push(" > ").bind(id),
        None => {}
    }
}

fn read(rows: &[QueryResult], organisation: OrganisationKey, joins: OwnerJoins) -> StoreResult<Vec<Found>> {
    let mut owners = Reader::new(organisation);
    let found = rows.iter().map(|row| {
        let mut row_reader = RowReader::new(row);
        let version = row_reader.read()?;
        let token = convert::token(Model::read(&mut row_reader, organisation.0)?)?;
        Ok(Versioned { version, value: (token, owners.owners(&mut row_reader, joins)?) })
    });
    found.collect()
}
