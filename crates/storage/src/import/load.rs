//! Reads the stored rows that a batch of records may touch.

use std::collections::HashSet;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Credential, ImportKeys, ImportRows, StoreResult};
use sea_orm::{EntityTrait, ModelTrait};

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

/// Maximum number of names in one statement.
const NAME_BATCH_SIZE: usize = 256;

/// Reads all stored rows that a batch of records may touch. Locks the tokens and the credentials until the end of the
/// transaction.
pub(crate) async fn load<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    keys: &ImportKeys,
) -> StoreResult<ImportRows> {
    if is_postgres(connection) {
        bulk_json::begin(connection).await?;
    }
    let reader = Reader { connection, organisation };
    let mut account_ids = keys.account_ids.clone();
    account_ids.extend(reader.accounts_named(&keys.account_names).await?);
    let contacts = [(contact_information::Column::Id, keys.contacts.as_slice())];
    let accounts = [
        (accounts_receivable::Column::Id, account_ids.as_slice()),
        (accounts_receivable::Column::Number, &keys.account_numbers),
    ];
    let participants = [
        (rewards_participant::Column::Id, keys.participant_ids.as_slice()),
        (rewards_participant::Column::Number, &keys.participant_numbers),
    ];
    Ok(ImportRows {
        contacts: reader.find(&contacts, |row| &row.id, convert::contact).await?,
        credentials: reader.credentials(&keys.credentials).await?,
        accounts: reader.find(&accounts, |row| &row.id, convert::accounts_receivable).await?,
        participants: reader.find(&participants, |row| &row.id, convert::rewards_participant).await?,
        tokens: reader.tokens(keys).await?,
    })
}

/// Reads rows of one organisation.
struct Reader<'a, C> {
    connection: &'a C,
    organisation: OrganisationKey,
}

impl<C: Connection> Reader<'_, C> {
    /// Returns the ids of accounts with these names: one or two for each name, which is enough to know whether the name
    /// is ambiguous.
    async fn accounts_named(&self, names: &[String]) -> StoreResult<Vec<String>> {
        let mut ids = Vec::new();
        for names in names.chunks(NAME_BATCH_SIZE) {
            let mut sql = Sql::select("min(id), max(id)", "accounts_receivable", " WHERE organisation_key = ");
            // Only the beginning of a name is indexed.
            let beginnings = names.iter().map(|name| name.chars().take(INDEXED_CHARACTERS).collect::<String>());
            sql.bind(self.organisation.0).push(" AND substr(name, 1, 100) IN (").bind_all(beginnings);
            sql.push(") AND name IN (").bind_all(names.iter().map(String::as_str)).push(") GROUP BY name");
            for row in sql.all(self.connection).await? {
                let (first, last): (String, String) = row.try_get_many_by_index().map_err(store_error)?;
                ids.extend([first, last]);
            }
        }
        Ok(ids)
    }

    /// Reads the credentials of these users.
    async fn credentials(&self, users: &[String]) -> StoreResult<Vec<Credential>> {
        use user_credential::{Column, Entity};
        let rows = if is_postgres(self.connection) {
            bulk_json::lock::<Entity>(self.connection, self.organisation, Column::UserId, users).await?
        } else {
            bulk_values::with_keys::<Entity>(self.connection, self.organisation, Column::UserId, users).await?
        };
        rows.into_iter().map(convert::credential).collect()
    }

    /// Reads the tokens that have one of the keys, each once.
    async fn tokens(&self, keys: &ImportKeys) -> StoreResult<Vec<AccessToken>> {
        use access_token::{Column, Entity};
        let keys = [
            (Column::Id, keys.token_ids.as_slice()),
            (Column::Number, &keys.token_numbers),
            (Column::AuthenticationCode, &keys.authentication_codes),
            (Column::Identifier, &keys.identifiers),
        ];
        if !is_postgres(self.connection) {
            return self.find(&keys, |row| &row.id, convert::token).await;
        }
        let [(_, ids), others @ ..] = keys;
        let mut ids = ids.to_vec();
        for (column, keys) in others {
            ids.extend(bulk_json::ids::<Entity>(self.connection, self.organisation, column, Column::Id, keys).await?);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LOCK_BATCH_SIZE) {
            for row in bulk_json::lock::<Entity>(self.connection, self.organisation, Column::Id, ids).await? {
                found.push(convert::token(row)?);
            }
        }
        Ok(found)
    }

    /// Reads the rows that have one of the keys in their column, each row once.
    async fn find<M: ModelTrait<Entity: EntityTrait<Model = M>>, T>(
        &self,
        keys: &[(<M::Entity as EntityTrait>::Column, &[String])],
        id: fn(&M) -> &String,
        convert: fn(M) -> StoreResult<T>,
    ) -> StoreResult<Vec<T>> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        for (column, keys) in keys {
            let rows = if is_postgres(self.connection) {
                bulk_json::with_keys::<M::Entity>(self.connection, self.organisation, *column, keys).await?
            } else {
                bulk_values::with_keys::<M::Entity>(self.connection, self.organisation, *column, keys).await?
            };
            for row in rows {
                if seen.insert(id(&row).clone()) {
                    found.push(convert(row)?);
                }
            }
        }
        Ok(found)
    }
}
