//! The cost of the work without a service: PostgreSQL by pgbench, SQLite by its library, and Argon2id alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::{Cluster, ROLE};
use access_tokens_testkit::random::Rng;
use anyhow::{Context, Result, ensure};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::cpu::CpuOwner;
use crate::seed::{self, Sql};

/// The result of a run of pgbench.
pub(crate) struct Pgbench {
    /// Transactions per second.
    pub(crate) rate: f64,
    /// Number of transactions.
    pub(crate) calls: u64,
}

/// Writes the scripts of pgbench to a directory: the full answer, and a new token.
pub(crate) fn write_scripts(sql: &Sql, cluster: &Cluster, database: &str, tokens: u64, folder: &Path) -> Result<()> {
    let join = seed::full_join(sql, Some(cluster))?;
    let show = format!(
        "\\set code {} + random(1, {tokens})\n{join} WHERE t.organisation_key = 1 AND t.authentication_code = :code;\n",
        seed::FIRST_CODE
    );
    std::fs::write(folder.join("show.sql"), show)?;

    cluster.psql(
        database,
        &format!(
            "CREATE SEQUENCE IF NOT EXISTS bench_number OWNED BY NONE; ALTER SEQUENCE bench_number OWNER TO {ROLE}"
        ),
    )?;
    let columns = sql.columns(Some(cluster), "access_token")?;
    let quoted: Vec<_> = columns.iter().map(|column| format!("quote_nullable({column})")).collect();
    let row = format!("SELECT {} FROM access_token WHERE id = '{}'", quoted.join(", "), seed::TEMPLATE);
    let template = cluster.psql(database, &row)?;
    let values = columns.iter().zip(template.split('|')).map(|(column, value)| match column.as_str() {
        // Ascending, as the service creates them.
        "id" => "upper(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || \
                 substr(md5(random()::text), 1, 20))"
            .to_owned(),
        "number" => "'PT' || nextval('bench_number')".to_owned(),
        "authentication_code" => "upper(md5(random()::text))".to_owned(),
        "identifier" | "pass_code_hash" | "verified_date" | "verified_by_user" => "NULL".to_owned(),
        "accounts_receivable" => sql.id('A', ":owner::bigint"),
        "rewards_participant" => sql.id('D', ":owner::bigint"),
        _ => value.to_owned(),
    });
    // A random owner, as in the calls of the service: the inserts spread over the index.
    let create = format!(
        "\\set owner random(1, {})\nINSERT INTO access_token ({}) VALUES ({});\n",
        seed::owners(tokens),
        columns.join(", "),
        values.collect::<Vec<_>>().join(", ")
    );
    std::fs::write(folder.join("create.sql"), create)?;
    Ok(())
}

/// Runs a script over this number of connections.
pub(crate) fn pgbench(url: &str, script: &PathBuf, connections: usize, time: Duration) -> Result<Pgbench> {
    let (connections, seconds) = (connections.to_string(), time.as_secs().max(1).to_string());
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-c", &connections, "-j", "1", "-T", &seconds, "-f"])
        .arg(script)
        .arg(url)
        // The service requests the same planning.
        .env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off")
        .output()
        .context("cannot run pgbench")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let after = |start: &str| said.lines().find_map(|line| line.strip_prefix(start));
    let rate = after("tps = ").and_then(|rest| rest.split(' ').next()).context("no rate")?.parse()?;
    let calls = after("number of transactions actually processed: ").context("no count")?;
    ensure!(after("number of failed transactions: ").is_none_or(|failed| failed.starts_with("0 ")), "{said}");
    Ok(Pgbench { rate, calls: calls.split('/').next().unwrap_or(calls).trim().parse()? })
}

/// Returns the CPU time of one full answer from SQLite, read column by column, and the rate.
pub(crate) fn sqlite_join(sql: &Sql, file: &Path, tokens: u64, time: Duration) -> Result<(Duration, f64)> {
    let join = seed::full_join(sql, None)?;
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement =
        connection.prepare(&format!("{join} WHERE t.organisation_key = ?1 AND t.authentication_code = ?2"))?;
    let rng = Rng::new(3);
    let this = CpuOwner::Process(std::process::id());
    let (started, before, mut calls, mut bytes) = (Instant::now(), this.cpu()?, 0_u32, 0);
    while started.elapsed() < time {
        let code = (seed::FIRST_CODE + 1 + rng.below(tokens)).to_string();
        let mut rows = statement.query((1, code))?;
        while let Some(row) = rows.next()? {
            for column in 0..row.as_ref().column_count() {
                if let ValueRef::Text(text) = row.get_ref(column)? {
                    bytes += text.to_vec().len();
                }
            }
        }
        calls += 1;
    }
    ensure!(bytes > 0, "no token was found");
    Ok(((this.cpu()? - before) / calls.max(1), f64::from(calls) / started.elapsed().as_secs_f64()))
}

/// Returns the CPU time of one new token in SQLite, each with its own commit, and the rate.
pub(crate) fn sqlite_inserts(sql: &Sql, file: &Path, tokens: u64, time: Duration) -> Result<(Duration, f64)> {
    let columns = sql.columns(None, "access_token")?;
    let values = columns.iter().map(|column| match column.as_str() {
        "id" | "number" => "hex(?1)".to_owned(),
        "authentication_code" => "hex(randomblob(16))".to_owned(),
        "identifier" | "pass_code_hash" | "verified_date" | "verified_by_user" => "NULL".to_owned(),
        "accounts_receivable" => sql.id('A', "?2"),
        "rewards_participant" => sql.id('D', "?2"),
        other => other.to_owned(),
    });
    let text = format!(
        "INSERT INTO access_token ({}) SELECT {} FROM access_token WHERE id = '{}'",
        columns.join(", "),
        values.collect::<Vec<_>>().join(", "),
        seed::TEMPLATE
    );
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
    let mut statement = connection.prepare(&text)?;
    let this = CpuOwner::Process(std::process::id());
    let rng = Rng::new(5);
    let (started, before, mut calls) = (Instant::now(), this.cpu()?, 0_u32);
    while started.elapsed() < time {
        // Ascending, as the service creates them.
        let since = std::time::UNIX_EPOCH.elapsed()?.as_nanos().to_be_bytes();
        let owner = i64::try_from(1 + rng.below(seed::owners(tokens)))?;
        ensure!(statement.execute((since, owner))? == 1, "nothing was copied");
        calls += 1;
    }
    Ok(((this.cpu()? - before) / calls.max(1), f64::from(calls) / started.elapsed().as_secs_f64()))
}

/// Returns the CPU time of one hash with the parameters of the service, in memory that is reused.
pub(crate) fn argon2id(time: Duration) -> Result<Duration> {
    use argon2::{Algorithm, Argon2, Block, Params, Version};
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let this = CpuOwner::Process(std::process::id());
    let (started, before, mut hashes, mut hash) = (Instant::now(), this.cpu()?, 0_u32, [0; 32]);
    while started.elapsed() < time {
        let made = argon2.hash_password_into_with_memory(
            seed::PASS_CODE.as_bytes(),
            b"sixteen of salt!",
            &mut hash,
            &mut memory,
        );
        made.map_err(|error| anyhow::anyhow!("{error}"))?;
        hashes += 1;
    }
    Ok((this.cpu()? - before) / hashes.max(1))
}
