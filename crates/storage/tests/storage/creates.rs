//! Many new tokens at the same time, which share statements and commits on PostgreSQL.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::store::{OwnerJoins, ReadOptions, Store, StoreError, Unique};
use access_tokens_storage::{FinishedStatement, StatementObserver, connect};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::common::{TestDatabase, full, organisation, postgres, race, token};

on_both!(what_is_wrong_with_one_is_no_fault_of_the_others);

const CREATES: usize = 400;

/// Counts statements that write tokens.
#[derive(Default)]
struct Inserts(AtomicUsize);

impl StatementObserver for Inserts {
    fn observe(&self, statement: &FinishedStatement) {
        if statement.operation() == "INSERT" && statement.tables() == ["access_token"] {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn what_is_wrong_with_one_is_no_fault_of_the_others(test: TestDatabase) {
    let other = organisation(&test.database, "OTHER").await;
    // Two callers for each code; in the other organisation it is another code.
    let of = |caller: usize| {
        let authentication_code = format!("code {}", caller / 2);
        let made = if caller.is_multiple_of(3) { full(&format!("T{caller}")) } else { token(&format!("T{caller}")) };
        AccessToken { authentication_code, identifier: None, ..made }
    };
    let created = race(CREATES, |caller| {
        let organisation = if caller % 4 < 2 { test.organisation } else { other };
        let (database, mut token) = (test.database.clone(), of(caller));
        if caller.is_multiple_of(8) {
            token.card_masked_number = Some("no text of PostgreSQL: \0".into());
        }
        async move { database.insert_token(organisation, &token).await }
    });
    let mut written = HashSet::new();
    for (caller, result) in created.await.into_iter().enumerate() {
        let organisation = if caller % 4 < 2 { test.organisation } else { other };
        let id = format!("T{caller}");
        let lookup = test
            .database
            .find_token(organisation, TokenKey::Id(&id), OwnerJoins::NONE, ReadOptions::STRONG)
            .await
            .expect("an answer");
        let found = lookup.found.map(|found| found.token);
        match result {
            Ok(()) if caller % 8 == 0 => assert!(test.database.is_sqlite()),
            Ok(()) => {
                assert_eq!(found, Some(of(caller)));
                assert!(written.insert(caller / 2), "{caller}: the second one with this code");
            }
            Err(StoreError::Duplicate(Unique::AuthenticationCode)) => assert_eq!(found, None),
            Err(StoreError::Fault(_)) if caller % 8 == 0 => assert_eq!(found, None),
            Err(error) => panic!("{caller}: {error:?}"),
        }
    }
    // If neither of the two was corrupted, one of them is stored.
    for pair in (0..CREATES / 2).filter(|pair| pair % 4 > 0) {
        assert!(written.contains(&pair), "{pair}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_wait_are_written_with_one_statement() {
    let test = postgres().await;
    let inserts = Arc::new(Inserts::default());
    let mut options = test.options.clone();
    options.observer = Some(Arc::clone(&inserts) as Arc<dyn StatementObserver>);
    let database = connect(&options).await.expect("connects");
    let created = race(CREATES, |caller| {
        let (database, organisation) = (database.clone(), test.organisation);
        async move { database.insert_token(organisation, &token(&format!("T{caller}"))).await }
    });
    assert!(created.await.into_iter().all(|created| created.is_ok()));
    let statements = inserts.0.load(Ordering::Relaxed);
    assert!(statements <= CREATES / 2, "{statements} for {CREATES}");
}

/// A transaction has inserted a code and is not committed: the insert of the same code waits, and the others in its
/// batch wait with it, but they are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_lock_costs_the_others_time_only() {
    let test = postgres().await;
    let connection = sea_orm::Database::connect(&test.options.url).await.expect("connects");
    let holder = connection.begin().await.expect("begins");
    let held = format!(
        "INSERT INTO access_token (organisation_key, id, number, life_cycle_state, authentication_code, created_date, \
         updated_date) VALUES ({}, 'H', 'H', 'EFFECTIVE', 'C-T7', 0, 0)",
        test.organisation.0
    );
    holder.execute_unprepared(&held).await.expect("written, not committed");
    let created = race(40, |caller| {
        let (database, organisation) = (test.database.clone(), test.organisation);
        async move { database.insert_token(organisation, &token(&format!("T{caller}"))).await }
    });
    for (caller, result) in created.await.into_iter().enumerate() {
        match result {
            Ok(()) => assert_ne!(caller, 7),
            // The caller did not get the lock in time.
            Err(StoreError::Conflict(_)) => assert_eq!(caller, 7),
            Err(error) => panic!("{caller}: {error:?}"),
        }
    }
}

/// The leader of a batch is dropped, and its followers cannot know the result. They are not written a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_are_not_written_again_when_their_leader_is_dropped() {
    let test = postgres().await;
    let mut unknown = 0;
    // The leader is unknown: it is in one of the halves.
    for half in 0..2 {
        let name = move |caller: usize| format!("T{half}-{caller}");
        let connection = sea_orm::Database::connect(&test.options.url).await.expect("connects");
        let lock = connection.begin().await.expect("begins");
        lock.execute_unprepared("LOCK TABLE access_token IN ACCESS EXCLUSIVE MODE").await.expect("locks");
        let creating: Vec<_> = (0..40)
            .map(|caller| {
                let (database, organisation) = (test.database.clone(), test.organisation);
                tokio::spawn(async move { database.insert_token(organisation, &token(&name(caller))).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        creating.iter().skip(half).step_by(2).for_each(tokio::task::JoinHandle::abort);
        tokio::time::sleep(Duration::from_millis(200)).await;
        lock.rollback().await.expect("unlocked");
        for (caller, created) in creating.into_iter().enumerate() {
            let Ok(result) = created.await else { continue };
            let id = name(caller);
            let found = test
                .database
                .find_token(test.organisation, TokenKey::Id(&id), OwnerJoins::NONE, ReadOptions::STRONG)
                .await;
            match result {
                Ok(()) => assert!(found.expect("an answer").found.is_some(), "{caller}"),
                Err(StoreError::Unavailable(_)) => unknown += 1,
                Err(error) => panic!("{caller}: {error:?}"),
            }
        }
    }
    assert!(unknown > 0, "no follower was written by a leader");
}
