//! Inspection of the database after a fault.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbBackend, Statement};
use serde_json::json;

use crate::environment::Environment;
use crate::facts::ShownToken;

/// Maximum time for which a session may be idle in a transaction.
const MAX_IDLE_IN_TRANSACTION: Duration = Duration::from_secs(1);
/// Maximum number of tokens of a page of a list.
const PAGE_SIZE: i32 = 1_000;
const FIELDS: &str = "number,authentication_code,life_cycle_state,udf_string_1,verification_code";

/// Returns all tokens that are listed under an owner, read past the lying proxy.
pub(crate) async fn read_back(environment: &Environment, owner: &str) -> Result<Vec<ShownToken>> {
    let client = environment.direct_client(0).await?;
    let (mut seen, mut page) = (Vec::new(), String::new());
    loop {
        let request = json!({
            "accounts_receivable_identifier": {"id": owner}, "number_of_results": PAGE_SIZE, "fields_set": FIELDS,
            "page_token": page,
        });
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            match client.try_call("ListAccessTokens", request.clone()).await {
                Ok(answer) => break answer,
                // The owner was acknowledged too, so all of its tokens are lost.
                Err(refusal) if refusal.reason == "ACCOUNTS_RECEIVABLE_NOT_FOUND" => return Ok(seen),
                // The service may recover a little later than its database.
                Err(refusal) if tries > 50 => bail!("{owner} is not listed: {}", refusal.text()),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let tokens = answer["access_tokens"].as_array().cloned().unwrap_or_default();
        for token in &tokens {
            seen.push(ShownToken::from_json(token).with_context(|| format!("not a token: {token}"))?);
        }
        page = answer["next_page_token"].as_str().unwrap_or_default().to_owned();
        if page.is_empty() {
            return Ok(seen);
        }
    }
}

/// Returns faults of the database as a whole. On PostgreSQL this takes a second, because a session that is idle in a transaction
/// for longer is a fault.
pub(crate) async fn faults(environment: &Environment) -> Result<Vec<String>> {
    let mut faults = environment.panics();
    if environment.cluster().is_none() {
        let path = environment.file();
        let mut options = ConnectOptions::new(format!("sqlite://{}?mode=ro", path.display()));
        options.sqlx_logging(false).max_connections(1);
        let database = Database::connect(options).await?;
        let ask = |sql: &'static str| Statement::from_string(DbBackend::Sqlite, sql);
        for row in database.query_all_raw(ask("PRAGMA integrity_check")).await? {
            let line: String = row.try_get_by_index(0)?;
            if line != "ok" {
                faults.push(format!("integrity_check: {line}"));
            }
        }
        database.close().await?;
        return Ok(faults);
    }
    tokio::time::sleep(MAX_IDLE_IN_TRANSACTION).await;
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
        AND clock_timestamp() - state_change > interval '1 second'";
    let checks = [
        ("sessions that idle in a transaction", idle),
        (
            "numbers that are there twice",
            "SELECT count(*) - count(DISTINCT (organisation_key, number)) FROM access_token",
        ),
        (
            "rows that an index and the table disagree about",
            "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; \
             CREATE TEMP TABLE by_heap AS SELECT id FROM access_token; \
             SET enable_indexscan = on; SET enable_indexonlyscan = on; SET enable_seqscan = off; \
             SELECT (SELECT count(*) FROM by_heap) - (SELECT count(*) FROM access_token WHERE id >= '')",
        ),
    ];
    for (what, sql) in checks {
        let count = environment.psql(sql)?;
        if count != "0" {
            faults.push(format!("{count} {what}"));
        }
    }
    Ok(faults)
}

/// Returns the numbers that more than one token has.
pub(crate) fn duplicate_numbers(seen: &[ShownToken]) -> Vec<String> {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    let mut found = Vec::new();
    for token in seen {
        if let Some(other) = owners.insert(&token.number, &token.key)
            && other != token.key
        {
            found.push(format!("{} and {} have the number {}", token.key, other, token.number));
        }
    }
    found
}
