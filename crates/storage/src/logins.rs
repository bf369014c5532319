//! Log-ins of users: accounts, known networks, and attempts of the kind PASSWORD in the ledger.

use std::collections::BTreeSet;

use access_tokens_domain::attempts::{Attempts, SERIES_LIFETIME};
use access_tokens_domain::login::{
    KNOWN_NETWORK_LIFETIME, KnownNetwork, LoginAccount, NETWORK_LOCK, Network, subject_prefix, user_of_subject,
};
use access_tokens_domain::secret::PassCodeHash;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{AccountStore, Entry, LoginStore, Store, StoreResult, Transaction as _, Unlocked};
use access_tokens_domain::time::Timestamp;
use sea_orm::QueryResult;

use crate::accounts::with_username;
use crate::convert::{self, micros, optional_time};
use crate::database::Database;
use crate::ledger::Row;
use crate::sql::label::Label;
use crate::sql::{Sql, get, model};

const PASSWORD_KIND: &str = "PASSWORD";

/// Maximum number of known networks of a user. Networks of further log-ins stay unknown.
const MAX_KNOWN_NETWORKS: i64 = 1_000;

/// Number of rows of attempts per organisation above which the sweep deletes the oldest. It bounds the table while an
/// attacker has many networks and has not reached the daily limit yet.
const MAX_ATTEMPT_ROWS: u32 = 100_000;

/// Maximum number of rows above [`MAX_ATTEMPT_ROWS`] that one sweep deletes.
const MAX_SWEPT_ROWS: u32 = 1_000_000;

/// Maximum number of locked users in a list.
const MAX_LOCKED: u32 = 10_000;

impl LoginStore for Database {
    async fn login_account(
        &self,
        organisation: OrganisationKey,
        username: &str,
        network: &Network,
    ) -> StoreResult<Option<LoginAccount>> {
        let mut sql = Sql::new(
            Label::select(&["known_network", "app_user", "user_credential"]),
            "SELECT c.*, n.network AS known_network, n.last_date AS known_last_date, \
             (SELECT count(*) FROM known_network e WHERE e.organisation_key = c.organisation_key \
             AND e.user_id = c.user_id AND e.last_date IS NULL) AS entered_networks \
             FROM app_user u JOIN user_credential c ON c.organisation_key = u.organisation_key AND c.user_id = u.id \
             AND c.disabled_date IS NULL \
             LEFT JOIN known_network n ON n.organisation_key = c.organisation_key AND n.user_id = c.user_id \
             AND n.network = ",
        );
        sql.bind(network.as_str()).push(" WHERE u.organisation_key = ").bind(organisation.0);
        with_username(&mut sql, username);
        let rows = sql.find(&self.readers()).await?;
        rows.first().map(account).transpose()
    }

    async fn login_attempts(&self, organisation: OrganisationKey, subject: &str) -> StoreResult<Entry<Attempts>> {
        let mut sql = Sql::select("*", "credential_attempt", " WHERE organisation_key = ");
        sql.bind(organisation.0).push(" AND subject = ").bind(subject).push(" AND kind = ").bind(PASSWORD_KIND);
        let rows = sql.find(&self.readers()).await?;
        let Some(row) = rows.first() else { return Ok(Entry::default()) };
        convert::attempts_of_any_kind(model(row)?)
    }

    async fn save_login_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        attempts: &Entry<Attempts>,
    ) -> StoreResult<bool> {
        let columns = convert::attempts_columns(&attempts.state)?;
        let row = Row::attempts(organisation, subject, PASSWORD_KIND);
        Ok(self.write(row.save(attempts.revision, columns)).await?.first().is_some())
    }

    async fn count_refused_login(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.write(Row::attempts(organisation, subject, PASSWORD_KIND).count_refused(at)).await.map(drop)
    }

    async fn remember_login(
        &self,
        organisation: OrganisationKey,
        user: &str,
        network: &Network,
        at: Timestamp,
    ) -> StoreResult<()> {
        let mut sql = Sql::insert("known_network", "(organisation_key, user_id, network, last_date) SELECT ");
        sql.bind(organisation.0).push(", ").bind(user).push(", ").bind(network.as_str()).push(", ").bind(micros(at));
        sql.push(" WHERE (SELECT count(*) FROM known_network WHERE organisation_key = ").bind(organisation.0);
        sql.push(" AND user_id = ").bind(user).push(" AND network <> ").bind(network.as_str());
        sql.push(") < ").bind(MAX_KNOWN_NETWORKS);
        sql.push(" ON CONFLICT (organisation_key, user_id, network) DO UPDATE SET last_date = excluded.last_date");
        // A network that an operator entered keeps NULL.
        sql.push(" WHERE known_network.last_date < excluded.last_date");
        self.write(sql).await?;
        let mut sql = Sql::update("user_credential", "first_login_date = COALESCE(first_login_date, ");
        sql.bind(micros(at)).push("), last_login_date = ").bind(micros(at));
        sql.push(" WHERE organisation_key = ").bind(organisation.0).push(" AND user_id = ").bind(user);
        self.write(sql).await.map(drop)
    }

    async fn enter_networks(&self, organisation: OrganisationKey, user: &str, networks: &[Network]) -> StoreResult<()> {
        if networks.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::insert("known_network", "(organisation_key, user_id, network, last_date) VALUES ");
        for (index, network) in networks.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", (" }).bind(organisation.0).push(", ").bind(user);
            sql.push(", ").bind(network.as_str()).push(", NULL)");
        }
        sql.push(" ON CONFLICT (organisation_key, user_id, network) DO UPDATE SET last_date = NULL");
        self.write(sql).await.map(drop)
    }

    async fn replace_password(
        &self,
        organisation: OrganisationKey,
        user: &str,
        old: &PassCodeHash,
        new: &PassCodeHash,
    ) -> StoreResult<bool> {
        let mut sql = Sql::update("user_credential", "password_hash = ");
        sql.bind(new.as_stored()).push(" WHERE organisation_key = ").bind(organisation.0);
        sql.push(" AND user_id = ").bind(user).push(" AND password_hash = ").bind(old.as_stored());
        sql.push(" RETURNING user_id");
        Ok(self.write(sql).await?.first().is_some())
    }

    async fn unlock_logins(&self, organisation: OrganisationKey, user: &str, now: Timestamp) -> StoreResult<Unlocked> {
        let mut transaction = self.begin().await?;
        let mut sql = Sql::select("in_a_row, locked_until, day_arrival", "credential_attempt", " WHERE ");
        subjects(&mut sql, organisation, &subject_prefix(user));
        let mut locked = false;
        for row in transaction.all(sql).await? {
            let attempts = Attempts {
                locked_until: convert::optional_time(get(&row, "locked_until")?, "credential_attempt.locked_until")?,
                day_arrival: convert::optional_time(get(&row, "day_arrival")?, "credential_attempt.day_arrival")?,
                ..Attempts::default()
            };
            // The same for rows of networks and for the daily row of a user: they differ only in the number of
            // consecutive attempts.
            locked |= attempts.lock(&NETWORK_LOCK, now).is_some();
        }
        // The revision is incremented, so that a concurrent count of an attempt reads the row again.
        let mut sql = Sql::update(
            "credential_attempt",
            "in_a_row = 0, locked_until = NULL, day_arrival = NULL, \
             revision = revision + 1 WHERE ",
        );
        subjects(&mut sql, organisation, &subject_prefix(user));
        sql.push(" AND (in_a_row > 0 OR day_arrival IS NOT NULL) RETURNING revision");
        let counted = !transaction.all(sql).await?.is_empty();
        transaction.commit().await?;
        Ok(match (locked, counted) {
            (true, _) => Unlocked::Locked,
            (false, true) => Unlocked::Counted,
            (false, false) => Unlocked::Nothing,
        })
    }

    async fn locked_users(&self, organisation: OrganisationKey, now: Timestamp) -> StoreResult<Vec<String>> {
        let mut sql = Sql::select("subject", "credential_attempt", " WHERE ");
        subjects(&mut sql, organisation, "login/");
        sql.push(" AND locked_until > ").bind(micros(now)).push(" ORDER BY subject").limit(MAX_LOCKED);
        let subjects: Vec<String> = sql.column(&self.readers()).await?;
        let users: BTreeSet<_> = subjects.iter().filter_map(|one| user_of_subject(one)).collect();
        Ok(users.into_iter().collect())
    }

    async fn count_passwords(&self, current: &[String]) -> StoreResult<(u64, u64)> {
        // `count(*)` has no argument, so that no function of another schema can match it better.
        let mut sql =
            Sql::new(Label::select(&["user_credential"]), "SELECT count(*) AS passwords, count(*) FILTER (WHERE TRUE");
        for prefix in current {
            let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
            sql.push(" AND substr(password_hash, 1, ").bind(length).push(") <> ").bind(prefix.as_str());
        }
        sql.push(") AS others FROM user_credential WHERE password_hash IS NOT NULL");
        let rows = sql.find(&self.readers()).await?;
        let count = |column: &str| -> StoreResult<u64> {
            let count: Option<i64> = rows.first().map(|row| get(row, column)).transpose()?;
            Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
        };
        Ok((count("passwords")?, count("others")?))
    }

    async fn sweep_logins(&self, now: Timestamp) -> StoreResult<()> {
        let mut sql = Sql::delete("known_network", " WHERE last_date < ");
        sql.bind(micros(now - KNOWN_NETWORK_LIFETIME));
        self.write(sql).await?;
        // An attempt counts until one day after it, and until the end of its lock. The daily limit ends later than the
        // last attempt, so that its end is the date of the row.
        let decayed = micros(now - SERIES_LIFETIME);
        for organisation in self.organisations().await? {
            let mut sql = Sql::delete("credential_attempt", " WHERE ");
            subjects(&mut sql, organisation.key, "login/");
            for column in ["day_arrival", "locked_until", "last_refused"] {
                sql.push(" AND COALESCE(").push(column).push(", 0) < ").bind(decayed);
            }
            self.write(sql).await?;
            let mut sql = Sql::delete("credential_attempt", " WHERE ");
            subjects(&mut sql, organisation.key, "login/");
            sql.push(" AND subject IN (SELECT subject FROM credential_attempt WHERE ");
            subjects(&mut sql, organisation.key, "login/");
            sql.push(" ORDER BY COALESCE(day_arrival, 0) DESC, subject").limit(MAX_SWEPT_ROWS);
            sql.push(&format!(" OFFSET {MAX_ATTEMPT_ROWS})"));
            self.write(sql).await?;
        }
        Ok(())
    }
}

/// Appends the condition on attempts at log-ins whose subject begins with a prefix that ends with a slash.
fn subjects(sql: &mut Sql, organisation: OrganisationKey, prefix: &str) {
    // The primary key is ordered by bytes on both databases. In this order, `0` is the next character after a slash.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    sql.push("organisation_key = ").bind(organisation.0).push(" AND subject >= ").bind(prefix);
    sql.push(" AND subject < ").bind(end).push(" AND kind = ").bind(PASSWORD_KIND);
}

fn account(row: &QueryResult) -> StoreResult<LoginAccount> {
    let network: Option<String> = get(row, "known_network")?;
    let last_login = optional_time(get(row, "known_last_date")?, "known_network.last_date")?;
    Ok(LoginAccount {
        credential: convert::credential(model(row)?)?,
        first_login: optional_time(get(row, "first_login_date")?, "user_credential.first_login_date")?,
        network: network.map(|_| KnownNetwork { last_login }),
        has_entered_networks: get::<i64>(row, "entered_networks")? > 0,
    })
}
