use rusqlite::types::Value;
use sea_orm::sqlx::sqlite::SqlitePoolOptions;
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::sqlite::{connect_readers, connect_writer};

/// A writer with a table `t (id)` and a table that refers to it.
struct Fixture {
    writer: Arc<SqliteWriter>,
    options: Arc<DatabaseOptions>,
    folder: tempfile::TempDir,
}

async fn fixture(idle: Duration) -> Fixture {
    fixture_with(idle, u64::MAX).await
}

async fn fixture_with(idle: Duration, max_log_bytes: u64) -> Fixture {
    fixture_of(idle, max_log_bytes, Duration::from_secs(60)).await
}

async fn fixture_of(idle_timeout: Duration, max_log_bytes: u64, queue_timeout: Duration) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("test.db");
    let options = Arc::new(DatabaseOptions::new(format!("sqlite://{}", file.display())));
    let connection = connect_writer(&options).await.expect("connects");
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE r (t INTEGER REFERENCES t (id));";
    connection.execute_unprepared(schema).await.expect("a schema");
    // A batch ends only when the queue is empty, however slow the machine is.
    let minute = Duration::from_secs(60);
    let limits = Limits { max_batch_size: 64, max_batch_age: minute, queue_timeout, idle_timeout, max_log_bytes };
    let writer = SqliteWriter::start(connection, options.clone(), &file, limits).expect("starts");
    Fixture { writer: Arc::new(writer), options, folder }
}

impl Fixture {
    /// Waits until this number of requests is in the queue.
    async fn queued(&self, count: usize) {
        while QUEUE_CAPACITY - self.writer.requests.capacity() < count {
            tokio::task::yield_now().await;
        }
    }

    async fn ids(&self) -> Vec<i64> {
        let readers = connect_readers(&self.options, &Arc::default()).await.expect("connects");
        let sql = crate::sql::Sql::new(crate::sql::label::Label::CATALOG, "SELECT id FROM t ORDER BY id");
        let rows = sql.all(&readers).await.expect("reads");
        rows.iter().map(|row| row.try_get("", "id").expect("an id")).collect()
    }
}

async fn insert(transaction: &WriteTransaction, id: i64) -> Result<(), Failure> {
    let connection = transaction.lock().await?;
    connection.execute_unprepared(&format!("INSERT INTO t VALUES ({id})")).await?;
    Ok(())
}

fn write(writer: &Arc<SqliteWriter>, sql: String) -> JoinHandle<Result<Rows, Failure>> {
    let writer = Arc::clone(writer);
    tokio::spawn(async move { writer.write(Statement::from_string(DbBackend::Sqlite, sql)).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_share_a_commit_and_a_refused_one_costs_only_itself() {
    let fixture = fixture(Duration::from_secs(60)).await;
    let first = fixture.writer.begin().await.expect("a transaction");
    insert(&first, 1_000).await.expect("inserts");
    let insert = |n| write(&fixture.writer, format!("INSERT INTO t VALUES ({}) RETURNING id", n / 2));
    let writes: Vec<_> = (0..60).map(insert).collect();
    fixture.queued(60).await;
    let broken = write(&fixture.writer, "INSERT INTO r VALUES (99)".to_owned());
    fixture.queued(61).await;
    assert!(fixture.ids().await.is_empty(), "they wait for the running transaction");
    first.commit().await.expect("commits");
    let mut written = Vec::new();
    for write in writes {
        match write.await.expect("ran").map(|mut rows| rows.remove(0)) {
            Ok(row) => written.extend(row),
            Err(failure) => assert!(matches!(failure, Failure::Duplicate(_)), "{failure}"),
        }
    }
    assert!(matches!(broken.await.expect("ran"), Err(Failure::Fault(_))));
    assert_eq!(written.len(), 30);
    assert!((0..30).all(|id| written.contains(&Value::Integer(id))), "{written:?}");
    assert_eq!(fixture.ids().await.len(), 31);
    assert_eq!(fixture.writer.counts(), (31, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_statement_that_runs_is_waited_for_and_one_that_waits_is_withdrawn() {
    let fixture = fixture_of(Duration::from_secs(60), u64::MAX, Duration::from_millis(200)).await;
    let count =
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000000) SELECT max(n) FROM s";
    let long = write(&fixture.writer, format!("INSERT INTO t {count}"));
    assert_eq!(long.await.expect("ran"), Ok(Vec::new()), "it takes longer than requests wait in the queue");
    let transaction = fixture.writer.begin().await.expect("a transaction");
    let refused = write(&fixture.writer, "INSERT INTO t VALUES (1)".to_owned()).await.expect("ran");
    assert_eq!(refused, Err(queue_timeout_error()));
    drop(transaction);
    write(&fixture.writer, "INSERT INTO t VALUES (2)".to_owned()).await.expect("ran").expect("written");
    assert_eq!(fixture.ids().await, [2, 3_000_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_commit_is_told_to_all_statements_and_the_next_batch_is_sound() {
    let fixture = fixture(Duration::from_secs(60)).await;
    let first = fixture.writer.begin().await.expect("a transaction");
    // The violation is found only when the whole transaction commits.
    let deferred = ["PRAGMA defer_foreign_keys = ON", "INSERT INTO t VALUES (1)", "INSERT INTO r VALUES (99)"];
    let mut writes = Vec::new();
    for (n, sql) in deferred.into_iter().enumerate() {
        writes.push(write(&fixture.writer, sql.to_owned()));
        fixture.queued(n + 1).await;
    }
    drop(first);
    for write in writes {
        assert!(matches!(write.await.expect("ran"), Err(Failure::Fault(_))));
    }
    assert!(fixture.ids().await.is_empty());
    write(&fixture.writer, "INSERT INTO t VALUES (2)".to_owned()).await.expect("ran").expect("a new connection");
    assert_eq!(fixture.ids().await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_share_a_commit_and_failures_affect_only_themselves() {
    let fixture = fixture(Duration::from_secs(60)).await;
    let first = fixture.writer.begin().await.expect("a transaction");
    insert(&first, 1_000).await.expect("inserts");

    let units = (0..60).map(|id| {
        let writer = Arc::clone(&fixture.writer);
        tokio::spawn(async move {
            let transaction = writer.begin().await.expect("a transaction");
            insert(&transaction, id).await.expect("inserts");
            match id % 4 {
                0 => transaction.commit().await.is_ok(),
                1 => insert(&transaction, 1_000).await.is_ok(),
                2 => panic!("a transaction that panics, on purpose"),
                _ => false,
            }
        })
    });
    let units: Vec<_> = units.collect();
    fixture.queued(60).await;
    first.commit().await.expect("commits");

    let mut acked = vec![1_000];
    for (id, unit) in units.into_iter().enumerate() {
        if unit.await.unwrap_or(false) {
            acked.push(id as i64);
        }
    }
    acked.sort_unstable();
    assert_eq!(acked.len(), 16);
    assert_eq!(fixture.ids().await, acked);
    assert_eq!(fixture.writer.counts(), (16, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_commit_is_told_to_everybody_and_the_next_batch_is_sound() {
    let fixture = fixture(Duration::from_secs(60)).await;
    let first = fixture.writer.begin().await.expect("a transaction");
    insert(&first, 1).await.expect("inserts");
    let writer = Arc::clone(&fixture.writer);
    let broken = tokio::spawn(async move {
        let transaction = writer.begin().await?;
        // The violation is found only when the whole transaction commits.
        let deferred = "PRAGMA defer_foreign_keys = ON; INSERT INTO r VALUES (99);";
        transaction.lock().await?.execute_unprepared(deferred).await?;
        transaction.commit().await
    });
    fixture.queued(1).await;
    let finished = first.commit().await.expect_err("the batch failed");
    assert_eq!(broken.await.expect("ran"), Err(finished));
    assert!(fixture.ids().await.is_empty());

    let transaction = fixture.writer.begin().await.expect("a transaction on a new connection");
    insert(&transaction, 2).await.expect("inserts");
    transaction.commit().await.expect("commits");
    assert_eq!(fixture.ids().await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_never_takes_what_was_acknowledged() {
    let fixture = fixture(Duration::from_secs(60)).await;
    let first = fixture.writer.begin().await.expect("a transaction");
    insert(&first, 1).await.expect("inserts");
    let writer = Arc::clone(&fixture.writer);
    let full = tokio::spawn(async move {
        let transaction = writer.begin().await?;
        let fill = "PRAGMA max_page_count = 6; CREATE TABLE big AS WITH RECURSIVE n (i) AS \
                    (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT randomblob(4000) AS b FROM n;";
        transaction.lock().await?.execute_unprepared(fill).await?;
        transaction.commit().await
    });
    fixture.queued(1).await;
    let acked = first.commit().await.is_ok();
    assert!(matches!(full.await.expect("ran"), Err(Failure::Unavailable(_))));
    assert_eq!(fixture.ids().await, if acked { vec![1] } else { vec![] });

    let transaction = fixture.writer.begin().await.expect("a transaction");
    transaction
        .lock()
        .await
        .expect("a connection")
        .execute_unprepared("PRAGMA max_page_count = 100000")
        .await
        .expect("runs");
    insert(&transaction, 2).await.expect("inserts");
    transaction.commit().await.expect("commits");
    assert!(fixture.ids().await.contains(&2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_is_idle_for_too_long_is_rolled_back() {
    let fixture = fixture(Duration::from_millis(50)).await;
    let idle = fixture.writer.begin().await.expect("a transaction");
    insert(&idle, 1).await.expect("inserts");
    let next = fixture.writer.begin().await.expect("a transaction, although the first was never given back");
    insert(&next, 2).await.expect("inserts");
    next.commit().await.expect("commits");
    assert!(matches!(insert(&idle, 3).await, Err(Failure::Unavailable(_))));
    assert!(matches!(idle.commit().await, Err(Failure::Unavailable(_))));
    assert_eq!(fixture.ids().await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requesters_that_go_away_do_not_hold_the_queue_up() {
    let fixture = fixture(Duration::from_secs(60)).await;
    for round in 0..200_u64 {
        let writer = Arc::clone(&fixture.writer);
        let unit = tokio::spawn(async move {
            let transaction = writer.begin().await.expect("a transaction");
            insert(&transaction, 5).await.expect("it is never committed");
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(Duration::from_micros(round % 50 * 20)).await;
        unit.abort();
    }
    let transaction = fixture.writer.begin().await.expect("a transaction");
    insert(&transaction, 1).await.expect("inserts");
    transaction.commit().await.expect("commits");
    assert_eq!(fixture.ids().await, [1]);
}

#[tokio::test]
async fn only_full_synchronous_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/test.db?mode=rwc", folder.path().display());
    let pool = SqlitePoolOptions::new().max_connections(1).connect(&url).await.expect("connects");
    let connection = DatabaseConnection::from(pool);
    connection.execute_unprepared("PRAGMA journal_mode = WAL").await.expect("runs");
    crate::sqlite::check_safe(&connection).await.expect("FULL is what SQLite has by itself");
    connection.execute_unprepared("PRAGMA synchronous = NORMAL").await.expect("runs");
    let refused = crate::sqlite::check_safe(&connection).await.expect_err("unsafe");
    assert!(refused.to_string().contains("synchronous"), "{refused}");
}

/// Reads a state for a while, and begins the next read before the previous one ends, without end.
async fn always_read(options: &DatabaseOptions) {
    let readers = connect_readers(options, &Arc::default()).await.expect("connects");
    let mut before = None;
    loop {
        let snapshot = readers.begin().await.expect("begins");
        snapshot.execute_unprepared("SELECT count(*) FROM t").await.expect("reads");
        drop(before.replace(snapshot));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_stays_small_however_much_is_read() {
    const LIMIT: u64 = 2 * 1024 * 1024;
    let fixture = fixture_with(Duration::from_secs(60), LIMIT).await;
    let options = Arc::clone(&fixture.options);
    let reading = tokio::spawn(async move { always_read(&options).await });
    let mut most = 0;
    for id in 0..6_000 {
        let transaction = fixture.writer.begin().await.expect("a transaction");
        insert(&transaction, id).await.expect("inserts");
        transaction.commit().await.expect("commits");
        most = most.max(std::fs::metadata(fixture.folder.path().join("test.db-wal")).expect("a log").len());
    }
    assert!(!reading.is_finished(), "a reader was always active");
    reading.abort();
    assert!(most > LIMIT && most < LIMIT + LIMIT / 2, "the log had {most} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_of_minutes_does_not_delay_writes_for_seconds() {
    const LIMIT: u64 = 256 * 1024;
    let fixture = fixture_with(Duration::from_secs(60), LIMIT).await;
    let readers = connect_readers(&fixture.options, &Arc::default()).await.expect("connects");
    let backup = readers.begin().await.expect("begins");
    backup.execute_unprepared("SELECT count(*) FROM t").await.expect("reads");
    let log = fixture.folder.path().join("test.db-wal");
    let (mut slow, mut slowest, mut id) = (0, Duration::ZERO, 0);
    while std::fs::metadata(&log).expect("a log").len() < LIMIT * 6 {
        let asked = Instant::now();
        let transaction = fixture.writer.begin().await.expect("a transaction");
        insert(&transaction, id).await.expect("inserts");
        transaction.commit().await.expect("commits");
        slow += u32::from(asked.elapsed() >= Duration::from_millis(200));
        slowest = slowest.max(asked.elapsed());
        id += 1;
    }
    // Writes wait when the log has its maximum size, twice that size, and four times that size.
    assert!((1..=5).contains(&slow) && slowest < Duration::from_secs(2), "{slow} waited, {slowest:?} at most");
    backup.rollback().await.expect("ends");
}
