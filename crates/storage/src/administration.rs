//! API keys as an administrator sees and changes them.
//!
//! Each change is one transaction. It keeps imports into the organisation, and other changes of its users and keys,
//! waiting. Therefore what the transaction has read stays true until its commit.

use access_tokens_domain::secret::CodeHash;
use access_tokens_domain::session::{OrganisationKey, Permission, Permissions};
use access_tokens_domain::store::{
    AdministrationStore, ApiKey, Change, Disabled, KeyDetails, Rotated, Store, StoreResult, Transaction as _,
    UserDetails,
};
use access_tokens_domain::time::Timestamp;
use sea_orm::QueryResult;

use crate::administrators::{has_admin, push_has_key};
use crate::convert::{self, micros};
use crate::database::Database;
use crate::sessions::{self, SessionOwner};
use crate::sql::label::Label;
use crate::sql::{Sql, cannot_exist, get, model};
use crate::transaction::Transaction;

/// Sets the statement timeout of one transaction to one minute.
const LONG_STATEMENTS: &str = "SET LOCAL statement_timeout = 60000";

/// Columns of a key that [`key_of_row`] reads.
const KEY_COLUMNS: &str =
    "id, organisation_key, user_id, secret_hash, created_date, permissions, unit, expires_date, revoked_date";

impl AdministrationStore for Database {
    async fn api_keys(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<KeyDetails>> {
        let mut sql = Sql::new(
            Label::select(&["api_key", "app_user", "user_credential"]),
            "SELECT k.*, u.username, c.permissions AS user_permissions, c.disabled_date FROM api_key k \
             LEFT JOIN app_user u ON u.organisation_key = k.organisation_key AND u.id = k.user_id \
             LEFT JOIN user_credential c ON c.organisation_key = k.organisation_key AND c.user_id = k.user_id \
             WHERE k.organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND k.id > ").bind(after.unwrap_or_default());
        sql.push(" ORDER BY k.id").limit(limit);
        sql.find(&self.readers()).await?.iter().map(details).collect()
    }

    async fn users(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<UserDetails>> {
        let mut sql = Sql::new(
            Label::select(&["user_credential", "app_user"]),
            "SELECT c.user_id, u.username, c.permissions, c.default_unit, c.disabled_date, CASE WHEN c.password_hash \
             IS NULL AND c.disabled_password_hash IS NULL THEN 0 ELSE 1 END AS has_password FROM user_credential c \
             LEFT JOIN app_user u ON u.organisation_key = c.organisation_key AND u.id = c.user_id \
             WHERE c.organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND c.user_id > ").bind(after.unwrap_or_default());
        sql.push(" ORDER BY c.user_id").limit(limit);
        sql.find(&self.readers()).await?.iter().map(user_details).collect()
    }

    async fn disable_user(
        &self,
        organisation: OrganisationKey,
        username: &str,
        now: Timestamp,
    ) -> StoreResult<Disabled> {
        if cannot_exist(username) {
            return Ok(Disabled::Unknown);
        }
        let mut transaction = self.begin_on_accounts(organisation).await?;
        let Some(user) = transaction.user_by_name(organisation, username).await? else {
            return Ok(Disabled::Unknown);
        };
        if user.disabled.is_none()
            && user.permissions.contains(Permission::Admin)
            && !transaction.another_administrator(organisation, &user.id, now).await?
        {
            return Ok(Disabled::LastAdmin);
        }
        let mut sql = Sql::update("user_credential", "disabled_date = COALESCE(disabled_date, ");
        sql.bind(micros(now)).push("), disabled_password_hash = COALESCE(password_hash, disabled_password_hash)");
        sql.push(", password_hash = NULL, sessions_not_before = ").bind(sessions::not_before(now));
        sql.push(", revision = revision + 1 WHERE organisation_key = ").bind(organisation.0);
        sql.push(" AND user_id = ").bind(user.id.as_str());
        transaction.all(sql).await?;
        self.end_sessions(&mut transaction, organisation, SessionOwner::User(&user.id), now).await?;
        transaction.commit().await?;
        Ok(if user.disabled.is_none() { Disabled::Done } else { Disabled::Already })
    }

    async fn enable_user(&self, organisation: OrganisationKey, username: &str) -> StoreResult<Change> {
        if cannot_exist(username) {
            return Ok(Change::Unknown);
        }
        let mut transaction = self.begin_on_accounts(organisation).await?;
        let Some(user) = transaction.user_by_name(organisation, username).await? else {
            return Ok(Change::Unknown);
        };
        let mut sql = Sql::update(
            "user_credential",
            "disabled_date = NULL, \
             password_hash = COALESCE(password_hash, disabled_password_hash), disabled_password_hash = NULL, \
             revision = revision + 1 WHERE disabled_date IS NOT NULL AND organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND user_id = ").bind(user.id.as_str());
        transaction.all(sql).await?;
        transaction.commit().await?;
        Ok(if user.disabled.is_some() { Change::Done } else { Change::Already })
    }

    async fn revoke_api_key(
        &self,
        organisation: OrganisationKey,
        id: &str,
        no_key: &CodeHash,
        now: Timestamp,
    ) -> StoreResult<Change> {
        if cannot_exist(id) {
            return Ok(Change::Unknown);
        }
        let mut transaction = self.begin_on_accounts(organisation).await?;
        let Some(key) = transaction.api_key(organisation, id).await? else { return Ok(Change::Unknown) };
        let mut sql = Sql::update("api_key", "revoked_date = COALESCE(revoked_date, ");
        sql.bind(micros(now)).push("), secret_hash = ").bind(no_key.as_stored());
        sql.push(" WHERE organisation_key = ").bind(organisation.0).push(" AND id = ").bind(id);
        transaction.all(sql).await?;
        self.end_sessions(&mut transaction, organisation, SessionOwner::ApiKey(id), now).await?;
        transaction.commit().await?;
        Ok(if key.terms.revoked.is_none() { Change::Done } else { Change::Already })
    }

    async fn rotate_api_key(
        &self,
        organisation: OrganisationKey,
        old: &str,
        new: (&str, &CodeHash),
        now: Timestamp,
        ends: Timestamp,
    ) -> StoreResult<Rotated> {
        if cannot_exist(old) {
            return Ok(Rotated::Unknown);
        }
        let mut transaction = self.begin_on_accounts(organisation).await?;
        let Some(key) = transaction.api_key(organisation, old).await? else { return Ok(Rotated::Unknown) };
        if !key.terms.are_valid(now) {
            return Ok(Rotated::Ended);
        }
        let mut sql = Sql::select("rotated_to", "api_key", " WHERE id = ");
        sql.bind(old);
        if let Some(next) = transaction.all(sql).await?.first().map(|row| get(row, "rotated_to")).transpose()?.flatten()
        {
            return Ok(Rotated::Replaced(next));
        }
        let ends = key.terms.expires.map_or(ends, |expires| expires.min(ends));
        let mut sql = Sql::update("api_key", "rotated_to = ");
        sql.bind(new.0).push(", expires_date = ").bind(micros(ends)).push(" WHERE id = ").bind(old);
        transaction.all(sql).await?;
        let new = ApiKey { id: new.0.to_owned(), hash: new.1.clone(), ..key };
        transaction.all(insert_key(&new, now)).await?;
        transaction.commit().await?;
        Ok(Rotated::Done(ends))
    }
}

impl Database {
    /// Begins a transaction on the users and keys of an organisation.
    pub(crate) async fn begin_on_accounts(&self, organisation: OrganisationKey) -> StoreResult<Transaction> {
        let mut transaction = self.begin().await?;
        transaction.lock_accounts(organisation).await?;
        Ok(transaction)
    }

    /// Ends sessions. The same transaction must have changed the row of the user or of the key before.
    pub(crate) async fn end_sessions(
        &self,
        transaction: &mut Transaction,
        organisation: OrganisationKey,
        ended: SessionOwner<'_>,
        now: Timestamp,
    ) -> StoreResult<()> {
        if !self.is_sqlite() {
            // A user may have hundreds of thousands of sessions.
            transaction.all(Sql::new(Label::OTHER, LONG_STATEMENTS)).await?;
        }
        for sql in sessions::end(organisation, ended, now, self.is_sqlite()) {
            transaction.all(sql).await?;
        }
        Ok(())
    }
}

impl Transaction {
    async fn user_by_name(
        &mut self,
        organisation: OrganisationKey,
        username: &str,
    ) -> StoreResult<Option<UserDetails>> {
        let mut sql = Sql::new(
            Label::select(&["app_user", "user_credential"]),
            "SELECT c.user_id, u.username, c.permissions, c.default_unit, c.disabled_date, 0 AS has_password \
             FROM app_user u JOIN user_credential c ON c.organisation_key = u.organisation_key AND c.user_id = u.id \
             WHERE u.organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND u.username = ").bind(username);
        self.all(sql).await?.first().map(user_details).transpose()
    }

    /// Reports whether the organisation has an enabled user other than `user` with the permission `admin` and with a
    /// password or a valid key that grants `admin`.
    async fn another_administrator(
        &mut self,
        organisation: OrganisationKey,
        user: &str,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut sql = Sql::new(
            Label::select(&["user_credential", "api_key"]),
            "SELECT c.user_id FROM user_credential c WHERE c.disabled_date IS NULL AND ",
        );
        sql.push(&has_admin("c.permissions")).push(" AND c.organisation_key = ").bind(organisation.0);
        sql.push(" AND c.user_id <> ").bind(user).push(" AND (c.password_hash IS NOT NULL OR ");
        push_has_key(&mut sql, now);
        sql.push(")").limit(1);
        Ok(!self.all(sql).await?.is_empty())
    }

    async fn api_key(&mut self, organisation: OrganisationKey, id: &str) -> StoreResult<Option<ApiKey>> {
        let mut sql = Sql::select(KEY_COLUMNS, "api_key", " WHERE organisation_key = ");
        sql.bind(organisation.0).push(" AND id = ").bind(id);
        self.all(sql).await?.first().map(key_of_row).transpose()
    }
}

fn user_details(row: &QueryResult) -> StoreResult<UserDetails> {
    Ok(UserDetails {
        id: get(row, "user_id")?,
        username: get(row, "username")?,
        permissions: user_permissions(row)?,
        default_unit: get(row, "default_unit")?,
        has_password: get::<i32>(row, "has_password")? != 0,
        disabled: convert::optional_time(get(row, "disabled_date")?, "user_credential.disabled_date")?,
    })
}

/// Returns the statement that inserts a key.
pub(crate) fn insert_key(key: &ApiKey, created: Timestamp) -> Sql {
    let terms = &key.terms;
    let mut sql = Sql::insert(
        "api_key",
        "(id, organisation_key, user_id, secret_hash, created_date, permissions, unit, expires_date) VALUES (",
    );
    sql.bind(key.id.as_str()).push(", ").bind(key.organisation.0).push(", ").bind(key.user.as_str()).push(", ");
    sql.bind(key.hash.as_stored()).push(", ").bind(micros(created)).push(", ");
    sql.bind(terms.permissions.map(|permissions| permissions.to_string())).push(", ");
    sql.bind(terms.unit.clone()).push(", ").bind(terms.expires.map(micros)).push(")");
    sql
}

/// Gives the user of a new key the permissions of that key. First stores, for every other key of the user, the
/// permissions that the other key has now, so that it gains none.
pub(crate) async fn grant_key_permissions(transaction: &mut Transaction, key: &ApiKey) -> StoreResult<()> {
    let Some(wanted) = key.terms.permissions else { return Ok(()) };
    let mut sql = Sql::select("permissions", "user_credential", " WHERE organisation_key = ");
    sql.bind(key.organisation.0).push(" AND user_id = ").bind(key.user.as_str());
    let Some(row) = transaction.all(sql).await?.into_iter().next() else { return Ok(()) };
    let user = user_permissions(&row)?;
    if user.contains_all(wanted) {
        return Ok(());
    }
    let mut sql = Sql::select(KEY_COLUMNS, "api_key", " WHERE organisation_key = ");
    sql.bind(key.organisation.0).push(" AND user_id = ").bind(key.user.as_str());
    for other in transaction.all(sql).await?.iter().map(key_of_row) {
        let other = other?;
        let granted = other.terms.granted(user);
        if other.terms.permissions != Some(granted) {
            let mut sql = Sql::update("api_key", "permissions = ");
            sql.bind(granted.to_string()).push(" WHERE id = ").bind(other.id);
            transaction.all(sql).await?;
        }
    }
    // Permissions that this release does not know stay in the list.
    let missing = wanted.iter().filter(|permission| !user.contains(*permission)).map(Permission::name);
    let names: Vec<String> = std::iter::once(get(&row, "permissions")?).chain(missing.map(str::to_owned)).collect();
    let names = names.join(",");
    let mut sql = Sql::update("user_credential", "permissions = ");
    sql.bind(names.trim_start_matches(',')).push(" WHERE organisation_key = ").bind(key.organisation.0);
    sql.push(" AND user_id = ").bind(key.user.as_str());
    transaction.all(sql).await.map(drop)
}

fn key_of_row(row: &QueryResult) -> StoreResult<ApiKey> {
    convert::api_key(model(row)?)
}

fn user_permissions(row: &QueryResult) -> StoreResult<Permissions> {
    Ok(Permissions::from_stored(&get::<String>(row, "permissions")?))
}

fn details(row: &QueryResult) -> StoreResult<KeyDetails> {
    let key = key_of_row(row)?;
    let user: Option<String> = get(row, "user_permissions")?;
    let user = user.as_deref().map(Permissions::from_stored);
    Ok(KeyDetails {
        permissions: user.map(|user| key.terms.granted(user)).unwrap_or_default(),
        name: get(row, "username")?,
        user_disabled: get::<Option<i64>>(row, "disabled_date")?.is_some(),
        created: convert::time(get(row, "created_date")?, "api_key.created_date")?,
        rotated_to: get(row, "rotated_to")?,
        last_used: convert::optional_time(get(row, "last_used_date")?, "api_key.last_used_date")?,
        id: key.id,
        user: key.user,
        terms: key.terms,
    })
}
