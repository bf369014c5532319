//! Counts for operators.

use access_tokens_domain::attempts::SecretKind;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use access_tokens_domain::strength::{StoredStrength, Strength};
use sea_orm::{DatabaseConnection, DbBackend, QueryResult};

use crate::error::Failure;
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::{Sql, get, is_postgres};

/// PostgreSQL: number of tokens above which the counts are estimated. This number of tokens is counted within a second.
const MAX_COUNTED_TOKENS: f64 = 100_000.0;

/// Number of rows of the table as PostgreSQL's planner estimates it, and the fraction of rows in each state.
const ESTIMATE: &str = "SELECT c.reltuples::float8 AS rows, v.state, v.part::float8 AS part FROM pg_class c \
     LEFT JOIN pg_stats s ON s.schemaname = c.relnamespace::regnamespace::text AND s.tablename = c.relname \
     AND s.attname = 'life_cycle_state' \
     LEFT JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v(state, part) ON true \
     WHERE c.oid = 'access_token'::regclass";

/// Number of connections for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Purpose: `readers` of SQLite; `statements` and `transactions` of PostgreSQL.
    pub purpose: &'static str,
    /// Number of open connections.
    pub open: u32,
    /// Number of open connections that are not in use.
    pub idle: u32,
    /// Maximum number of connections.
    pub max: u32,
}

impl Connections {
    pub(crate) fn of(purpose: &'static str, connection: &DatabaseConnection) -> Self {
        let (open, idle, max) = if connection.backend() == DbBackend::Sqlite {
            let pool = connection.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        } else {
            let pool = connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        Self { purpose, open, idle, max }
    }
}

/// Returns the number of access tokens in each state.
pub(crate) async fn tokens_by_state<C: Connection>(connection: &C) -> StoreResult<Vec<(LifeCycleState, u64)>> {
    if is_postgres(connection)
        && let Some(estimate) = estimate(connection).await?
    {
        return Ok(estimate);
    }
    let sql = Sql::select("life_cycle_state, count(*) AS tokens", "access_token", " GROUP BY life_cycle_state");
    let rows = sql.all(connection).await?;
    let mut counts = zero_counts();
    for row in &rows {
        add(&mut counts, row, "life_cycle_state", get::<i64>(row, "tokens")?.unsigned_abs())?;
    }
    Ok(counts)
}

/// Returns the estimates of PostgreSQL's planner. `None` if there are few tokens, or no statistics yet.
async fn estimate<C: Connection>(connection: &C) -> StoreResult<Option<Vec<(LifeCycleState, u64)>>> {
    let rows = Sql::new(Label::CATALOG, ESTIMATE).all(connection).await?;
    let mut counts = zero_counts();
    for row in &rows {
        let (tokens, part): (f64, Option<f64>) = (get(row, "rows")?, get(row, "part")?);
        let Some(part) = part.filter(|_| tokens > MAX_COUNTED_TOKENS) else { return Ok(None) };
        add(&mut counts, row, "state", (tokens * part).round() as u64)?;
    }
    Ok(Some(counts).filter(|_| !rows.is_empty()))
}

/// Returns the recorded strengths of stored pass codes, and the lengths of unused verification codes.
pub(crate) async fn strengths<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
) -> StoreResult<Vec<StoredStrength>> {
    let find = if is_postgres(connection) { "strpos" } else { "instr" };
    let mut sql = Sql::new(Label::select(&["access_token"]), "SELECT classification, substr(pass_code_hash, ");
    sql.push(find).push("(pass_code_hash, ',data=') + 6, 4) AS note, NULL AS seal, count(*) AS tokens");
    sql.push(" FROM access_token WHERE organisation_key = ").bind(organisation.0);
    sql.push(" AND (pass_code_hash LIKE '%,data=len_%' OR pass_code_hash LIKE '%,data=cmn_%') GROUP BY 1, 2");
    sql.push(" UNION ALL SELECT classification, NULL, length(verification_sealed) - ");
    sql.push(find).push("(verification_sealed, '$'), count(*) FROM access_token WHERE organisation_key = $1");
    sql.push(" AND life_cycle_state = 'PENDING_VERIFICATION' AND verification_sealed IS NOT NULL GROUP BY 1, 3");
    let rows = sql.all(connection).await?;
    let mut strengths = Vec::new();
    for row in &rows {
        let (note, seal): (Option<String>, Option<i32>) = (get(row, "note")?, get(row, "seal")?);
        let of_hash = note.and_then(|note| Strength::from_note(&note)).map(|noted| (SecretKind::PassCode, noted));
        let of_seal = seal.and_then(|seal| usize::try_from(seal).ok()).map(Strength::of_seal_text);
        let found = of_hash.or(of_seal.map(|length| (SecretKind::VerificationCode, length)));
        let (classification, count) = (get(row, "classification")?, get::<i64>(row, "tokens")?.unsigned_abs());
        strengths.extend(found.map(|(kind, strength)| StoredStrength { classification, kind, strength, count }));
    }
    Ok(strengths)
}

/// Returns a count of 0 for each state.
fn zero_counts() -> Vec<(LifeCycleState, u64)> {
    LifeCycleState::ALL.map(|state| (state, 0)).to_vec()
}

fn add(counts: &mut [(LifeCycleState, u64)], row: &QueryResult, column: &str, tokens: u64) -> StoreResult<()> {
    let name: String = get(row, column)?;
    let known = counts.iter_mut().find(|(state, _)| state.name() == name);
    let (_, count) = known.ok_or_else(|| Failure::fault("a token is in a state that does not exist"))?;
    *count += tokens;
    Ok(())
}
