//! Organisations, logins, API keys and released sessions.

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{AccountStore, ApiKey, Credential, OrganisationRef, StoreResult};
use access_tokens_domain::time::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use crate::convert::{self, micros};
use crate::database::Database;
use crate::entities::{api_key, organisation as organisations, released_session, user_credential};
use crate::error::{Failure, store_error};
use crate::sql::{Sql, cannot_exist};

impl AccountStore for Database {
    async fn organisation_by_name(&self, name: &str) -> StoreResult<Option<OrganisationRef>> {
        self.organisation(organisations::Column::Name, name).await
    }

    async fn organisation_by_id(&self, id: &str) -> StoreResult<Option<OrganisationRef>> {
        self.organisation(organisations::Column::Id, id).await
    }

    async fn organisations(&self) -> StoreResult<Vec<OrganisationRef>> {
        let select = organisations::Entity::find()
            .select_only()
            .columns([organisations::Column::Key, organisations::Column::Id, organisations::Column::Name])
            .order_by_asc(organisations::Column::Key)
            .into_tuple::<(i32, String, String)>();
        let rows = select.all(&self.readers()).await.map_err(store_error)?;
        Ok(rows.into_iter().map(|(key, id, name)| OrganisationRef { key: OrganisationKey(key), id, name }).collect())
    }

    async fn ensure_organisation(&self, organisation: &Organisation) -> StoreResult<OrganisationRef> {
        let mut sql = Sql::new(
            "INSERT INTO organisation \
             (id, name, number_prefix, legacy_compatibility, definition, directory_version) VALUES (",
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
        let mut sql = Sql::new("UPDATE organisation SET directory_version = directory_version + 1, name = ");
        sql.bind(name).push(" WHERE key = ").bind(organisation.0);
        self.write(sql).await?;
        Ok(())
    }

    async fn credential_by_username(
        &self,
        organisation: OrganisationKey,
        username: &str,
    ) -> StoreResult<Option<Credential>> {
        let mut sql = Sql::new(
            "SELECT c.* FROM app_user u JOIN user_credential c ON c.organisation_key = u.organisation_key \
             AND c.user_id = u.id WHERE u.organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND u.username = ").bind(username);
        let rows = sql.find(&self.readers()).await?;
        let row = rows.first().map(|row| user_credential::Model::from_query_result(row, ""));
        row.transpose().map_err(store_error)?.map(convert::credential).transpose()
    }

    async fn credential(&self, organisation: OrganisationKey, user: &str) -> StoreResult<Option<Credential>> {
        if cannot_exist(user) {
            return Ok(None);
        }
        let select = user_credential::Entity::find()
            .filter(user_credential::Column::OrganisationKey.eq(organisation.0))
            .filter(user_credential::Column::UserId.eq(user));
        let mut rows = select.all(&self.readers()).await.map_err(store_error)?;
        rows.pop().map(convert::credential).transpose()
    }

    async fn api_key(&self, id: &str) -> StoreResult<Option<ApiKey>> {
        if cannot_exist(id) {
            return Ok(None);
        }
        let select = api_key::Entity::find().filter(api_key::Column::Id.eq(id));
        let mut rows = select.all(&self.readers()).await.map_err(store_error)?;
        Ok(rows.pop().map(convert::api_key))
    }

    async fn add_api_key(&self, key: &ApiKey, created: Timestamp) -> StoreResult<()> {
        let mut sql =
            Sql::new("INSERT INTO api_key (id, organisation_key, user_id, secret_hash, created_date) VALUES (");
        sql.bind(key.id.as_str()).push(", ").bind(key.organisation.0).push(", ").bind(key.user.as_str()).push(", ");
        sql.bind(key.hash.as_stored()).push(", ").bind(micros(created)).push(")");
        self.write(sql).await?;
        Ok(())
    }

    async fn release_session(&self, session: &str, released_at: Timestamp, expires_at: Timestamp) -> StoreResult<()> {
        let mut sql = Sql::new("INSERT INTO released_session (id, released_at, expires_at) VALUES (");
        sql.bind(session).push(", ").bind(micros(released_at)).push(", ").bind(micros(expires_at));
        sql.push(") ON CONFLICT (id) DO NOTHING");
        self.write(sql).await?;
        Ok(())
    }

    async fn released_sessions(&self, now: Timestamp) -> StoreResult<Vec<String>> {
        let select = released_session::Entity::find().filter(released_session::Column::ExpiresAt.gt(micros(now)));
        let rows = select.all(&self.readers()).await.map_err(store_error)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    async fn forget_released_sessions(&self, now: Timestamp) -> StoreResult<()> {
        let mut sql = Sql::new("DELETE FROM released_session WHERE expires_at <= ");
        sql.bind(micros(now));
        self.write(sql).await?;
        Ok(())
    }
}

impl Database {
    async fn organisation(&self, column: organisations::Column, value: &str) -> StoreResult<Option<OrganisationRef>> {
        if cannot_exist(value) {
            return Ok(None);
        }
        let select = organisations::Entity::find().filter(column.eq(value));
        let mut rows = select.all(&self.readers()).await.map_err(store_error)?;
        Ok(rows.pop().map(convert::organisation_ref))
    }
}
