//! Many lookups at the same time, which share connections and statements on PostgreSQL.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::store::{CallState, OwnerJoins, ReadConsistency, ReadOptions, Store};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::time::timeout;

use crate::common::{TestDatabase, execute, full, insert, organisation, postgres, race, token};

const LOOKUPS: usize = 400;

async fn everybody_gets_the_own_answer(test: TestDatabase) {
    let other = organisation(&test.database, "OTHER").await;
    let tokens: Vec<_> = (0..20)
        .map(|n| {
            let mut token = if n % 2 == 0 { token(&format!("T{n}")) } else { full(&format!("T{n}")) };
            token.identifier = Some(format!("me{n}@example.com"));
            token
        })
        .collect();
    insert(&test.database, test.organisation, &tokens).await;
    insert(&test.database, other, &tokens[..10]).await;
    let found = race(LOOKUPS, |caller| {
        let (database, token) = (test.database.clone(), tokens[caller % 20].clone());
        let organisation = if caller % 3 == 0 { other } else { test.organisation };
        let joins = if caller % 2 == 0 { OwnerJoins::ALL } else { OwnerJoins::NONE };
        async move {
            let missing = format!("{}-{caller}", token.id);
            let key = match caller % 5 {
                0 => TokenKey::Id(&token.id),
                1 => TokenKey::Number(&token.number),
                2 => TokenKey::AuthenticationCode(&token.authentication_code),
                3 => TokenKey::Identifier(token.identifier.as_deref().unwrap_or_default()),
                _ => TokenKey::Id(&missing),
            };
            database
                .find_token(organisation, key, joins, ReadOptions::STRONG)
                .await
                .expect("an answer")
                .found
                .map(|found| found.token)
        }
    });
    for (caller, found) in found.await.into_iter().enumerate() {
        let there = caller % 5 < 4 && (caller % 3 > 0 || caller % 20 < 10);
        assert_eq!(found, there.then(|| tokens[caller % 20].clone()), "{caller}");
    }
}

on_both!(everybody_gets_the_own_answer);

/// Blocks all reads of tokens until the returned transaction is dropped.
async fn standing_still(test: &TestDatabase) -> sea_orm::DatabaseTransaction {
    let connection = sea_orm::Database::connect(&test.options.url).await.expect("connects");
    let transaction = connection.begin().await.expect("begins");
    transaction.execute_unprepared("LOCK TABLE access_token IN ACCESS EXCLUSIVE MODE").await.expect("locks");
    transaction
}

fn look(test: &TestDatabase) -> impl Future<Output = bool> + Send + 'static {
    let (database, organisation) = (test.database.clone(), test.organisation);
    async move {
        let found = database.find_token(organisation, TokenKey::Id("T1"), OwnerJoins::NONE, ReadOptions::STRONG).await;
        found.is_ok_and(|lookup| lookup.found.is_some())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_is_answered_though_those_who_ask_go() {
    let test = postgres().await;
    insert(&test.database, test.organisation, &[token("T1")]).await;
    let lock = standing_still(&test).await;
    let asking: Vec<_> = (0..20).map(|_| tokio::spawn(look(&test))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Among them are the leaders of batches.
    for caller in &asking[..10] {
        caller.abort();
    }
    lock.rollback().await.expect("unlocked");
    let mut answered = 0;
    for caller in asking {
        answered += usize::from(timeout(Duration::from_secs(5), caller).await.expect("an end").unwrap_or(false));
    }
    assert!(answered >= 10, "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_was_asked_for_together_hears_of_the_failure_and_the_next_one_is_answered() {
    let test = postgres().await;
    insert(&test.database, test.organisation, &[token("T1")]).await;
    let lock = standing_still(&test).await;
    let failed = race(40, |_| look(&test)).await;
    assert!(failed.into_iter().all(|found| !found), "they waited for the lock, and not for ever");
    lock.rollback().await.expect("unlocked");
    assert!(race(40, |_| look(&test)).await.into_iter().all(|found| found));
    // Sessions that end at the same time: no caller keeps waiting.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'access-tokens%' \
                AND datname = current_database()";
    execute(&test.options.url, kill).await;
    let _ = race(40, |_| look(&test)).await;
    assert!(race(40, |_| look(&test)).await.into_iter().all(|found| found));
}

/// The lookup of a call, and its state. The call may be dropped in the queue if it only reads.
fn call(test: &TestDatabase, reads: bool) -> (Arc<CallState>, Pin<Box<dyn Future<Output = bool> + Send>>) {
    let (database, organisation, state) = (test.database.clone(), test.organisation, Arc::new(CallState::default()));
    let call = Arc::clone(&state);
    let work = async move {
        let (consistency, call) = (ReadConsistency::BoundedStaleness, Some(call.as_ref()));
        let read = if reads { ReadOptions { consistency, call } } else { ReadOptions::STRONG };
        let found = database.find_token(organisation, TokenKey::Id("T1"), OwnerJoins::NONE, read).await;
        found.is_ok_and(|lookup| lookup.found.is_some())
    };
    (state, Box::pin(work))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queued_read_of_a_client_that_has_left_is_not_made() {
    const OBSERVATION_TIME: Duration = Duration::from_millis(20);
    let test = postgres().await;
    insert(&test.database, test.organisation, &[token("T1")]).await;
    let (gone, read) = call(&test, true);
    assert_eq!(gone.run_abandoned(read).await, None, "its client left before the read");

    let lock = standing_still(&test).await;
    let (asking, mut asked) = call(&test, true);
    assert!(timeout(OBSERVATION_TIME, &mut asked).await.is_err());
    assert!(!asking.is_queued(), "it has a connection");
    // These lookups become leaders.
    let holders: Vec<_> = (0..8).map(|_| tokio::spawn(look(&test))).collect();
    tokio::time::sleep(OBSERVATION_TIME).await;
    let (reading, mut read) = call(&test, true);
    let (deciding, mut decided) = call(&test, false);
    let stays = tokio::spawn(look(&test));
    for (waiting, state, queued) in [(&mut read, &reading, true), (&mut decided, &deciding, false)] {
        assert!(timeout(OBSERVATION_TIME, waiting).await.is_err());
        assert_eq!(state.is_queued(), queued);
    }
    assert_eq!(timeout(OBSERVATION_TIME, reading.run_abandoned(read)).await, Ok(None), "at once");
    let asked = tokio::spawn(async move { asking.run_abandoned(asked).await });
    let decided = tokio::spawn(async move { deciding.run_abandoned(decided).await });
    tokio::time::sleep(OBSERVATION_TIME).await;
    lock.rollback().await.expect("unlocked");
    assert_eq!(asked.await.expect("an end"), Some(true), "it had begun");
    assert_eq!(decided.await.expect("an end"), Some(true), "something may depend on it");
    for waiting in holders.into_iter().chain([stays]) {
        assert!(waiting.await.expect("an end"), "answered");
    }
}
