//! Bulk statements of PostgreSQL: all keys or all rows are one parameter, a JSON text. The statement is the same for
//! any number of rows, so that PostgreSQL neither parses thousands of parameters nor makes one plan for each number of
//! rows.
//!
//! PostgreSQL makes a plan once for each connection, perhaps while the tables are empty. Such a plan considers all
//! indexes that begin with the organisation equal, and may read all rows of the organisation again and again while
//! their number grows: the time of a first import grew with the square of its size. Therefore the statements leave the
//! planner no choice, see [`begin`].

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::{EntityTrait, IdenStatic, Iterable, ModelTrait, PrimaryKeyToColumn, QueryResult, Value};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use super::existing::Existing;
use crate::error::{Failure, store_error};
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::{Sql, model};

/// Disables sorting; runs before [`with_keys`] and [`lock`] in a transaction. The planner then cannot use an index that
/// does not return the rows in the order of the keys, even if it estimates a lower cost for such an index.
pub(super) async fn begin<C: Connection>(connection: &C) -> StoreResult<()> {
    connection.set("SET LOCAL enable_sort = off").await.map_err(store_error)
}

/// Returns the rows of an organisation that have one of these keys in a unique column.
pub(super) async fn with_keys<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    column: E::Column,
    keys: &[String],
) -> StoreResult<Vec<E::Model>> {
    let rows = look_up::<E>(connection, organisation, &columns::<E>().join(", "), column, keys, "").await?;
    rows.iter().map(model).collect()
}

/// Returns the ids of the rows of an organisation that have one of these keys in a unique column.
pub(super) async fn ids<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    column: E::Column,
    id: E::Column,
    keys: &[String],
) -> StoreResult<Vec<String>> {
    let rows = look_up::<E>(connection, organisation, id.as_str(), column, keys, "").await?;
    rows.iter().map(|row| row.try_get_by_index(0).map_err(store_error)).collect()
}

/// Locks and reads the rows with these ids, which must be sorted. It waits for each row and locks it in this order
/// until the end of the transaction: transactions that lock rows in one order cannot deadlock. Each row is returned as
/// the last transaction that changed it has left it.
pub(super) async fn lock<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    id: E::Column,
    ids: &[String],
) -> StoreResult<Vec<E::Model>> {
    let rows = look_up::<E>(connection, organisation, &columns::<E>().join(", "), id, ids, " FOR UPDATE").await?;
    rows.iter().map(model).collect()
}

/// Looks up each key by the index of its column. The outer loop of the statement is the list of keys, so that rows are
/// returned in its order.
async fn look_up<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    columns: &str,
    column: E::Column,
    keys: &[String],
    lock: &str,
) -> StoreResult<Vec<QueryResult>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let table = E::default().table_name();
    let mut sql = Sql::new(Label::on("SELECT", table), "SELECT ");
    sql.push(columns).push(" FROM pg_catalog.json_array_elements_text(CAST(").bind(json(&keys)?);
    sql.push(" AS json)) AS asked (key) CROSS JOIN LATERAL (SELECT ").push(columns);
    sql.push(" FROM ").push(table).push(" WHERE organisation_key = ").bind(organisation.0);
    // At most one row has a key. For an equality, PostgreSQL would know that no order is needed.
    let column = column.as_str();
    sql.push(&format!(
        " AND {column} >= asked.key AND {column} <= asked.key ORDER BY {column} LIMIT 1{lock}) AS found"
    ));
    sql.all(connection).await
}

/// Removes rows by their ids.
pub(super) async fn remove<E: EntityTrait>(
    connection: &impl Connection,
    organisation: OrganisationKey,
    ids: &[String],
) -> StoreResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    // This statement is rare and has no order to enforce. It is planned when it runs, with the number of rows that
    // exist then.
    connection.set("SET LOCAL plan_cache_mode = force_custom_plan").await.map_err(store_error)?;
    let mut sql = Sql::delete(E::default().table_name(), " WHERE organisation_key = ");
    sql.bind(organisation.0);
    is_one_of(&mut sql, "id", ids)?;
    sql.all(connection).await.map(drop)
}

/// Appends the condition that a column has one of these values.
pub(super) fn is_one_of(sql: &mut Sql, column: &str, values: &[String]) -> StoreResult<()> {
    sql.push(" AND ")
        .push(column)
        .push(" = ANY (ARRAY(SELECT pg_catalog.json_array_elements_text(CAST(")
        .bind(json(&values)?);
    sql.push(" AS json))))");
    Ok(())
}

/// Inserts whole rows.
pub(super) async fn write<E: EntityTrait>(
    connection: &impl Connection,
    rows: &[E::Model],
    existing: Existing,
) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (table, columns) = (E::default().table_name(), columns::<E>());
    let list = columns.join(", ");
    // The name of the table is a type too. Columns that a JSON row leaves out are NULL.
    let from = format!("({list}) SELECT {list} FROM pg_catalog.json_populate_recordset(NULL::{table}, CAST(");
    let mut sql = Sql::insert(table, &from);
    sql.bind(json(&rows.iter().map(Row).collect::<Vec<_>>())?).push(" AS json))");
    if existing == Existing::Replaced {
        let keys: Vec<_> = E::PrimaryKey::iter().map(|key| key.into_column().as_str()).collect();
        let values = columns.iter().filter(|column| !keys.contains(column));
        let values: Vec<_> = values.map(|column| format!("{column} = excluded.{column}")).collect();
        sql.push(&format!(" ON CONFLICT ({}) DO UPDATE SET {}", keys.join(", "), values.join(", ")));
    }
    sql.all(connection).await.map(drop)
}

fn columns<E: EntityTrait>() -> Vec<&'static str> {
    E::Column::iter().map(|column| column.as_str()).collect()
}

fn json(value: &impl Serialize) -> StoreResult<String> {
    Ok(serde_json::to_string(value).map_err(|error| Failure::fault(error.to_string()))?)
}

/// Serialises a row as an object of its columns. NULL columns are left out: most columns of a row are NULL.
struct Row<'a, M>(&'a M);

impl<M: ModelTrait> Serialize for Row<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        for column in <M::Entity as EntityTrait>::Column::iter() {
            let name = column.as_str();
            match self.0.get(column) {
                Value::String(Some(text)) => members.serialize_entry(name, &text)?,
                Value::Int(Some(number)) => members.serialize_entry(name, &number)?,
                Value::BigInt(Some(number)) => members.serialize_entry(name, &number)?,
                Value::Double(Some(number)) if number.is_finite() => members.serialize_entry(name, &number)?,
                Value::String(None) | Value::Int(None) | Value::BigInt(None) | Value::Double(None) => {}
                _ => return Err(S::Error::custom(format!("{name} is of a type that no column has"))),
            }
        }
        members.end()
    }
}
