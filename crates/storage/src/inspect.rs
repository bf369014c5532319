//! Inspection of a database for operators. It never writes.

use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::store::StoreResult;
use access_tokens_domain::time::Timestamp;

use crate::counts::{self, Connections};
use crate::database::{Backend, Database};
use crate::error::{Failure, store_error};
use crate::migration::{self, Schema};
use crate::options::{SetupError, setup_error};
use crate::postgres::ENCODING;
use crate::postgres::rights::{self, Rights};
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::label::Label;

/// Names of the counts, and the tables that are counted.
const TABLES: [(&str, &str); 4] = [
    ("organisations", "organisation"),
    ("access tokens", "access_token"),
    ("users that log in", "user_credential"),
    ("API keys", "api_key"),
];

/// Cure for settings with which a failover loses commits.
pub const FAILOVER_CURE: &str = "set synchronous_commit = on and synchronous_standby_names, such as 'ANY 1 (*)', on each \
                                 server that can become the primary; Patroni does it by synchronous_mode: true";

/// Maximum number of faults that one check returns. A single fault is enough to know that the file is damaged.
const MAX_FAULTS: u32 = 20;

/// Assessment of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The setting has the required value.
    Safe,
    /// The service works, with a disadvantage.
    Risky,
    /// Acknowledged commits can be lost, or one call can delay all others. `serve` may refuse to start.
    Unsafe,
}

/// A setting of the database as the connections of this process see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name of the setting.
    pub name: &'static str,
    /// Current value, as the database writes it.
    pub value: String,
    /// Required value.
    pub needed: &'static str,
    /// Assessment of the current value.
    pub verdict: Verdict,
    /// Consequence of another value.
    pub about: &'static str,
}

impl Database {
    /// Returns all settings on which safety depends.
    pub async fn settings(&self) -> StoreResult<Vec<Setting>> {
        if self.is_sqlite() { self.sqlite_settings().await } else { self.postgres_settings().await }
    }

    async fn sqlite_settings(&self) -> StoreResult<Vec<Setting>> {
        let number = |name| async move { self.pragma::<i64>(name).await };
        let (synchronous, busy_timeout) = (number("synchronous").await?, number("busy_timeout").await?);
        let journal: String = self.pragma("journal_mode").await?;
        let setting = |name, value, needed, safe, about| {
            let verdict = if safe { Verdict::Safe } else { Verdict::Unsafe };
            Setting { name, value, needed, verdict, about }
        };
        let (is_safe, is_patient) = (synchronous >= 2, busy_timeout > 0);
        // A file that was never served, such as a copy, has another journal mode until it is served.
        let is_logged = ["wal", "delete"].contains(&journal.as_str());
        Ok(vec![
            setting("synchronous", synchronous.to_string(), "2 (FULL) or more", is_safe, SYNCHRONOUS),
            setting("journal_mode", journal, "wal, or delete until it is served", is_logged, JOURNAL_MODE),
            setting("busy_timeout", busy_timeout.to_string(), "above 0", is_patient, BUSY_TIMEOUT),
        ])
    }

    async fn postgres_settings(&self) -> StoreResult<Vec<Setting>> {
        let mut found = Vec::new();
        let replicated = if self.options.is_replicated() { REPLICATED } else { &[] };
        for (name, needed, bad, verdict, about) in POSTGRES.iter().chain(replicated) {
            let mut sql;
            if *name == READ_ONLY {
                // A process that opens the database for reading only changes this setting itself. Its reset value is
                // the value of all other connections.
                sql = Sql::new(Label::CATALOG, "SELECT (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = ");
                sql.bind(*name).push(") AS value");
            } else {
                sql = Sql::new(Label::CATALOG, "SELECT current_setting(");
                sql.bind(*name).push(", true) AS value");
            }
            let value: Option<String> = self.one(sql).await?;
            // A setting that this version of PostgreSQL does not have can do no harm.
            let Some(value) = value else { continue };
            let verdict = if bad(&value) { *verdict } else { Verdict::Safe };
            // A setting may have one value that is unsafe, and another one that is risky.
            found.retain(|setting: &Setting| setting.name != *name || setting.verdict != Verdict::Safe);
            if !found.iter().any(|setting| setting.name == *name) {
                found.push(Setting { name, value, needed, verdict, about });
            }
        }
        Ok(found)
    }

    /// Warns of settings with which a failover loses acknowledged commits, where another server may take over.
    pub(crate) async fn warn_of_failover_losses(&self) -> StoreResult<()> {
        let risky = |setting: &Setting| setting.about == FAILOVER_LOSES && setting.verdict != Verdict::Safe;
        for Setting { name, value, about, .. } in
            self.postgres_settings().await?.iter().filter(|setting| risky(setting))
        {
            tracing::warn!(setting = name, value, "{about}: {FAILOVER_CURE}");
        }
        Ok(())
    }

    /// Returns the state of the migrations.
    pub async fn schema(&self) -> StoreResult<Schema> {
        migration::schema(&self.pool()).await.map_err(store_error)
    }

    /// Returns the time of the database's clock. `None` on SQLite, which has no clock of its own.
    pub async fn clock(&self) -> StoreResult<Option<Timestamp>> {
        if self.is_sqlite() {
            return Ok(None);
        }
        let sql = Sql::new(
            Label::CATALOG,
            "SELECT (extract(epoch FROM clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint",
        );
        let micros: i64 = self.one(sql).await?;
        let time = Timestamp::from_timestamp_micros(micros);
        time.map(Some).ok_or_else(|| Failure::fault("no such time").into())
    }

    /// Returns the connections that calls use, by purpose.
    pub fn connections(&self) -> Vec<Connections> {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => vec![Connections::of("readers", readers)],
            Backend::Postgres(pools) => pools.connections(),
        }
    }

    /// Returns the number of access tokens in each state, in all organisations.
    ///
    /// The counts come from a scan of the whole table. On PostgreSQL with many tokens they are the estimates of the
    /// planner, which takes a new sample whenever a tenth of the table has changed.
    pub async fn tokens_by_state(&self) -> StoreResult<Vec<(LifeCycleState, u64)>> {
        counts::tokens_by_state(&self.readers()).await
    }

    /// Returns the number of rows of the main tables, by name.
    pub async fn counts(&self) -> StoreResult<Vec<(&'static str, u64)>> {
        let snapshot = self.long_snapshot("enable_seqscan = on").await?;
        let mut counts = Vec::with_capacity(TABLES.len());
        for (what, table) in TABLES {
            let rows: i64 = scalar(&snapshot, Sql::select("count(*)", table, "")).await?;
            counts.push((what, rows.unsigned_abs()));
        }
        snapshot.commit().await?;
        Ok(counts)
    }

    /// Reads a whole SQLite file and returns its inconsistencies; none for an intact file. On PostgreSQL it checks
    /// nothing, because PostgreSQL has its own tools.
    pub async fn faults(&self) -> StoreResult<Vec<String>> {
        if !self.is_sqlite() {
            return Ok(Vec::new());
        }
        let check = Sql::new(Label::OTHER, format!("PRAGMA integrity_check({MAX_FAULTS})"));
        let mut faults: Vec<String> = check.column(&self.readers()).await?;
        faults.retain(|line| line != "ok");
        if !Sql::new(Label::OTHER, "PRAGMA foreign_key_check").all(&self.readers()).await?.is_empty() {
            faults.push("rows refer to rows that are not there".to_owned());
        }
        Ok(faults)
    }

    /// Returns the rights of roles in the schema of PostgreSQL. `None` on SQLite, which has no roles.
    pub async fn rights(&self) -> StoreResult<Option<Rights>> {
        if self.is_sqlite() {
            return Ok(None);
        }
        rights::read(&self.readers(), &self.options.schema).await.map(Some).map_err(store_error)
    }

    /// Refuses a PostgreSQL schema in which another role could run code as the service, and logs the roles that may
    /// create objects in it. For processes that do not migrate: [`Database::migrate`] checks more.
    pub async fn check_rights(&self) -> Result<(), SetupError> {
        if self.is_sqlite() {
            return Ok(());
        }
        let readers = self.readers();
        rights::check_place(&readers, &self.options).await?;
        rights::check(&rights::read(&readers, &self.options.schema).await.map_err(setup_error)?, false)
    }

    async fn pragma<T: sea_orm::TryGetable>(&self, name: &str) -> StoreResult<T> {
        self.one(Sql::new(Label::OTHER, format!("PRAGMA {name}"))).await
    }

    async fn one<T: sea_orm::TryGetable>(&self, sql: Sql) -> StoreResult<T> {
        scalar(&self.readers(), sql).await
    }
}

async fn scalar<T: sea_orm::TryGetable>(connection: &impl Connection, sql: Sql) -> StoreResult<T> {
    let value = sql.column(connection).await?.into_iter().next();
    value.ok_or_else(|| Failure::fault("an answer without a row").into())
}

// Consequences of other values of settings of SQLite.
const SYNCHRONOUS: &str = "with less, a power cut takes acknowledged commits with it";
const JOURNAL_MODE: &str = "without a log of its own, readers and the writer wait for each other";
const BUSY_TIMEOUT: &str = "without it, a statement fails at once while another process writes";

type Bad = fn(&str) -> bool;

/// Name, required value, test for a bad value, assessment of a bad value, and consequence.
const POSTGRES: &[(&str, &str, Bad, Verdict, &str)] = &[
    ("server_encoding", ENCODING, |value| value != ENCODING, Verdict::Unsafe, TEXTS),
    ("fsync", "on", is_off, Verdict::Unsafe, LOST),
    ("full_page_writes", "on", is_off, Verdict::Unsafe, LOST),
    ("synchronous_commit", "on", is_off, Verdict::Unsafe, LOST),
    ("in_hot_standby", "off", |value| value == "on", Verdict::Unsafe, STANDBY),
    (READ_ONLY, "off", |value| value == "on", Verdict::Unsafe, REFUSES),
    ("statement_timeout", "above 0", is_zero, Verdict::Unsafe, SETTING_NOT_KEPT),
    ("lock_timeout", "above 0", is_zero, Verdict::Unsafe, SETTING_NOT_KEPT),
    ("idle_in_transaction_session_timeout", "above 0", is_zero, Verdict::Unsafe, SETTING_NOT_KEPT),
    ("log_error_verbosity", "terse", |value| value != "terse", Verdict::Risky, LOGGED),
    ("log_parameter_max_length", "0", |value| value != "0", Verdict::Risky, LOGGED),
    ("log_parameter_max_length_on_error", "0", |value| value != "0", Verdict::Risky, LOGGED),
];
/// Settings of PostgreSQL to check where another server may take over.
const REPLICATED: &[(&str, &str, Bad, Verdict, &str)] = &[
    ("synchronous_standby_names", "not empty", str::is_empty, Verdict::Risky, FAILOVER_LOSES),
    ("synchronous_commit", "on", |value| value == "local", Verdict::Risky, FAILOVER_LOSES),
];
const FAILOVER_LOSES: &str = "a failover loses acknowledged commits that no standby has received";
const TEXTS: &str = "the database cannot hold every text";
const LOST: &str = "without it, a crash takes acknowledged commits with it";
const READ_ONLY: &str = "default_transaction_read_only";
const REFUSES: &str = "no log-in and no change can be written";
const STANDBY: &str = "a standby takes no writes: name its primary in database.url";
const SETTING_NOT_KEPT: &str =
    "each connection sets it: something on the way, such as a pool of transactions, does not keep it";
const LOGGED: &str = "with anything else, codes and identifiers come into the log of PostgreSQL";

fn is_off(value: &str) -> bool {
    value == "off"
}

fn is_zero(value: &str) -> bool {
    value == "0"
}
