//! Statements for sessions: open, release, end, delete.
//!
//! Release times come from the clock of the database, so that replicas whose clocks differ read the same list in the
//! same order.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    ImportChanges, NewSession, ReleasedAfter, ReleasedPage, ReleasedSession, SessionProof, StoreResult,
};
use access_tokens_domain::time::Timestamp;
use sea_orm::QueryResult;

use crate::convert::{self, micros};
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::{Sql, get, is_postgres};

/// Tables with rows that expire: name, key, and column with the time of expiry.
pub(crate) const EXPIRING: [(&str, &str, &str); 2] =
    [("released_session", "id", "expires_at"), ("session", "organisation_key, id", "expires")];

/// Maximum number of rows that one statement deletes by their ids.
const DELETE_BATCH_SIZE: usize = 500;

/// Microseconds of a second.
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Owner of the sessions that end.
#[derive(Clone, Copy)]
pub(crate) enum SessionOwner<'a> {
    /// A user, by id.
    User(&'a str),
    /// The API key that opened the sessions, by id.
    ApiKey(&'a str),
}

/// Returns the expression for the time of the database's clock, in microseconds since 1970. The operator is named with
/// its schema: the types of its operands match none of PostgreSQL's exactly, and an operator of another schema could
/// match better.
fn database_time(sqlite: bool) -> &'static str {
    if sqlite {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    } else {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) OPERATOR(pg_catalog.*) 1000000 AS BIGINT)"
    }
}

/// Stores a session if its proof is still valid. On PostgreSQL the rows of the user and of the key are locked: the
/// statement waits for a concurrent change of them, and a later change sees the session.
pub(crate) fn open(session: &NewSession<'_>, sqlite: bool) -> Sql {
    let (key, tables): (_, &[_]) = match session.proof {
        SessionProof::ApiKey(key) => (Some(key), &["session", "user_credential", "api_key"]),
        SessionProof::Password(_) => (None, &["session", "user_credential"]),
    };
    let (issued, lifetime) = (micros(session.issued), session.lifetime.num_microseconds().unwrap_or(i64::MAX / 2));
    let mut sql = Sql::new(
        Label::insert(tables),
        "INSERT INTO session (organisation_key, id, user_id, unit, api_key, issued, expires, address) \
         SELECT x.organisation_key, ",
    );
    sql.bind(session.id).push(", x.user_id, ").bind(session.unit.map(str::to_owned)).push(", ");
    sql.bind(key.map(str::to_owned)).push(", x.issued, CASE WHEN x.ends < x.issued + ").bind(lifetime);
    sql.push(" THEN x.ends ELSE x.issued + ").bind(lifetime).push(" END, ");
    sql.bind(session.address.map(str::to_owned));
    sql.push(" FROM (SELECT c.organisation_key, c.user_id, CASE WHEN c.sessions_not_before > ").bind(issued);
    sql.push(" THEN c.sessions_not_before ELSE ").bind(issued).push(" END AS issued, ");
    sql.push(if key.is_some() { "k.expires_date" } else { "CAST(NULL AS BIGINT)" });
    sql.push(" AS ends FROM user_credential c");
    if key.is_some() {
        sql.push(" JOIN api_key k ON k.organisation_key = c.organisation_key AND k.user_id = c.user_id");
    }
    sql.push(" WHERE c.disabled_date IS NULL AND c.organisation_key = ").bind(session.organisation.0);
    sql.push(" AND c.user_id = ").bind(session.user);
    match session.proof {
        SessionProof::Password(hash) => {
            sql.push(" AND c.password_hash = ").bind(hash.as_stored());
        }
        SessionProof::ApiKey(key) => {
            sql.push(" AND k.revoked_date IS NULL AND k.id = ").bind(key);
            sql.push(" AND (k.expires_date IS NULL OR k.expires_date > ").bind(issued).push(")");
        }
    }
    sql.push(if sqlite { "" } else { " FOR SHARE" }).push(") x RETURNING issued, expires");
    sql
}

/// Records that a session was released.
pub(crate) fn release(session: &str, expires: Timestamp, sqlite: bool) -> Sql {
    let mut sql = Sql::insert("released_session", "(id, released_at, expires_at) VALUES (");
    sql.bind(session).push(", ").push(database_time(sqlite)).push(", ").bind(micros(expires));
    sql.push(") ON CONFLICT (id) DO NOTHING");
    sql
}

/// Deletes the rows of open sessions.
pub(crate) fn delete(sessions: &[(OrganisationKey, String)]) -> Vec<Sql> {
    let pieces = sessions.chunks(DELETE_BATCH_SIZE).map(|piece| {
        let mut sql = Sql::delete("session", " WHERE ");
        for (place, (organisation, id)) in piece.iter().enumerate() {
            sql.push(if place == 0 { "(organisation_key = " } else { " OR (organisation_key = " });
            sql.bind(organisation.0).push(" AND id = ").bind(id.as_str()).push(")");
        }
        sql
    });
    pieces.collect()
}

/// Returns the statement for a page of released sessions. It returns the time of the database even if the page is
/// empty.
pub(crate) fn released(after: &ReleasedAfter, now: Timestamp, limit: u32, sqlite: bool) -> Sql {
    let mut sql = Sql::new(
        Label::select(&["released_session"]),
        "SELECT t.read_at, r.id, r.released_at, r.expires_at FROM (SELECT ",
    );
    sql.push(database_time(sqlite)).push(" AS read_at) t LEFT JOIN (SELECT id, released_at, expires_at");
    sql.push(" FROM released_session WHERE ");
    match after {
        ReleasedAfter::Id(id) => {
            sql.push("id > ").bind(id.as_str()).push(" AND expires_at > ").bind(micros(now)).push(" ORDER BY id");
        }
        ReleasedAfter::Release(released_at, id) => {
            sql.push("(released_at, id) > (").bind(*released_at).push(", ").bind(id.as_str()).push(")");
            sql.push(" AND expires_at > ").bind(micros(now)).push(" ORDER BY released_at, id");
        }
    }
    sql.limit(limit).push(") r ON 1 = 1");
    sql
}

/// Reads the rows of [`released`].
pub(crate) fn page(rows: &[QueryResult]) -> StoreResult<ReleasedPage> {
    let mut page = ReleasedPage::default();
    for row in rows {
        page.read_at = get(row, "read_at")?;
        let Some(id) = get::<Option<String>>(row, "id")? else { continue };
        let expires = convert::time(get(row, "expires_at")?, "released_session.expires_at")?;
        page.sessions.push(ReleasedSession { id, released_at: get(row, "released_at")?, expires });
    }
    Ok(page)
}

/// Deletes expired rows and returns their ids. Skips rows that another replica is deleting.
pub(crate) fn forget((table, key, expires): (&str, &str, &str), now: Timestamp, limit: u32, sqlite: bool) -> Sql {
    let mut sql = Sql::delete(table, &format!(" WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {expires} <= "));
    sql.bind(micros(now)).limit(limit);
    sql.push(if sqlite { "" } else { " FOR UPDATE SKIP LOCKED" }).push(") RETURNING id");
    sql
}

/// Returns the first whole second after `now`, in microseconds: sessions issued before it have ended. The claims of a
/// session have whole seconds, so that a session of the current second could be from before or after the change.
pub(crate) fn not_before(now: Timestamp) -> i64 {
    micros(now).div_euclid(MICROS_PER_SECOND) * MICROS_PER_SECOND + MICROS_PER_SECOND
}

/// Releases all open sessions of a user or a key. The same transaction must have changed the row of the user or of the
/// key before: a concurrent log-in then either has committed and is seen, or waits and is refused.
pub(crate) fn end(organisation: OrganisationKey, ended: SessionOwner<'_>, now: Timestamp, sqlite: bool) -> [Sql; 2] {
    let of = |sql: &mut Sql| {
        sql.push(" WHERE organisation_key = ").bind(organisation.0);
        match ended {
            SessionOwner::User(user) => sql.push(" AND user_id = ").bind(user),
            SessionOwner::ApiKey(key) => sql.push(" AND api_key = ").bind(key),
        };
    };
    let mut release = Sql::new(
        Label::insert(&["released_session", "session"]),
        "INSERT INTO released_session (id, released_at, expires_at) SELECT id, ",
    );
    release.push(database_time(sqlite)).push(", expires FROM session");
    of(&mut release);
    release.push(" AND expires > ").bind(micros(now)).push(" ON CONFLICT (id) DO NOTHING");
    let mut delete = Sql::delete("session", "");
    of(&mut delete);
    [release, delete]
}

/// Runs after an import has written credentials. Ends the sessions of users whose password has changed, records when
/// users got a password, and moves the passwords of disabled users to a column that servers of the previous release do
/// not read.
pub(crate) async fn end_after_import<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    changes: &ImportChanges,
) -> StoreResult<()> {
    let sqlite = !is_postgres(connection);
    for (user, now) in &changes.password_changes {
        let mut sql = Sql::update("user_credential", "sessions_not_before = ");
        sql.bind(not_before(*now)).push(", password_changed_date = ").bind(micros(*now));
        sql.push(", revision = revision + 1 WHERE organisation_key = ").bind(organisation.0);
        sql.push(" AND user_id = ").bind(user.as_str());
        sql.all(connection).await?;
        for sql in end(organisation, SessionOwner::User(user), *now, sqlite) {
            sql.all(connection).await?;
        }
    }
    for (user, now) in &changes.first_passwords {
        let mut sql = Sql::update("user_credential", "password_changed_date = ");
        sql.bind(micros(*now)).push(" WHERE organisation_key = ").bind(organisation.0);
        sql.push(" AND user_id = ").bind(user.as_str());
        sql.all(connection).await?;
    }
    for credential in changes.credentials.iter().filter(|credential| credential.password.is_some()) {
        let mut sql = Sql::update(
            "user_credential",
            "disabled_password_hash = password_hash, password_hash = NULL \
             WHERE disabled_date IS NOT NULL AND organisation_key = ",
        );
        sql.bind(organisation.0).push(" AND user_id = ").bind(credential.user.as_str());
        sql.all(connection).await?;
    }
    Ok(())
}
