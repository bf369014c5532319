//! Reads and writes of an import, with many rows for each statement.
//!
//! An import works in memory on the rows that it has read, and writes whole rows. So that no change of another caller
//! in the meantime is lost, it locks the rows that other callers change: tokens and credentials. It finds their ids
//! without a lock, then locks and reads them in one pass in the order of their ids (ADR 23). It replaces only rows that
//! it has locked. It inserts all other rows, and the unique indexes refuse the batch if such a row has appeared
//! meanwhile. Only imports write the other tables, and the lock on the directory allows one import at a time. SQLite
//! has one writer, so that the transaction itself is the lock.

mod bulk_json;
mod bulk_values;
mod drafts;
mod existing;
mod load;

pub(crate) use drafts::DraftFile;
pub(crate) use load::load;

use std::collections::HashSet;

use access_tokens_domain::policy::Creation;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{ImportChanges, ImportRows, Sequence, StoreResult};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter};

use self::existing::Existing;
use crate::convert;
use crate::entities::{access_token, organisation as organisations, user_credential};
use crate::sequence;
use crate::sessions;
use crate::sql::connection::Connection;
use crate::sql::{self, Sql, is_postgres};

/// Ids of the rows that a transaction has read and locked until its end. Only these may be replaced.
#[derive(Debug, Default)]
pub(crate) struct LockedRows {
    tokens: HashSet<String>,
    credentials: HashSet<String>,
}

impl LockedRows {
    /// Adds the rows that a read has returned.
    pub(crate) fn add(&mut self, rows: &ImportRows) {
        self.tokens.extend(rows.tokens.iter().map(|token| token.id.clone()));
        self.credentials.extend(rows.credentials.iter().map(|credential| credential.user.clone()));
    }
}

/// Maximum number of renamed tokens in one statement.
const RENAME_BATCH_SIZE: usize = 100;

/// Writes a batch. Replaces the tokens and credentials in `locked_rows`, and inserts all others.
pub(crate) async fn save<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    changes: &ImportChanges,
    locked_rows: &LockedRows,
) -> StoreResult<()> {
    BatchWriter { connection, organisation }.save(changes, locked_rows).await
}

/// Writes rows of one organisation.
struct BatchWriter<'a, C> {
    connection: &'a C,
    organisation: OrganisationKey,
}

impl<C: Connection> BatchWriter<'_, C> {
    async fn save(&self, changes: &ImportChanges, locked_rows: &LockedRows) -> StoreResult<()> {
        self.save_organisation(changes).await?;
        self.replace(&changes.business_units, convert::business_unit_row).await?;
        self.replace(&changes.units, convert::unit_row).await?;
        let users: Vec<_> = changes.users.iter().map(|user| user.id.clone()).collect();
        // A batch may give the name of one user to another, as it may with the codes of tokens.
        self.update("app_user", "username = NULL", &users).await?;
        self.replace(&changes.users, convert::user_row).await?;
        let rows = changes.credentials.iter().map(|one| convert::credential_row(self.organisation, one)).collect();
        self.write_locked::<user_credential::Entity>(rows, |row| locked_rows.credentials.contains(&row.user_id))
            .await?;
        sessions::end_after_import(self.connection, self.organisation, changes).await?;
        self.replace(&changes.countries, convert::country_row).await?;
        self.replace(&changes.industries, convert::industry_row).await?;
        self.replace(&changes.industry_sectors, convert::industry_sector_row).await?;
        self.replace(&changes.classifications, convert::classification_row).await?;
        self.replace(&changes.contacts, convert::contact_row).await?;
        self.replace(&changes.accounts, convert::accounts_receivable_row).await?;
        self.replace(&changes.participants, convert::rewards_participant_row).await?;
        // Removed tokens first: the tokens that replace them have their numbers or codes.
        let removed = &changes.renamed_tokens.iter().map(|(old, _)| old.clone()).collect::<Vec<_>>();
        if is_postgres(self.connection) {
            bulk_json::remove::<access_token::Entity>(self.connection, self.organisation, removed).await?;
        } else {
            bulk_values::remove::<access_token::Entity>(self.connection, self.organisation, removed).await?;
        }
        for table in ["credential_attempt", "code_issue"] {
            self.move_counts(table, &changes.renamed_tokens).await?;
        }
        self.free_unique_keys(&changes.vacated_tokens).await?;
        let rows = changes.tokens.iter().map(|token| convert::token_row(self.organisation, token)).collect();
        self.write_locked::<access_token::Entity>(rows, |row| locked_rows.tokens.contains(&row.id)).await?;
        self.raise_sequences(changes).await
    }

    /// Replaces number, code and identifier of the tokens whose values the batch changes by temporary ones, so that
    /// other tokens of the batch can take the old values: unique indexes check each row when it is written. The
    /// temporary values begin with a control character, as no code does, so that they are unique.
    async fn free_unique_keys(&self, ids: &[String]) -> StoreResult<()> {
        let unused = if is_postgres(self.connection) { "chr(1) || id" } else { "char(1) || id" };
        let columns = format!("number = {unused}, authentication_code = {unused}, identifier = NULL");
        self.update("access_token", &columns, ids).await
    }

    /// Moves the counters of tokens to the new ids of the tokens. No id begins with a control character: with one as
    /// prefix, the rows of an old id do not collide with a token that gets that id.
    async fn move_counts(&self, table: &str, renamed: &[(String, String)]) -> StoreResult<()> {
        let renamed: Vec<_> = renamed.iter().filter(|(old, new)| old != new).collect();
        let aside = if is_postgres(self.connection) { "chr(1) || " } else { "char(1) || " };
        let of_organisation = |sql: &mut Sql, renamed: &[&(String, String)], prefix: &str, new: bool| {
            sql.push(" WHERE organisation_key = ").bind(self.organisation.0).push(" AND subject IN (");
            for (i, (old_id, new_id)) in renamed.iter().enumerate() {
                sql.push(if i == 0 { "" } else { ", " }).push(prefix).bind(if new { new_id } else { old_id }.as_str());
            }
            sql.push(")");
        };
        for renamed in renamed.chunks(RENAME_BATCH_SIZE) {
            let mut sql = Sql::update(table, &format!("subject = {aside}subject"));
            of_organisation(&mut sql, renamed, "", false);
            sql.all(self.connection).await?;
        }
        for renamed in renamed.chunks(RENAME_BATCH_SIZE) {
            let mut sql = Sql::delete(table, "");
            of_organisation(&mut sql, renamed, "", true);
            sql.all(self.connection).await?;
            let mut sql = Sql::update(table, "subject = CASE subject");
            for (old, new) in renamed {
                sql.push(" WHEN ").push(aside).bind(old.as_str()).push(" THEN ").bind(new.as_str());
            }
            sql.push(" END");
            of_organisation(&mut sql, renamed, aside, false);
            sql.all(self.connection).await?;
        }
        Ok(())
    }

    /// Runs an update for the rows with these ids.
    async fn update(&self, table: &str, columns: &str, ids: &[String]) -> StoreResult<()> {
        let postgres = is_postgres(self.connection);
        for ids in ids.chunks(if postgres { ids.len().max(1) } else { 256 }) {
            let mut sql = Sql::update(table, columns);
            sql.push(" WHERE organisation_key = ").bind(self.organisation.0);
            if postgres {
                bulk_json::is_one_of(&mut sql, "id", ids)?;
            } else {
                sql.push(" AND id IN (").bind_all(ids.iter().map(String::as_str)).push(")");
            }
            sql.all(self.connection).await?;
        }
        Ok(())
    }

    /// Writes the settings of the organisation, except its id and its name. Increments the version of the organisation
    /// if the import changes data that is cached in memory.
    async fn save_organisation(&self, changes: &ImportChanges) -> StoreResult<()> {
        if !changes.touches_reference() {
            return Ok(());
        }
        let mut sql = Sql::update("organisation", "directory_version = directory_version + 1");
        if let Some(organisation) = &changes.organisation {
            sql.push(", number_prefix = ").bind(organisation.number_prefix.as_str());
            sql.push(", legacy_compatibility = ").bind(organisation.legacy_compatibility);
            sql.push(", definition = ").bind(convert::definition(organisation)?);
        }
        sql.push(" WHERE key = ").bind(self.organisation.0);
        sql.all(self.connection).await.map(drop)
    }

    /// Inserts whole rows, or replaces them by their primary key.
    async fn replace<T, M>(&self, values: &[T], to_row: fn(OrganisationKey, &T) -> StoreResult<M>) -> StoreResult<()>
    where
        M: ModelTrait<Entity: EntityTrait<Model = M>> + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    {
        let rows: StoreResult<Vec<_>> = values.iter().map(|value| to_row(self.organisation, value)).collect();
        self.write::<M::Entity>(rows?, Existing::Replaced).await
    }

    /// Inserts whole rows.
    async fn write<E: EntityTrait>(&self, rows: Vec<E::Model>, existing: Existing) -> StoreResult<()>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        if is_postgres(self.connection) {
            bulk_json::write::<E>(self.connection, &rows, existing).await
        } else {
            bulk_values::write::<E>(self.connection, rows, existing).await
        }
    }

    /// Replaces the rows that the transaction has locked, and inserts all others.
    async fn write_locked<E: EntityTrait>(
        &self,
        rows: Vec<E::Model>,
        is_locked: impl Fn(&E::Model) -> bool,
    ) -> StoreResult<()>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let (locked, new) = rows.into_iter().partition(is_locked);
        self.write::<E>(locked, Existing::Replaced).await?;
        self.write::<E>(new, Existing::Refused).await
    }

    /// Raises the sequences above the numbers and codes of this batch, so that none of them is issued again. A new
    /// prefix or policy may turn existing numbers and codes into those of a sequence.
    async fn raise_sequences(&self, changes: &ImportChanges) -> StoreResult<()> {
        let tokens = &changes.tokens;
        if !tokens.is_empty() {
            let prefix = self.number_prefix().await?;
            let raised = [
                (Sequence::TokenNumber, sequence::highest(tokens.iter().map(|token| token.number.as_str()), &prefix)),
                (
                    Sequence::AuthenticationCode,
                    sequence::highest_code(tokens.iter().map(|t| t.authentication_code.as_str())),
                ),
                (Sequence::Identifier, sequence::highest_code(tokens.iter().filter_map(|t| t.identifier.as_deref()))),
            ];
            for (name, highest) in raised {
                if let Some(highest) = highest {
                    sequence::raise(self.connection, self.organisation, name, highest).await?;
                }
            }
        }
        if let Some(organisation) = &changes.organisation {
            sequence::realign(self.connection, self.organisation, Sequence::TokenNumber, &organisation.number_prefix)
                .await?;
        }
        let definition = changes.organisation.as_ref().map(|organisation| &organisation.definition);
        let policies = changes.classifications.iter().filter_map(|classification| classification.policy.as_ref());
        for policy in definition.into_iter().chain(policies) {
            let rules = [
                (Sequence::AuthenticationCode, &policy.authentication_code),
                (Sequence::Identifier, &policy.identifier),
            ];
            for (name, rules) in rules {
                if rules.creation == Creation::AutoNumber {
                    sequence::realign(self.connection, self.organisation, name, &rules.auto_number_prefix()).await?;
                }
            }
        }
        Ok(())
    }

    async fn number_prefix(&self) -> StoreResult<String> {
        let organisation = organisations::Entity::find().filter(organisations::Column::Key.eq(self.organisation.0));
        let organisation = sql::select(self.connection, &organisation).await?.pop();
        Ok(organisation.map(|row| row.number_prefix).unwrap_or_default())
    }
}
