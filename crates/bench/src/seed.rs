//! The data: any number of tokens with their owners, the same each time. All of them are copies of one imported token, so that the
//! full answer of each has about the size of the examples of the contract.

use std::path::Path;

use access_tokens_testkit::postgres::Cluster;
use anyhow::{Context, Result};
use rusqlite::Connection;
use serde_json::{Value, json};

pub(crate) const ORGANISATION: &str = "DEMO";
pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const PASS_CODE: &str = "horse battery";
pub(crate) const CLASSIFICATION: &str = "38D24477165849BCBD1D8717FB32456C";
/// Id of the record that is copied, in each table.
pub(crate) const TEMPLATE: &str = "F0000000000000000000000000000000";
/// Number of tokens of an owner.
const TOKENS_PER_OWNER: u64 = 2;

/// Returns the number of owners of this number of tokens.
pub(crate) fn owners(tokens: u64) -> u64 {
    tokens.div_ceil(TOKENS_PER_OWNER)
}

/// Number from which the authentication codes of tokens count. They are numbers, because pgbench can draw only numbers.
pub(crate) const FIRST_CODE: u64 = 10_000_000_000;

/// Returns the id of the nth account.
pub(crate) fn account(n: u64) -> String {
    format!("A0{n:030X}")
}

/// Returns the id of the nth participant.
pub(crate) fn participant(n: u64) -> String {
    format!("D0{n:030X}")
}

/// Returns the identifier that names the nth token together with the pass code.
pub(crate) fn identifier(n: u64) -> String {
    format!("user{n}@example.com")
}

/// Returns the records that are copied, as lines for `import`.
pub(crate) fn fixtures() -> String {
    // Codes without limits in practice.
    let definition = json!({
        "verification_code_length": 10, "otp_length": 8, "otp_lifetime_seconds": 600, "pass_code": {"min_length": 8},
        "issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000},
        "lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 200},
    });
    let (country, unit, business_unit) =
        (TEMPLATE, "48305F8849E3C18B227C5BE3A27BA6DF", "DE00A490BA98ACA98F2E86B23AC190DE");
    let records = [
        json!({"organisation": {"number_prefix": "AT", "definition": definition}}),
        json!({"business_unit": {"id": business_unit, "name": "Loyalty", "code": "LOY", "unified_code": "GRP-LOY",
            "description": "Runs the loyalty scheme", "parent_business_unit_name": "Group"}}),
        json!({"unit": {"id": unit, "name": "Admin Unit", "group_name": "Main Group",
            "community_name": "Internal Community", "alternative_code": "MG", "description": "r1",
            "business_unit": {"id": business_unit}}}),
        json!({"user": {"id": USER, "username": USER, "person_name": "Bench", "email": "bench@example.com",
            "password": PASSWORD, "default_unit": {"id": unit}, "permissions": [
                "access_tokens.read", "access_tokens.write", "access_tokens.lookup", "access_tokens.secrets",
                "directory.write", "admin"]}}),
        json!({"country": {"id": country, "name": "CYPRUS", "two_character_code": "CY", "three_character_code": "CYP",
            "dialing_code": "+357"}}),
        json!({"industry": {"id": TEMPLATE, "name": "Marketing", "code": "MK"}}),
        json!({"classification": {"id": CLASSIFICATION, "name": "Mobile Application", "alternative_code": "MA"}}),
        json!({"contact_information": {"id": TEMPLATE, "type": "PERSON", "life_cycle_state": "FINANCIAL",
            "name": "Mercer Ben Omonoia", "first_name": "Ben Omonoia", "middle_name": "James", "last_name": "Mercer",
            "title": "Mr", "demographics": {"gender": "MALE", "id_number": "1212125",
                "country_of_residence": {"id": country}, "passport_issued_by_country": {"id": country},
                "id_issued_by_country": {"id": country}, "industry": {"id": TEMPLATE},
                "name_day": {"month": 6, "day": 14}, "date_of_birth": {"month": 11, "day": 9, "year": 1963}}}}),
        json!({"accounts_receivable": {"id": TEMPLATE, "number": "ACR000418", "name": "Mercer 6",
            "life_cycle_state": "ACTIVE", "account_owner": {"id": TEMPLATE}}}),
        json!({"rewards_participant": {"id": TEMPLATE, "number": "RP28", "life_cycle_state": "EFFECTIVE",
            "accounts_receivable": {"id": TEMPLATE}}}),
        token(unit, business_unit),
    ];
    records.map(|record| record.to_string()).join("\n")
}

fn token(unit: &str, business_unit: &str) -> Value {
    let mut token = json!({
        "id": TEMPLATE, "number": "AT9999999999", "life_cycle_state": "EFFECTIVE", "authentication_code": "template",
        "identifier": "template@example.com", "pass_code": PASS_CODE, "card_masked_number": "411111******1111",
        "verified_date": "2016-05-19T14:26:53", "verified_by_user": {"id": USER},
        "accounts_receivable": {"id": TEMPLATE}, "rewards_participant": {"id": TEMPLATE},
        "classification": {"id": CLASSIFICATION},
        "log_information": {
            "created_date": "2016-05-19T14:26:53", "created_by_user": {"id": USER}, "created_by_unit": {"id": unit},
            "created_by_business_unit": {"id": business_unit},
            "updated_date": "2016-05-20T10:06:08", "updated_by_user": {"id": USER}, "updated_by_unit": {"id": unit},
            "updated_by_business_unit": {"id": business_unit}},
    });
    texts(&mut token, 4);
    json!({"access_token": token})
}

/// Returns the nth new card, for an owner, as a record for `import`.
pub(crate) fn card(n: u64, owner: u64) -> Value {
    let mut token = json!({
        "number": format!("CT{n:010}"), "life_cycle_state": "EFFECTIVE", "authentication_code": format!("CC{n:030}"),
        "card_masked_number": "411111******1111", "accounts_receivable": {"id": account(owner)},
        "rewards_participant": {"id": participant(owner)}, "classification": {"id": CLASSIFICATION},
    });
    texts(&mut token, 1);
    json!({"access_token": token})
}

fn texts(token: &mut Value, each: u8) {
    for i in 1..=each {
        token[format!("udf_string_{i}")] = format!("user defined text number {i} of eight").into();
        token[format!("udf_float_{i}")] = (f64::from(i) + 0.25).into();
        token[format!("udf_date_{i}")] = format!("2015-0{i}-16T14:23:46").into();
    }
}

/// A database, accessed without the service.
pub(crate) enum Sql {
    Postgres { database: String },
    Sqlite(Connection),
}

impl Sql {
    /// Opens a SQLite file.
    pub(crate) fn sqlite(file: &Path) -> Result<Self> {
        Ok(Self::Sqlite(Connection::open(file)?))
    }

    /// Runs statements.
    pub(crate) fn run(&self, cluster: Option<&Cluster>, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql)?,
            Self::Postgres { database } => {
                cluster.context("a cluster")?.psql(database, sql)?;
            }
        }
        Ok(())
    }

    /// Returns the names of the columns of a table.
    pub(crate) fn columns(&self, cluster: Option<&Cluster>, table: &str) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
                Ok(statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
            }
            Self::Postgres { database } => {
                let sql = format!(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY \
                     ordinal_position"
                );
                Ok(cluster.context("a cluster")?.psql(database, &sql)?.lines().map(str::to_owned).collect())
            }
        }
    }

    fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Returns an SQL expression of an id: a letter, a zero, and a number.
    pub(crate) fn id(&self, letter: char, n: &str) -> String {
        if self.is_sqlite() {
            format!("printf('{letter}0%030X', {n})")
        } else {
            format!("'{letter}0' || upper(lpad(to_hex({n}), 30, '0'))")
        }
    }
}

/// Fills a database that holds the fixtures with this number of tokens.
pub(crate) fn tokens(sql: &Sql, cluster: Option<&Cluster>, tokens: u64) -> Result<()> {
    let owners = owners(tokens);
    let owner = format!("(n + {}) / {TOKENS_PER_OWNER}", TOKENS_PER_OWNER - 1);
    if sql.is_sqlite() {
        sql.run(cluster, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;")?;
    }
    let copy = |table: &str, count: u64, changed: &[(&str, String)]| -> Result<()> {
        let columns = sql.columns(cluster, table)?;
        let value = |column: &String| {
            let changed = changed.iter().find(|(name, _)| name == column);
            changed.map_or_else(|| format!("x.{column}"), |(_, expression)| expression.clone())
        };
        let values: Vec<_> = columns.iter().map(value).collect();
        let series = if sql.is_sqlite() {
            format!(
                "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
            )
        } else {
            format!("generate_series(1, {count}::bigint)")
        };
        let named = if sql.is_sqlite() { "s" } else { "s(n)" };
        sql.run(
            cluster,
            &format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {series} {named} CROSS JOIN {table} x WHERE x.id = '{TEMPLATE}'",
                columns.join(", "),
                values.join(", "),
            ),
        )
    };
    let text = |n: &str| format!("CAST({n} AS TEXT)");
    copy("contact_information", owners, &[("id", sql.id('C', "n"))])?;
    let account = [
        ("id", sql.id('A', "n")),
        ("number", format!("'ACC' || {}", text("n"))),
        ("name", format!("'Account ' || {}", text("n"))),
        ("account_owner", sql.id('C', "n")),
    ];
    copy("accounts_receivable", owners, &account)?;
    let participant = [("id", sql.id('D', "n")), ("number", text("n")), ("accounts_receivable", sql.id('A', "n"))];
    copy("rewards_participant", owners, &participant)?;
    let token = [
        ("id", sql.id('B', "n")),
        ("number", format!("'BT' || {}", text(&format!("{FIRST_CODE} + n")))),
        ("authentication_code", text(&format!("{FIRST_CODE} + n"))),
        ("identifier", format!("'user' || {} || '@example.com'", text("n"))),
        ("accounts_receivable", sql.id('A', &owner)),
        ("rewards_participant", sql.id('D', &owner)),
    ];
    copy("access_token", tokens, &token)?;
    match sql {
        Sql::Sqlite(_) => sql.run(cluster, "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);"),
        // One statement per call, because VACUUM runs in no transaction.
        Sql::Postgres { .. } => sql.run(cluster, "VACUUM ANALYZE").and_then(|()| sql.run(cluster, "CHECKPOINT")),
    }
}

/// Returns a query of a full answer in one statement: the columns of a token and its owners, and the joins.
pub(crate) fn full_join(sql: &Sql, cluster: Option<&Cluster>) -> Result<String> {
    let tables = [
        ("t", "access_token"),
        ("a", "accounts_receivable"),
        ("c", "contact_information"),
        ("p", "rewards_participant"),
        ("b", "accounts_receivable"),
        ("d", "contact_information"),
    ];
    let mut columns = Vec::new();
    for (alias, table) in tables {
        columns
            .extend(sql.columns(cluster, table)?.iter().map(|column| format!("{alias}.{column} AS {alias}_{column}")));
    }
    Ok(format!(
        "SELECT {} FROM access_token t \
         LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable \
         LEFT JOIN contact_information c ON c.organisation_key = a.organisation_key AND c.id = a.account_owner \
         LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant \
         LEFT JOIN accounts_receivable b ON b.organisation_key = p.organisation_key AND b.id = p.accounts_receivable \
         AND (t.accounts_receivable IS NULL OR t.accounts_receivable <> p.accounts_receivable) \
         LEFT JOIN contact_information d ON d.organisation_key = b.organisation_key AND d.id = b.account_owner",
        columns.join(", ")
    ))
}
