//! Reads the stored rows that a batch of records may touch.

use std::collections::HashSet;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Credential, ImportKeys, ImportRows, StoreResult};
use sea_orm::EntityTrait;

use super::{bulk_json, bulk_values};
use crate::convert;
use crate::entities::{access_token, accounts_receivable, contact_information, rewards_participant, user_credential};
use crate::error::store_error;
use crate::sql::connection::Connection;
use crate::sql::{Sql, is_postgres};

/// Maximum number of tokens that one statement locks and reads. The rows of a statement take as much memory as the
/// tokens themselves.
const LOCK_BATCH_SIZE: usize = 2_000;

/// Number of characters of a name in the index of names.
const INDEXED_CHARACTERS: usize = 100;

/// Reads all stored rows that a batch of records may touch. Locks the tokens and the credentials until the end of the
/// transaction.
pub(crate) async fn load<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    keys: &ImportKeys,
) -> StoreResult<ImportRows> {
    macro_rules! rows {
        ($module:ident, $convert:path, $id:expr, $($column:ident in $keys:expr),+) => {{
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            $(
                let rows = with_keys::<$module::Entity, C>(
                    connection, organisation, $module::Column::OrganisationKey, $module::Column::$column, $keys,
                );
                for row in rows.await? {
                    if seen.insert($id(&row).clone()) {
                        found.push($convert(row)?);
                    }
                }
            )+
            found
        }};
    }
    if is_postgres(connection) {
        bulk_json::begin(connection).await?;
    }
    let named = accounts_named(connection, organisation, &keys.account_names).await?;
    let mut account_ids = keys.account_ids.clone();
    account_ids.extend(named);
    Ok(ImportRows {
        contacts: rows!(
            contact_information, convert::contact, |row: &contact_information::Model| row.id.clone(),
            Id in &keys.contacts
        ),
        credentials: credentials(connection, organisation, &keys.credentials).await?,
        accounts: rows!(
            accounts_receivable, convert::accounts_receivable, |row: &accounts_receivable::Model| row.id.clone(),
            Id in &account_ids, Number in &keys.account_numbers
        ),
        participants: rows!(
            rewards_participant, convert::rewards_participant, |row: &rewards_participant::Model| row.id.clone(),
            Id in &keys.participant_ids, Number in &keys.participant_numbers
        ),
        tokens: tokens(connection, organisation, keys).await?,
    })
}

/// Maximum number of names in one statement.
const NAME_BATCH_SIZE: usize = 256;

/// Returns the ids of accounts with these names: one or two for each name, which is enough to know whether the name is
/// ambiguous.
async fn accounts_named<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    names: &[String],
) -> StoreResult<Vec<String>> {
    let mut ids = Vec::new();
    for names in names.chunks(NAME_BATCH_SIZE) {
        let mut sql = Sql::select("min(id), max(id)", "accounts_receivable", " WHERE organisation_key = ");
        sql.bind(organisation.0);
        // Only the beginning of a name is indexed.
        for (i, name) in names.iter().enumerate() {
            let beginning: String = name.chars().take(INDEXED_CHARACTERS).collect();
            sql.push(if i == 0 { " AND substr(name, 1, 100) IN (" } else { ", " }).bind(beginning);
        }
        for (i, name) in names.iter().enumerate() {
            sql.push(if i == 0 { ") AND name IN (" } else { ", " }).bind(name.as_str());
        }
        sql.push(") GROUP BY name");
        for row in sql.all(connection).await? {
            for column in 0..2 {
                ids.push(row.try_get_by_index(column).map_err(store_error)?);
            }
        }
    }
    Ok(ids)
}

/// Reads the credentials of these users.
async fn credentials<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    users: &[String],
) -> StoreResult<Vec<Credential>> {
    use user_credential::{Column, Entity};
    let rows = if is_postgres(connection) {
        bulk_json::lock::<Entity, C>(connection, organisation, Column::UserId, users).await?
    } else {
        bulk_values::with_keys::<Entity, C>(connection, organisation, Column::OrganisationKey, Column::UserId, users)
            .await?
    };
    rows.into_iter().map(convert::credential).collect()
}

/// Reads the tokens that have one of the keys, each once.
async fn tokens<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    keys: &ImportKeys,
) -> StoreResult<Vec<AccessToken>> {
    use access_token::{Column, Entity};
    let other_keys = [
        (Column::Number, &keys.token_numbers),
        (Column::AuthenticationCode, &keys.authentication_codes),
        (Column::Identifier, &keys.identifiers),
    ];
    if is_postgres(connection) {
        let mut ids = keys.token_ids.clone();
        for (column, keys) in other_keys {
            ids.extend(bulk_json::ids::<Entity, C>(connection, organisation, column, Column::Id, keys).await?);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LOCK_BATCH_SIZE) {
            let rows = bulk_json::lock::<Entity, C>(connection, organisation, Column::Id, ids).await?;
            for row in rows {
                found.push(convert::token(row)?);
            }
        }
        return Ok(found);
    }
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for (column, keys) in [(Column::Id, &keys.token_ids)].into_iter().chain(other_keys) {
        for row in
            bulk_values::with_keys::<Entity, C>(connection, organisation, Column::OrganisationKey, column, keys).await?
        {
            if seen.insert(row.id.clone()) {
                found.push(convert::token(row)?);
            }
        }
    }
    Ok(found)
}

/// Reads the rows of an organisation that have one of these keys.
async fn with_keys<E: EntityTrait, C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    organisation_column: E::Column,
    column: E::Column,
    keys: &[String],
) -> StoreResult<Vec<E::Model>> {
    if is_postgres(connection) {
        bulk_json::with_keys::<E, C>(connection, organisation, column, keys).await
    } else {
        bulk_values::with_keys::<E, C>(connection, organisation, organisation_column, column, keys).await
    }
}
