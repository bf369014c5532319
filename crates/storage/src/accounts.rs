//! Organisations, log-ins, API keys and released sessions.

use std::borrow::Cow;

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::secret::CodeHash;
use access_tokens_domain::session::{OrganisationKey, Permissions};
use access_tokens_domain::store::{
    AccountStore, ApiKey, Credential, KeyTerms, NewSession, OrganisationRef, ReleasedAfter, ReleasedPage, StoreResult,
    Transaction as _, UserAccount,
};
use access_tokens_domain::text;
use access_tokens_domain::time::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect};

use crate::administration;
use crate::convert::{self, micros};
use crate::database::Database;
use crate::entities::{api_key, organisation as organisations, user_credential};
use crate::error::{Failure, store_error};
use crate::sessions;
use crate::sql::label::Label;
use crate::sql::{self, Sql, get, model};

/// Application name of servers of version 0.2.0 and earlier. Later servers append their version.
const FORMER_APPLICATION_NAME: &str = "access-tokens";

/// Minimum time between two records of the use of a key, in microseconds: one minute.
const USE_PRECISION: i64 = 60_000_000;

impl AccountStore for Database {
    async fn organisation_by_name(&self, name: &str) -> StoreResult<Option<OrganisationRef>> {
        if let Some(found) = self.organisation(organisations::Column::Name, name).await? {
            return Ok(Some(found));
        }
        match text::nfc(name) {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(normalised) => self.organisation(organisations::Column::Name, &normalised).await,
        }
    }

    async fn organisation_by_id(&self, id: &str) -> StoreResult<Option<OrganisationRef>> {
        self.organisation(organisations::Column::Id, id).await
    }

    async fn organisations(&self) -> StoreResult<Vec<OrganisationRef>> {
        let select = organisations::Entity::find()
            .select_only()
            .columns([organisations::Column::Key, organisations::Column::Id, organisations::Column::Name])
            .order_by_asc(organisations::Column::Key);
        let sql = Sql::of_entity::<organisations::Entity>("SELECT", &select, self.backend_name());
        let organisation = |row: &QueryResult| {
            let (key, id, name) = row.try_get_many_by_index().map_err(store_error)?;
            Ok(OrganisationRef { key: OrganisationKey(key), id, name })
        };
        sql.all(&self.readers()).await?.iter().map(organisation).collect()
    }

    async fn ensure_organisation(&self, organisation: &Organisation) -> StoreResult<OrganisationRef> {
        let mut sql = Sql::insert(
            "organisation",
            "(id, name, number_prefix, legacy_compatibility, definition, directory_version) VALUES (",
        );
        sql.bind(organisation.id.as_str()).push(", ").bind(organisation.name.as_str()).push(", ");
        sql.bind(organisation.number_prefix.as_str()).push(", ").bind(organisation.legacy_compatibility).push(", ");
        sql.bind(convert::definition(organisation)?).push(", 1) ON CONFLICT (name) DO NOTHING");
        if let Some(found) = self.organisation_by_name(&organisation.name).await? {
            return Ok(found);
        }
        self.write(sql).await?;
        let created = self.organisation_by_name(&organisation.name).await?;
        created.ok_or_else(|| Failure::fault("an organisation vanished").into())
    }

    async fn rename_organisation(&self, organisation: OrganisationKey, name: &str) -> StoreResult<()> {
        let mut sql = Sql::update("organisation", "directory_version = directory_version + 1, name = ");
        sql.bind(name).push(" WHERE key = ").bind(organisation.0);
        self.write(sql).await.map(drop)
    }

    async fn credential_by_username(
        &self,
        organisation: OrganisationKey,
        username: &str,
    ) -> StoreResult<Option<Credential>> {
        let mut sql = Sql::new(
            Label::select(&["app_user", "user_credential"]),
            "SELECT c.* FROM app_user u JOIN user_credential c ON c.organisation_key = u.organisation_key \
             AND c.user_id = u.id WHERE u.organisation_key = ",
        );
        sql.bind(organisation.0);
        with_username(&mut sql, username);
        let rows = sql.find(&self.readers()).await?;
        rows.first().map(|row| convert::credential(model(row)?)).transpose()
    }

    async fn credential(&self, organisation: OrganisationKey, user: &str) -> StoreResult<Option<Credential>> {
        let select = user_credential::Entity::find()
            .filter(user_credential::Column::OrganisationKey.eq(organisation.0))
            .filter(user_credential::Column::UserId.eq(user));
        sql::select(&self.readers(), &select).await?.pop().map(convert::credential).transpose()
    }

    async fn account(&self, organisation: OrganisationKey, user: &str) -> StoreResult<Option<UserAccount>> {
        let mut sql = Sql::select("c.*", "user_credential", " c WHERE c.disabled_date IS NULL");
        sql.push(" AND c.organisation_key = ").bind(organisation.0).push(" AND c.user_id = ").bind(user);
        sql.find(&self.readers()).await?.first().map(account).transpose()
    }

    async fn account_with_key(
        &self,
        organisation: OrganisationKey,
        user: &str,
        key: &str,
    ) -> StoreResult<Option<(UserAccount, KeyTerms)>> {
        let mut sql = Sql::new(
            Label::select(&["user_credential", "api_key"]),
            "SELECT c.*, k.id AS key_id, k.permissions AS key_permissions, k.unit AS key_unit, k.expires_date, \
             k.revoked_date FROM user_credential c JOIN api_key k ON k.organisation_key = c.organisation_key \
             AND k.user_id = c.user_id WHERE c.disabled_date IS NULL AND c.organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND c.user_id = ").bind(user).push(" AND k.id = ").bind(key);
        let rows = sql.find(&self.readers()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let permissions: Option<String> = get(row, "key_permissions")?;
        let permissions = permissions.as_deref().map(Permissions::from_stored);
        let terms = KeyTerms {
            permissions,
            unit: get(row, "key_unit")?,
            expires: convert::optional_time(get(row, "expires_date")?, "api_key.expires_date")?,
            revoked: convert::optional_time(get(row, "revoked_date")?, "api_key.revoked_date")?,
        };
        Ok(Some((account(row)?, terms)))
    }

    async fn api_key(&self, id: &str) -> StoreResult<Option<ApiKey>> {
        let select = api_key::Entity::find().filter(api_key::Column::Id.eq(id));
        sql::select(&self.readers(), &select).await?.pop().map(convert::api_key).transpose()
    }

    async fn add_api_key(&self, key: &ApiKey, created: Timestamp) -> StoreResult<()> {
        let mut transaction = self.begin_on_accounts(key.organisation).await?;
        administration::grant_key_permissions(&mut transaction, key).await?;
        transaction.all(administration::insert_key(key, created)).await?;
        transaction.commit().await
    }

    async fn replace_api_key_hash(&self, id: &str, old: &CodeHash, new: &CodeHash) -> StoreResult<bool> {
        let mut sql = Sql::update("api_key", "secret_hash = ");
        sql.bind(new.as_stored()).push(" WHERE id = ").bind(id).push(" AND secret_hash = ").bind(old.as_stored());
        sql.push(" AND revoked_date IS NULL RETURNING id");
        Ok(self.write(sql).await?.first().is_some())
    }

    async fn record_key_use(&self, id: &str, used: Timestamp, address: Option<&str>) -> StoreResult<()> {
        let used = micros(used);
        let mut sql = Sql::update("api_key", "last_used_date = ");
        sql.bind(used).push(", last_used_address = ").bind(address.map(str::to_owned));
        sql.push(" WHERE id = ").bind(id).push(" AND (last_used_date IS NULL OR last_used_date <= ");
        sql.bind(used - USE_PRECISION).push(")");
        self.write(sql).await.map(drop)
    }

    async fn open_session(&self, session: &NewSession<'_>) -> StoreResult<Option<(Timestamp, Timestamp)>> {
        let answer = self.write(sessions::open(session, self.is_sqlite())).await?;
        let Some(mut row_reader) = answer.first() else { return Ok(None) };
        let (issued, expires) = (row_reader.read::<i64>()?, row_reader.read::<i64>()?);
        Ok(Some((convert::time(issued, "session.issued")?, convert::time(expires, "session.expires")?)))
    }

    async fn release_session(&self, session: &str, expires: Timestamp) -> StoreResult<()> {
        self.write(sessions::release(session, expires, self.is_sqlite())).await.map(drop)
    }

    async fn delete_sessions(&self, released: &[(OrganisationKey, String)]) -> StoreResult<()> {
        for statement in sessions::delete(released) {
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn released_sessions(&self, after: &ReleasedAfter, now: Timestamp, limit: u32) -> StoreResult<ReleasedPage> {
        let rows = sessions::released(after, now, limit, self.is_sqlite()).find(&self.readers()).await?;
        sessions::page(&rows)
    }

    async fn has_former_servers(&self) -> StoreResult<bool> {
        // Only one process serves a SQLite file.
        if self.is_sqlite() {
            return Ok(false);
        }
        let mut sql = Sql::new(
            Label::CATALOG,
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity WHERE application_name = ",
        );
        sql.bind(FORMER_APPLICATION_NAME).push(" AND datname = current_database()) AS found");
        let rows = sql.find(&self.readers()).await?;
        rows.first().map_or(Ok(false), |row| get(row, "found"))
    }

    async fn forget_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<bool> {
        let mut more = false;
        for table in sessions::EXPIRING {
            more |= self.write(sessions::forget(table, now, limit, self.is_sqlite())).await?.rows() >= limit as usize;
        }
        Ok(more)
    }
}

impl Database {
    async fn organisation(&self, column: organisations::Column, value: &str) -> StoreResult<Option<OrganisationRef>> {
        let select = organisations::Entity::find().filter(column.eq(value));
        Ok(sql::select(&self.readers(), &select).await?.pop().map(convert::organisation_ref))
    }
}

/// Appends the condition on the name of the user `u`: the name as it was presented, otherwise its normalised form.
pub(super) fn with_username(sql: &mut Sql, username: &str) {
    match text::nfc(username) {
        Cow::Borrowed(_) => _ = sql.push(" AND u.username = ").bind(username),
        Cow::Owned(normalised) => {
            sql.push(" AND u.username IN (").bind(username).push(", ").bind(normalised);
            sql.push(") ORDER BY CASE WHEN u.username = ").bind(username).push(" THEN 0 ELSE 1 END");
        }
    }
}

/// Reads the account from a row with the columns of `user_credential`.
fn account(row: &QueryResult) -> StoreResult<UserAccount> {
    let not_before: Option<i64> = get(row, "sessions_not_before")?;
    Ok(UserAccount {
        credential: convert::credential(model(row)?)?,
        sessions_not_before: convert::optional_time(not_before, "user_credential.sessions_not_before")?,
    })
}
