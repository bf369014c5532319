//! What an import reads and writes: many rows a statement.
//!
//! Statements come in few sizes, so that each is prepared once: keys are looked up 256 or 16 at a time, the rest of
//! a list filled up with its last key; rows are written 64, 16, 4 or 1 at a time. The largest statement has
//! 64 rows of 42 columns, far below the 32,766 variables of SQLite and the 65,535 of PostgreSQL.

use std::collections::HashSet;

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{ImportChanges, ImportKeys, ImportRows, Sequence, StoreResult};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Iterable, PrimaryKeyToColumn, QueryFilter};

use crate::convert;
use crate::entities::{
    access_token, accounts_receivable, app_user, business_unit, classification, contact_information, country, industry,
    industry_sector, organisation as organisations, rewards_participant, unit, user_credential,
};
use crate::error::store_error;
use crate::sequence;
use crate::sql::Sql;

const KEYS: [usize; 2] = [256, 16];
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// Everything stored that a batch of records may touch.
pub(crate) async fn load<C: ConnectionTrait>(
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
    Ok(ImportRows {
        contacts: rows!(
            contact_information, convert::contact, |row: &contact_information::Model| row.id.clone(),
            Id in &keys.contacts
        ),
        credentials: rows!(
            user_credential, convert::credential, |row: &user_credential::Model| row.user_id.clone(),
            UserId in &keys.credentials
        ),
        accounts: rows!(
            accounts_receivable, convert::accounts_receivable, |row: &accounts_receivable::Model| row.id.clone(),
            Id in &keys.account_ids, Number in &keys.account_numbers
        ),
        participants: rows!(
            rewards_participant, convert::rewards_participant, |row: &rewards_participant::Model| row.id.clone(),
            Id in &keys.participant_ids, Number in &keys.participant_numbers
        ),
        tokens: rows!(
            access_token, convert::token, |row: &access_token::Model| row.id.clone(),
            Id in &keys.token_ids, Number in &keys.token_numbers,
            AuthenticationCode in &keys.authentication_codes, Identifier in &keys.identifiers
        ),
    })
}

async fn with_keys<E: EntityTrait, C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    organisation_column: E::Column,
    column: E::Column,
    keys: &[String],
) -> StoreResult<Vec<E::Model>> {
    let mut rows = Vec::new();
    for keys in padded(keys) {
        let select = E::find().filter(organisation_column.eq(organisation.0)).filter(column.is_in(keys));
        rows.extend(select.all(connection).await.map_err(store_error)?);
    }
    Ok(rows)
}

/// Cuts a list into pieces of the sizes of [`KEYS`], the last one filled up with its last key.
fn padded(keys: &[String]) -> impl Iterator<Item = Vec<&str>> {
    let [large, small] = KEYS;
    keys.chunks(large).map(move |keys| {
        let size = if keys.len() <= small { small } else { large };
        let filler = keys.last().into_iter().cycle();
        keys.iter().chain(filler).take(size).map(String::as_str).collect()
    })
}

/// Writes a batch.
pub(crate) async fn save<C: ConnectionTrait>(
    connection: &C,
    key: OrganisationKey,
    changes: &ImportChanges,
) -> StoreResult<()> {
    macro_rules! save {
        ($module:ident, $convert:path, $values:expr) => {
            if !$values.is_empty() {
                let rows: StoreResult<Vec<_>> = $values.iter().map(|value| $convert(key, value)).collect();
                upsert::<$module::Entity, C>(connection, rows?).await?;
            }
        };
    }
    save_organisation(connection, key, changes).await?;
    save!(business_unit, convert::business_unit_row, changes.business_units);
    save!(unit, convert::unit_row, changes.units);
    save!(app_user, convert::user_row, changes.users);
    save!(user_credential, convert::credential_row, changes.credentials);
    save!(country, convert::country_row, changes.countries);
    save!(industry, convert::industry_row, changes.industries);
    save!(industry_sector, convert::industry_sector_row, changes.industry_sectors);
    save!(classification, convert::classification_row, changes.classifications);
    save!(contact_information, convert::contact_row, changes.contacts);
    save!(accounts_receivable, convert::accounts_receivable_row, changes.accounts);
    save!(rewards_participant, convert::rewards_participant_row, changes.participants);
    // First those that go: the token that comes in their place has their number or codes.
    for ids in padded(&changes.removed_tokens) {
        let delete = access_token::Entity::delete_many()
            .filter(access_token::Column::OrganisationKey.eq(key.0))
            .filter(access_token::Column::Id.is_in(ids));
        delete.exec(connection).await.map_err(store_error)?;
    }
    if !changes.tokens.is_empty() {
        let rows = changes.tokens.iter().map(|token| convert::token_row(key, token)).collect();
        upsert::<access_token::Entity, C>(connection, rows).await?;
        raise_numbers(connection, key, changes).await?;
    }
    Ok(())
}

/// Writes the organisation's own settings, and raises its version if anything that is kept in memory changes.
async fn save_organisation<C: ConnectionTrait>(
    connection: &C,
    key: OrganisationKey,
    changes: &ImportChanges,
) -> StoreResult<()> {
    if !changes.touches_reference() {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE organisation SET directory_version = directory_version + 1");
    if let Some(organisation) = &changes.organisation {
        sql.push(", id = ").bind(organisation.id.as_str());
        sql.push(", name = ").bind(organisation.name.as_str());
        sql.push(", number_prefix = ").bind(organisation.number_prefix.as_str());
        sql.push(", legacy_compatibility = ").bind(organisation.legacy_compatibility);
        sql.push(", definition = ").bind(convert::definition(organisation)?);
    }
    sql.push(" WHERE key = ").bind(key.0);
    sql.all(connection).await?;
    Ok(())
}

/// Whole rows, inserted or replaced by their primary key.
async fn upsert<E: EntityTrait, C: ConnectionTrait>(connection: &C, rows: Vec<E::Model>) -> StoreResult<()>
where
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let keys: Vec<E::Column> = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect();
    let is_key = |column: &E::Column| keys.iter().any(|key| key.as_column_ref() == column.as_column_ref());
    let values: Vec<E::Column> = E::Column::iter().filter(|column| !is_key(column)).collect();
    let mut rest = rows.into_iter();
    while let Some(size) = ROWS.into_iter().find(|size| *size <= rest.len()) {
        let rows = rest.by_ref().take(size).map(IntoActiveModel::into_active_model);
        let replace = OnConflict::columns(keys.iter().copied()).update_columns(values.iter().copied()).to_owned();
        let insert = E::insert_many(rows).on_conflict(replace);
        insert.exec_without_returning(connection).await.map_err(store_error)?;
    }
    Ok(())
}

/// Nobody is handed a number that has just come in from outside.
async fn raise_numbers<C: ConnectionTrait>(
    connection: &C,
    key: OrganisationKey,
    changes: &ImportChanges,
) -> StoreResult<()> {
    let organisation = organisations::Entity::find().filter(organisations::Column::Key.eq(key.0));
    let organisation = organisation.all(connection).await.map_err(store_error)?.pop();
    let prefix = organisation.map(|row| row.number_prefix).unwrap_or_default();
    let numbers = changes.tokens.iter().map(|token| token.number.as_str());
    if let Some(highest) = sequence::highest(numbers, &prefix) {
        sequence::raise(connection, key, Sequence::TokenNumber, highest).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_keys_come_in_two_sizes() {
        let keys = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
        let sizes = |count| padded(&keys(count)).map(|keys| keys.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(1), [16]);
        assert_eq!(sizes(17), [256]);
        assert_eq!(sizes(300), [256, 256]);
        let all = keys(300);
        let distinct: HashSet<_> = padded(&all).flatten().collect();
        assert_eq!(distinct.len(), 300);
    }
}
