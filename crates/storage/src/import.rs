//! What an import reads and writes: many rows a statement.

mod documents;
mod pieces;

use std::collections::HashSet;

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{ImportChanges, ImportKeys, ImportRows, Sequence, StoreResult};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryFilter};

use crate::convert;
use crate::entities::{
    access_token, accounts_receivable, app_user, business_unit, classification, contact_information, country, industry,
    industry_sector, organisation as organisations, rewards_participant, unit, user_credential,
};
use crate::error::store_error;
use crate::sequence;
use crate::sql::Sql;

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
    if is_postgres(connection) {
        documents::begin(connection).await?;
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

/// The rows of an organisation that have one of these keys.
async fn with_keys<E: EntityTrait, C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    organisation_column: E::Column,
    column: E::Column,
    keys: &[String],
) -> StoreResult<Vec<E::Model>> {
    if is_postgres(connection) {
        documents::with_keys::<E, C>(connection, organisation, column, keys).await
    } else {
        pieces::with_keys::<E, C>(connection, organisation, organisation_column, column, keys).await
    }
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
    let removed = &changes.removed_tokens;
    if is_postgres(connection) {
        documents::remove::<access_token::Entity, C>(connection, key, removed).await?;
    } else {
        let (organisation, id) = (access_token::Column::OrganisationKey, access_token::Column::Id);
        pieces::remove::<access_token::Entity, C>(connection, key, organisation, id, removed).await?;
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
    if is_postgres(connection) {
        documents::upsert::<E, C>(connection, &rows).await
    } else {
        pieces::upsert::<E, C>(connection, rows).await
    }
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

fn is_postgres<C: ConnectionTrait>(connection: &C) -> bool {
    connection.get_database_backend() == DbBackend::Postgres
}
