//! Bulk statements of SQLite: one parameter for each key and each value.
//!
//! Statements have few sizes, so that each is prepared once: keys are looked up 256 or 16 at a time, and the rest of a
//! list is filled up with its last key; rows are written 64, 16, 4 or 1 at a time. The largest statement has 64 rows of
//! 42 columns, far below the 32,766 variables of SQLite.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, DbBackend, EntityTrait, IntoActiveModel, Iterable, PrimaryKeyToColumn, QueryFilter};

use super::existing::Existing;
use crate::sql::connection::Connection;
use crate::sql::{Sql, model};

const KEY_BATCH_SIZES: [usize; 2] = [256, 16];
const ROW_BATCH_SIZES: [usize; 4] = [64, 16, 4, 1];

/// Returns the rows of an organisation that have one of these keys.
pub(super) async fn with_keys<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    column: E::Column,
    keys: &[String],
) -> StoreResult<Vec<E::Model>> {
    let mut rows = Vec::new();
    for keys in padded(keys) {
        let select = E::find().filter(is_of::<E>(organisation)).filter(column.is_in(keys));
        for row in Sql::of_entity::<E>("SELECT", &select, DbBackend::Sqlite).all(connection).await? {
            rows.push(model(&row)?);
        }
    }
    Ok(rows)
}

/// Removes rows by their ids.
pub(super) async fn remove<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    ids: &[String],
) -> StoreResult<()> {
    for ids in padded(ids) {
        let is_one = Expr::col((E::default(), "id")).is_in(ids);
        let delete = E::delete_many().filter(is_of::<E>(organisation)).filter(is_one);
        Sql::of_entity::<E>("DELETE", &delete, DbBackend::Sqlite).all(connection).await?;
    }
    Ok(())
}

/// Returns the condition that a row belongs to an organisation.
fn is_of<E: EntityTrait>(organisation: OrganisationKey) -> Expr {
    Expr::col((E::default(), "organisation_key")).eq(organisation.0)
}

/// Inserts whole rows.
pub(super) async fn write<E: EntityTrait>(
    connection: &impl Connection,
    rows: Vec<E::Model>,
    existing: Existing,
) -> StoreResult<()>
where
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let keys: Vec<E::Column> = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect();
    let is_key = |column: &E::Column| keys.iter().any(|key| key.as_column_ref() == column.as_column_ref());
    let values: Vec<E::Column> = E::Column::iter().filter(|column| !is_key(column)).collect();
    let mut rest = rows.into_iter();
    while let Some(size) = ROW_BATCH_SIZES.into_iter().find(|size| *size <= rest.len()) {
        let rows = rest.by_ref().take(size).map(IntoActiveModel::into_active_model);
        let mut insert = E::insert_many(rows);
        if existing == Existing::Replaced {
            let replace = OnConflict::columns(keys.iter().copied()).update_columns(values.iter().copied()).to_owned();
            insert = insert.on_conflict(replace);
        }
        Sql::of_entity::<E>("INSERT", &insert, DbBackend::Sqlite).all(connection).await?;
    }
    Ok(())
}

/// Splits a list into parts of the sizes of [`KEY_BATCH_SIZES`]. The last part is filled up with its last key.
fn padded(keys: &[String]) -> impl Iterator<Item = Vec<&str>> {
    let [large, small] = KEY_BATCH_SIZES;
    keys.chunks(large).map(move |keys| {
        let size = if keys.len() <= small { small } else { large };
        let filler = keys.last().into_iter().cycle();
        keys.iter().chain(filler).take(size).map(String::as_str).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
