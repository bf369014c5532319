//! Withdrawal of passwords and API keys under an old key. It leaves each organisation an administrator.

use std::collections::BTreeSet;

use access_tokens_domain::secret::CodeHash;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Store, StoreResult, Transaction as _, Unused, Withdrawal, Withdrawn};
use access_tokens_domain::time::Timestamp;
use sea_orm::QueryResult;

use crate::convert::micros;
use crate::database::Database;
use crate::keys::{Form, named_key, parameter};
use crate::sessions::SessionOwner;
use crate::sql::label::Label;
use crate::sql::{Sql, get};
use crate::transaction::Transaction;

/// Condition that a date of the last log-in or of the last password change is recorded.
const HAS_DATE: &str = " AND (last_login_date IS NOT NULL OR password_changed_date IS NOT NULL)";
const HAS_NO_DATE: &str = " AND last_login_date IS NULL AND password_changed_date IS NULL";

/// Key of an organisation and id of a user in it.
type UserKey = (i32, String);

impl Database {
    /// Withdraws credentials in one transaction that excludes other changes of users and API keys. Therefore the
    /// administrators that are counted after the changes are those that remain.
    pub(crate) async fn withdraw_once(
        &self,
        unused: Unused<'_>,
        withdrawal: Withdrawal<'_>,
        now: Timestamp,
    ) -> StoreResult<Withdrawn> {
        let mut transaction = self.begin().await?;
        // In the order of their keys, so that two commands cannot deadlock.
        let mut before = Vec::new();
        for organisation in transaction.organisations().await? {
            transaction.lock_accounts(organisation).await?;
            before.push((organisation, transaction.administrators(organisation, now).await?));
        }
        let (mut without_password, mut undated) = (BTreeSet::new(), BTreeSet::new());
        if withdrawal.passwords {
            (without_password, undated) =
                self.withdraw_passwords(&mut transaction, unused, withdrawal.undated, now).await?;
        }
        let mut without_key = Vec::new();
        if let Some(no_key) = withdrawal.api_keys {
            without_key = self.revoke_unused(&mut transaction, unused, no_key, now).await?;
        }
        let loses = |user: &UserKey| without_password.contains(user) || without_key.contains(user);
        for (organisation, before) in before {
            let lost: Vec<_> = before.iter().filter(|user| loses(&(organisation.0, (*user).clone()))).collect();
            if !lost.is_empty() && transaction.administrators(organisation, now).await?.is_empty() {
                // The transaction ends without a commit.
                return Ok(Withdrawn::LastAdmin(transaction.names(organisation, &lost).await?));
            }
        }
        transaction.commit().await?;
        let users: BTreeSet<_> = without_password.into_iter().map(|(_, user)| user).collect();
        let users = users.into_iter().collect();
        Ok(Withdrawn::Done { users, undated: undated.len() as u64, api_keys: without_key.len() as u64 })
    }

    /// Removes passwords. Returns the users who had them, and the users who keep theirs because no date is recorded.
    async fn withdraw_passwords(
        &self,
        transaction: &mut Transaction,
        unused: Unused<'_>,
        undated: bool,
        now: Timestamp,
    ) -> StoreResult<(BTreeSet<UserKey>, BTreeSet<UserKey>)> {
        let (mut withdrawn, mut left_out) = (BTreeSet::new(), BTreeSet::new());
        for column in ["password_hash", "disabled_password_hash"] {
            let under_key = |sql: &mut Sql| {
                sql.push(" WHERE ").push(&named_key(column, Form::Parameter, self.backend_name()));
                sql.push(" = ").bind(parameter(unused.key));
            };
            let mut sql = Sql::update("user_credential", &format!("{column} = NULL, password_changed_date = "));
            sql.bind(micros(now)).push(", revision = revision + 1");
            under_key(&mut sql);
            for date in ["last_login_date", "password_changed_date"] {
                sql.push(&format!(" AND ({date} IS NULL OR {date} < ")).bind(micros(unused.since)).push(")");
            }
            sql.push(if undated { "" } else { HAS_DATE }).push(" RETURNING organisation_key, user_id");
            withdrawn.extend(users(&transaction.all(sql).await?)?);
            let mut sql = Sql::select("organisation_key, user_id", "user_credential", "");
            under_key(&mut sql);
            // Users whose passwords were removed have a date now.
            sql.push(HAS_NO_DATE);
            left_out.extend(users(&transaction.all(sql).await?)?);
        }
        Ok((withdrawn, left_out))
    }

    /// Revokes valid API keys and ends their sessions. Returns the user of each.
    async fn revoke_unused(
        &self,
        transaction: &mut Transaction,
        unused: Unused<'_>,
        no_key: &CodeHash,
        now: Timestamp,
    ) -> StoreResult<Vec<UserKey>> {
        let mut sql = Sql::update("api_key", "revoked_date = ");
        sql.bind(micros(now)).push(", secret_hash = ").bind(no_key.as_stored());
        sql.push(" WHERE ").push(&named_key("secret_hash", Form::Prefix, self.backend_name())).push(" = ");
        sql.bind(unused.key).push(" AND revoked_date IS NULL AND (expires_date IS NULL OR expires_date > ");
        sql.bind(micros(now)).push(") AND COALESCE(last_used_date, created_date) < ").bind(micros(unused.since));
        sql.push(" RETURNING organisation_key, user_id, id");
        let rows = transaction.all(sql).await?;
        for row in &rows {
            let (organisation, id): (_, String) = (OrganisationKey(get(row, "organisation_key")?), get(row, "id")?);
            self.end_sessions(transaction, organisation, SessionOwner::ApiKey(&id), now).await?;
        }
        users(&rows)
    }
}

impl Transaction {
    /// Returns all organisations in the order of their keys.
    async fn organisations(&mut self) -> StoreResult<Vec<OrganisationKey>> {
        let rows = self.all(Sql::select("key", "organisation", " ORDER BY key")).await?;
        rows.iter().map(|row| get(row, "key").map(OrganisationKey)).collect()
    }

    /// Returns the ids of the enabled administrators of an organisation who can log in.
    async fn administrators(&mut self, organisation: OrganisationKey, now: Timestamp) -> StoreResult<Vec<String>> {
        let states = self.login_states(organisation, &[], now).await?;
        let can = states.into_iter().filter(|state| state.admin && state.enabled && (state.password || state.key));
        Ok(can.map(|state| state.user).collect())
    }

    /// Returns the names of users for people.
    async fn names(&mut self, organisation: OrganisationKey, users: &[&String]) -> StoreResult<Vec<String>> {
        let mut names = Vec::with_capacity(users.len());
        for user in users {
            let mut sql = Sql::new(
                Label::select(&["user_credential", "organisation", "app_user"]),
                "SELECT COALESCE(u.username, c.user_id) || ' of ' || o.name AS name FROM user_credential c \
                 JOIN organisation o ON o.key = c.organisation_key \
                 LEFT JOIN app_user u ON u.organisation_key = c.organisation_key AND u.id = c.user_id \
                 WHERE c.organisation_key = ",
            );
            sql.bind(organisation.0).push(" AND c.user_id = ").bind(user.as_str());
            for row in self.all(sql).await? {
                names.push(get(&row, "name")?);
            }
        }
        Ok(names)
    }
}

/// Reads the keys of organisations and the ids of users from rows.
fn users(rows: &[QueryResult]) -> StoreResult<Vec<UserKey>> {
    rows.iter().map(|row| Ok((get(row, "organisation_key")?, get(row, "user_id")?))).collect()
}
