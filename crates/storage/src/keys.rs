//! Data that the keys of the key ring protect. Stored texts name their key: hashes and sealed codes begin with `<key
//! id>$`, hashes of pass codes and passwords have a parameter `keyid=<key id in base64>`.

use std::collections::BTreeMap;

use access_tokens_domain::access_token::VerificationCode;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    KeySample, KeyStore, KeyUse, Position, Store, StoreError, StoreResult, Transaction as _, Unused, Withdrawal,
    Withdrawn,
};
use access_tokens_domain::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sea_orm::{DbBackend, DbErr, QueryResult};

use crate::convert::{self, micros};
use crate::database::Database;
use crate::error::store_error;
use crate::sql::connection::{Connection as _, Snapshot};
use crate::sql::label::Label;
use crate::sql::{Sql, get};

/// Number of times that a batch is written while each attempt conflicts with another transaction.
const REPLACE_ATTEMPTS: usize = 4;

const PASS_CODES: &str = "pass codes";
const PASSWORDS: &str = "passwords";
const VERIFICATION_CODES: &str = "verification codes";
const ONE_TIME_PASSWORDS: &str = "one-time passwords";
const API_KEYS: &str = "API keys";

/// Number of rows by kind of protected data and by key.
type Counts = BTreeMap<(&'static str, Option<String>), u64>;

/// Position of the key id in a stored text.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// `<key id>$...`
    Prefix,
    /// `$...,keyid=<key id in base64>$...`, or the same without the parameter.
    Parameter,
}

impl KeyStore for Database {
    async fn verification_codes(
        &self,
        current: &str,
        after: Option<&Position>,
        limit: u32,
    ) -> StoreResult<Vec<(Position, VerificationCode)>> {
        let mut sql = Sql::select("organisation_key, id, verification_hash, verification_sealed", "access_token", "");
        sql.push(" WHERE (");
        for (column, or) in [("verification_hash", " OR "), ("verification_sealed", ")")] {
            let prefix = format!("{current}$");
            // `LIKE` cannot be used, because it ignores case on SQLite.
            sql.push(&format!("substr({column}, 1, {}) <> ", prefix.chars().count())).bind(prefix).push(or);
        }
        codes(&self.scan(sql, after, limit).await?)
    }

    async fn replace_verification_codes(
        &self,
        replacements: &[(Position, VerificationCode, VerificationCode)],
    ) -> StoreResult<u64> {
        // The rows are in the order of their ids, the order in which an import locks them.
        let mut attempt = 1;
        loop {
            match self.replace_once(replacements).await {
                Err(StoreError::Conflict(_)) if attempt < REPLACE_ATTEMPTS => attempt += 1,
                replaced => return replaced,
            }
        }
    }

    async fn withdraw_credentials(
        &self,
        unused: Unused<'_>,
        withdrawal: Withdrawal<'_>,
        now: Timestamp,
    ) -> StoreResult<Withdrawn> {
        self.withdraw_once(unused, withdrawal, now).await
    }

    async fn withdraw_pass_codes(
        &self,
        unused: Unused<'_>,
        after: Option<&Position>,
        limit: u32,
    ) -> StoreResult<Option<(u64, Position)>> {
        let key = named_key("pass_code_hash", Form::Parameter, self.backend_name());
        let mut sql = Sql::select("organisation_key, id, pass_code_hash", "access_token", &format!(" WHERE {key} = "));
        sql.bind(parameter(unused.key)).push(" AND updated_date < ").bind(micros(unused.since));
        let rows = self.scan(sql, after, limit).await?;
        let (mut transaction, mut withdrawn, mut last) = (self.begin().await?, 0, None);
        for row in &rows {
            let organisation: i32 = get(row, "organisation_key")?;
            let (id, hash): (String, String) = (get(row, "id")?, get(row, "pass_code_hash")?);
            let mut sql = Sql::update(
                "access_token",
                "pass_code_hash = NULL, otp_hash = NULL, otp_expiration = NULL \
                 WHERE organisation_key = ",
            );
            sql.bind(organisation).push(" AND id = ").bind(id.as_str()).push(" AND pass_code_hash = ").bind(hash);
            sql.push(" RETURNING id");
            withdrawn += transaction.all(sql).await?.len() as u64;
            last = Some((OrganisationKey(organisation), id));
        }
        transaction.commit().await?;
        Ok(last.map(|last| (withdrawn, last)))
    }

    async fn key_use(&self, now: Timestamp) -> StoreResult<Vec<KeyUse>> {
        let snapshot = self.long_snapshot("enable_seqscan = on").await?;
        let counts = count(&snapshot, "access_token", now).await?;
        snapshot.commit().await?;
        Ok(counts)
    }

    async fn sampled_key_use(&self, now: Timestamp, tokens: u32, most: u32) -> StoreResult<KeySample> {
        // The statement reads from both ends of the primary key, so that the number of rows that it reads does not depend on the size of
        // the table.
        let ends = [("ASC", "oldest"), ("DESC", "newest")].map(|(direction, name)| {
            format!(
                "(SELECT {COLUMNS} FROM access_token ORDER BY organisation_key {direction}, id {direction} LIMIT {tokens}) \
                 AS {name}"
            )
        });
        let [oldest, newest] = ends.each_ref().map(|end| format!("SELECT * FROM {end}"));
        let snapshot = self.long_snapshot("enable_sort = off").await?;
        let uses = count(&snapshot, &format!("({oldest} UNION ALL {newest}) AS access_token"), now).await?;
        let mut found = Vec::new();
        for end in &ends {
            let mut sql = Sql::new(
                Label::select(&["access_token"]),
                format!("SELECT * FROM {end} WHERE verification_sealed IS NOT NULL"),
            );
            sql.limit(most);
            found.extend(codes(&sql.find(&snapshot).await?)?);
        }
        snapshot.commit().await?;
        Ok((uses, found))
    }
}

/// Columns of tokens that name keys, and the columns that are needed to read them.
const COLUMNS: &str =
    "organisation_key, id, pass_code_hash, verification_hash, verification_sealed, otp_hash, otp_expiration";

/// Reads the verification codes of rows.
fn codes(rows: &[QueryResult]) -> StoreResult<Vec<(Position, VerificationCode)>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let code = convert::verification(get(row, "verification_hash")?, get(row, "verification_sealed")?)?;
        let position = (OrganisationKey(get(row, "organisation_key")?), get(row, "id")?);
        found.extend(code.map(|code| (position, code)));
    }
    Ok(found)
}

/// Counts what needs keys: in `tokens`, a table or a query in its place, and in the tables of users and API keys.
async fn count(snapshot: &Snapshot, tokens: &str, now: Timestamp) -> StoreResult<Vec<KeyUse>> {
    let mut counts = Counts::new();
    let live_otp = format!("(CASE WHEN otp_expiration > {} THEN otp_hash END)", convert::micros(now));
    // All columns of tokens in one scan. Hash and sealed code are written together, so they normally have the same key.
    // If the keys differ, the token needs both.
    let columns = [
        ("pass_code_hash", Form::Parameter),
        ("verification_hash", Form::Prefix),
        ("verification_sealed", Form::Prefix),
        (live_otp.as_str(), Form::Prefix),
    ];
    for (keys, rows) in group(snapshot, "access_token", tokens, &columns).await? {
        let [pass_code, verification, sealed, otp] = keys.as_slice() else { continue };
        add(&mut counts, PASS_CODES, pass_code, rows);
        add(&mut counts, VERIFICATION_CODES, verification, rows);
        if sealed != verification {
            add(&mut counts, VERIFICATION_CODES, sealed, rows);
        }
        add(&mut counts, ONE_TIME_PASSWORDS, otp, rows);
    }
    // A key that is revoked or expired is never accepted again.
    let live_key = format!(
        "(CASE WHEN revoked_date IS NULL AND (expires_date IS NULL OR expires_date > {}) THEN secret_hash END)",
        convert::micros(now)
    );
    for (what, table, column) in [
        (PASSWORDS, "user_credential", ("password_hash", Form::Parameter)),
        (PASSWORDS, "user_credential", ("disabled_password_hash", Form::Parameter)),
        (API_KEYS, "api_key", (live_key.as_str(), Form::Prefix)),
    ] {
        for (keys, rows) in group(snapshot, table, table, &[column]).await? {
            keys.iter().for_each(|key| add(&mut counts, what, key, rows));
        }
    }
    Ok(counts.into_iter().map(|((what, key), rows)| KeyUse { what, key, rows }).collect())
}

impl Database {
    pub(crate) fn backend_name(&self) -> DbBackend {
        if self.is_sqlite() { DbBackend::Sqlite } else { DbBackend::Postgres }
    }

    /// Reads rows of tokens after a position by the primary key: with sorting disabled, the planner can only follow it.
    async fn scan(&self, mut sql: Sql, after: Option<&Position>, limit: u32) -> StoreResult<Vec<QueryResult>> {
        if let Some((organisation, id)) = after {
            sql.push(" AND (organisation_key, id) > (").bind(organisation.0).push(", ").bind(id.as_str()).push(")");
        }
        sql.push(" ORDER BY organisation_key, id").limit(limit);
        let snapshot = self.long_snapshot("enable_sort = off").await?;
        let rows = sql.find(&snapshot).await?;
        snapshot.commit().await?;
        Ok(rows)
    }

    /// Writes a batch of codes in one transaction. Each is written only if it is unchanged since it was read.
    async fn replace_once(&self, replacements: &[(Position, VerificationCode, VerificationCode)]) -> StoreResult<u64> {
        let mut transaction = self.begin().await?;
        let mut replaced = 0;
        for ((organisation, id), old, new) in replacements {
            let mut sql = Sql::update("access_token", "verification_hash = ");
            sql.bind(new.hash.as_stored()).push(", verification_sealed = ").bind(new.sealed.as_stored());
            sql.push(" WHERE organisation_key = ").bind(organisation.0).push(" AND id = ").bind(id.as_str());
            sql.push(" AND verification_hash = ").bind(old.hash.as_stored());
            sql.push(" AND verification_sealed = ").bind(old.sealed.as_stored()).push(" RETURNING id");
            replaced += transaction.all(sql).await?.len() as u64;
        }
        transaction.commit().await?;
        Ok(replaced)
    }
}

/// Returns the id of a key in the form of the parameter of a hash.
pub(crate) fn parameter(key: &str) -> String {
    STANDARD_NO_PAD.encode(key)
}

fn add(counts: &mut Counts, what: &'static str, key: &Option<String>, rows: u64) {
    if let Some(key) = key {
        let key = Some(key.clone()).filter(|key| !key.is_empty());
        *counts.entry((what, key)).or_default() += rows;
    }
}

/// Counts the rows of `from`, a table or a query on `table`, for each combination of keys. The key is `None` if nothing is stored, and empty if the stored text
/// names no key.
async fn group(
    snapshot: &Snapshot,
    table: &str,
    from: &str,
    columns: &[(&str, Form)],
) -> StoreResult<Vec<(Vec<Option<String>>, u64)>> {
    let mut sql = Sql::new(Label::on("SELECT", table), "SELECT ");
    for (column, form) in columns {
        sql.push(&named_key(column, *form, snapshot.backend())).push(", ");
    }
    let numbers: Vec<_> = (1..=columns.len()).map(|number| number.to_string()).collect();
    sql.push("count(*) FROM ").push(from).push(" GROUP BY ").push(&numbers.join(", "));
    let rows = sql.all(snapshot).await?;
    rows.iter().map(|row| read(row, columns).map_err(store_error)).collect()
}

/// Returns the SQL expression for the key id in a column. Grouping by it is possible because columns have millions of
/// values but few keys.
pub(crate) fn named_key(column: &str, form: Form, backend: DbBackend) -> String {
    let find = if backend == DbBackend::Sqlite { "instr" } else { "strpos" };
    match form {
        Form::Prefix => {
            format!("CASE {find}({column}, '$') WHEN 0 THEN '' ELSE substr({column}, 1, {find}({column}, '$') - 1) END")
        }
        Form::Parameter => {
            let value = format!("substr({column}, {find}({column}, 'keyid=') + 6)");
            let end = format!("{find}(replace({value}, ',', '$') || '$', '$')");
            format!("CASE {find}({column}, 'keyid=') WHEN 0 THEN '' ELSE substr({value}, 1, {end} - 1) END")
        }
    }
}

fn read(row: &QueryResult, columns: &[(&str, Form)]) -> Result<(Vec<Option<String>>, u64), DbErr> {
    let keys = columns.iter().enumerate().map(|(i, (_, form))| {
        let key: Option<String> = row.try_get_by_index(i)?;
        Ok(match form {
            Form::Prefix => key,
            Form::Parameter => key.map(decoded),
        })
    });
    let rows: i64 = row.try_get_by_index(columns.len())?;
    Ok((keys.collect::<Result<_, DbErr>>()?, rows.unsigned_abs()))
}

/// Text that is not base64 is not a key id of this service; it is returned unchanged.
fn decoded(text: String) -> String {
    STANDARD_NO_PAD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}
