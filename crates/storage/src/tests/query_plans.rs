//! Query plans of the most frequent statements: they must use an index, must not sort, and must not read rows that are
//! not in the result.

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, OwnerIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, TokenPage};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, Value};

use crate::lookup;
use crate::migration;
use crate::options::DatabaseOptions;
use crate::postgres::{self, Purpose};
use crate::sqlite;
use crate::tokens;

pub(crate) const ORGANISATION: OrganisationKey = OrganisationKey(1);
pub(crate) const TOKENS: usize = 20_000;

/// Tokens: most have an account and a participant, each tenth is free. A few owners are terminated.
const FIXTURES: [&str; 5] = [
    "INSERT INTO organisation (id, name, number_prefix, legacy_compatibility, definition, directory_version) \
     SELECT 'O' || n, 'O' || n, 'AT', {true}, '{}', 1 FROM {numbers} WHERE n <= 10",
    "INSERT INTO contact_information (organisation_key, id, name) SELECT 1, 'C' || n, 'N' FROM {numbers}",
    "INSERT INTO accounts_receivable (organisation_key, id, number, life_cycle_state, account_owner) \
     SELECT 1, 'A' || n, 'A' || n, CASE WHEN n % 1000 = 0 THEN 'TERMINATED' ELSE 'ACTIVE' END, 'C' || n FROM {numbers}",
    "INSERT INTO rewards_participant (organisation_key, id, number, life_cycle_state, accounts_receivable) \
     SELECT 1, 'P' || n, 'P' || n, CASE WHEN n % 1000 = 1 THEN 'TERMINATED' ELSE 'EFFECTIVE' END, 'A' || n FROM {numbers}",
    "INSERT INTO access_token (organisation_key, id, number, life_cycle_state, authentication_code, identifier, \
     accounts_receivable, rewards_participant, created_date, updated_date) \
     SELECT 1, 'T' || n, 'N' || n, 'EFFECTIVE', 'C' || n, 'I' || n, CASE WHEN n % 10 > 0 THEN 'A' || n END, \
     CASE WHEN n % 10 > 0 THEN 'P' || n END, 1, 1 FROM {numbers}",
];

pub(crate) async fn insert_fixtures(connection: &DatabaseConnection) {
    let (numbers, yes) = match connection.get_database_backend() {
        DbBackend::Postgres => (format!("generate_series(1, {TOKENS}) AS s(n)"), "true"),
        _ => {
            let numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n <";
            (format!("({numbers} {TOKENS}) SELECT n FROM s)"), "1")
        }
    };
    for sql in FIXTURES {
        let sql = sql.replace("{numbers}", &numbers).replace("{true}", yes);
        connection.execute_unprepared(&sql).await.expect("runs");
    }
    connection.execute_unprepared("ANALYZE").await.expect("runs");
}

/// Returns the most frequent statements with values.
fn statements(backend: DbBackend) -> Vec<(String, Vec<Value>)> {
    let mut statements = Vec::new();
    for query in lookup::all(ORGANISATION) {
        let values = |key: &str| {
            let keys = ["$2", "$3"].into_iter().filter(|place| query.single_sql().contains(place));
            std::iter::once(1.into()).chain(keys.map(|_| key.into())).collect()
        };
        statements.push((query.single_sql().to_owned(), values("T1")));
        if backend == DbBackend::Postgres {
            statements.push((query.batch_sql().to_owned(), values("{T1,T2}")));
        }
    }
    let owners = [
        OwnerIdentifier::AccountsReceivable(AccountsReceivableIdentifier::Id("A1".to_owned())),
        OwnerIdentifier::AccountsReceivable(AccountsReceivableIdentifier::Number("A1".to_owned())),
        OwnerIdentifier::RewardsParticipant(RewardsParticipantIdentifier::Id("P1".to_owned())),
        OwnerIdentifier::RewardsParticipant(RewardsParticipantIdentifier::Number("P1".to_owned())),
    ];
    for owner in &owners {
        for (after, offset) in [(None, 0), (Some("T1"), 0), (None, 10)] {
            for classification in [None, Some("K")] {
                let page = TokenPage { owner, classification, after, offset, limit: 11 };
                statements.push(tokens::page_of(ORGANISATION, page, OwnerJoins::ALL).into_parts());
            }
        }
    }
    for state in [None, Some(LifeCycleState::Effective)] {
        statements.push(tokens::free(ORGANISATION, state, 101, OwnerJoins::ALL).into_parts());
    }
    statements
}

/// Reports whether a plan may sort some rows: the tokens of an account's participants, and the tokens of terminated
/// owners.
fn may_sort(text: &str) -> bool {
    text.contains("members") || text.contains("ended")
}

async fn lines(connection: &DatabaseConnection, sql: String, column: &str) -> Vec<String> {
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
    rows.expect("a plan").iter().map(|row| row.try_get("", column).expect("a line")).collect()
}

#[tokio::test]
async fn postgres_goes_by_indexes() {
    let options = DatabaseOptions::new(access_tokens_testkit::postgres::create_database());
    let migrating = postgres::connect_to_first(&options, Purpose::Migrate).await.expect("connects");
    migration::migrate_postgres(&migrating, std::time::Duration::from_secs(9)).await.expect("migrates");
    insert_fixtures(&migrating).await;
    let connection = postgres::connect_to_first(&options, Purpose::Heartbeat).await.expect("connects");
    for (text, values) in statements(DbBackend::Postgres) {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        connection.execute_unprepared(&format!("PREPARE asked AS {text}")).await.expect("a statement");
        // Costs show only how a plan is wrong, and differ between machines.
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE asked({})", values.join(", "));
        let plan = lines(&connection, explain, "QUERY PLAN").await;
        connection.execute_unprepared("DEALLOCATE asked").await.expect("gone");
        for line in &plan {
            let wrong = line.contains("Seq Scan") || line.contains("Hash") || line.contains("Sort") && !may_sort(&text);
            assert!(!wrong, "{line}:\n{text}\n{}", plan.join("\n"));
        }
        assert!(plan.iter().any(|line| line.contains("Index Scan")), "a plan: {plan:?}");
    }
}

#[tokio::test]
async fn sqlite_goes_by_indexes() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = DatabaseOptions::new(format!("sqlite://{}/test.db", folder.path().display()));
    let connection = sqlite::connect_writer(&options).await.expect("connects");
    migration::migrate_sqlite(&connection).await.expect("migrates");
    insert_fixtures(&connection).await;
    for (text, _) in statements(DbBackend::Sqlite) {
        let plan = lines(&connection, format!("EXPLAIN QUERY PLAN {text}"), "detail").await;
        for line in &plan {
            // A scan of rows that an index has just found is allowed.
            let made = |name: &str| {
                plan.iter().any(
                    |line| matches!(line.split_once(' '), Some(("CO-ROUTINE" | "MATERIALIZE", made)) if made == name),
                )
            };
            let scanned = line.strip_prefix("SCAN ").map(|name| name.trim_end_matches(" LEFT-JOIN"));
            let scans = scanned.is_some_and(|name| !made(name));
            // An index on all tokens of an organisation is no better than a scan of all tokens.
            let all = line.ends_with("(organisation_key=?)") && !line.contains("_terminated_idx");
            let sorts = line.contains("TEMP B-TREE") && !may_sort(&text);
            assert!(!scans && !all && !sorts, "{line}:\n{text}\n{}", plan.join("\n"));
        }
        assert!(plan.iter().any(|line| line.starts_with("SEARCH")), "a plan: {plan:?}");
    }
}

/// See `.cargo/config.toml`. With samples of values, SQLite would prepare a statement again whenever its values change,
/// which takes several times as long as running it.
#[tokio::test]
async fn sqlite_is_built_without_what_slows_it_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = DatabaseOptions::new(format!("sqlite://{}/test.db", folder.path().display()));
    let connection = sqlite::connect_writer(&options).await.expect("connects");
    let built = lines(&connection, "PRAGMA compile_options".to_owned(), "compile_options").await;
    for fast in ["DEFAULT_MEMSTATUS=0", "DEFAULT_PCACHE_INITSZ=0"] {
        assert!(built.iter().any(|option| option == fast), "{fast}");
    }
    for slow in ["ENABLE_STAT4", "ENABLE_MEMORY_MANAGEMENT", "ENABLE_API_ARMOR"] {
        assert!(!built.iter().any(|option| option == slow), "{slow}");
    }
}
