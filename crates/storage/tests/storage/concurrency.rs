//! Many callers at the same time, and callers that go away.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use access_tokens_domain::access_token::{AccessToken, Precondition, TokenChanges};
use access_tokens_domain::directory::AccountsReceivableState;
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::store::{
    ImportChanges, OwnerJoins, OwnerKey, ReadOptions, Sequence, Store, StoreError, Transaction as _, Unique,
};
use access_tokens_storage::{DatabaseOptions, connect};

use crate::common::{self, TestDatabase, account, import, insert, race, stamp, token};

on_both!(
    of_64_state_changes_one_succeeds,
    of_64_creates_with_one_code_one_succeeds,
    an_owner_never_gets_more_than_the_limit,
    numbers_are_never_handed_out_twice,
    aborted_units_leave_nothing_and_take_nothing,
    a_unit_whose_statement_was_dropped_cannot_commit,
    imports_of_one_organisation_wait_for_each_other,
);

const CALLERS: usize = 64;

async fn exists(test: &TestDatabase, id: &str) -> bool {
    let other = test.again().await;
    other
        .find_token(test.organisation, TokenKey::Id(id), OwnerJoins::NONE, ReadOptions::STRONG)
        .await
        .expect("finds")
        .found
        .is_some()
}

async fn of_64_state_changes_one_succeeds(test: TestDatabase) {
    insert(&test.database, test.organisation, &[token("T1")]).await;
    let (database, organisation) = (test.database.clone(), test.organisation);
    let changed = race(CALLERS, |_| {
        let database = database.clone();
        async move {
            let precondition =
                Precondition { life_cycle_state: Some(LifeCycleState::Effective), ..Precondition::default() };
            let off = TokenChanges { life_cycle_state: Some(LifeCycleState::NotEffective), ..TokenChanges::default() };
            let changed = database.update_token(organisation, "T1", &precondition, &off, Some(&stamp(1))).await;
            changed.expect("updates").is_some()
        }
    });
    assert_eq!(changed.await.into_iter().filter(|changed| *changed).count(), 1);
}

async fn of_64_creates_with_one_code_one_succeeds(test: TestDatabase) {
    let (database, organisation) = (test.database.clone(), test.organisation);
    let created = race(CALLERS, |i| {
        let database = database.clone();
        async move {
            let token = AccessToken { authentication_code: "one".into(), ..token(&format!("T{i}")) };
            let mut unit = database.begin().await.expect("begins");
            match unit.insert_token(organisation, &token).await {
                Ok(()) => unit.commit().await.map(|()| true).expect("commits"),
                Err(StoreError::Duplicate(Unique::AuthenticationCode)) => false,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert_eq!(created.await.into_iter().filter(|created| *created).count(), 1);
}

async fn an_owner_never_gets_more_than_the_limit(test: TestDatabase) {
    let accounts = vec![account("A1", AccountsReceivableState::Active)];
    import(&test.database, test.organisation, &ImportChanges { accounts, ..ImportChanges::default() }).await;
    let (database, organisation) = (test.database.clone(), test.organisation);
    let created = race(CALLERS, |i| {
        let database = database.clone();
        async move {
            let token = AccessToken { accounts_receivable: Some("A1".into()), ..token(&format!("T{i}")) };
            let mut unit = database.begin().await.expect("begins");
            let owner = OwnerKey::AccountsReceivable("A1");
            if unit.count_tokens_exclusively(organisation, owner, None).await.expect("counts") >= 5 {
                return false;
            }
            unit.insert_token(organisation, &token).await.expect("inserts");
            unit.commit().await.expect("commits");
            true
        }
    });
    assert_eq!(created.await.into_iter().filter(|created| *created).count(), 5);
    let mut unit = test.database.begin().await.expect("begins");
    let owner = OwnerKey::AccountsReceivable("A1");
    assert_eq!(unit.count_tokens_exclusively(organisation, owner, None).await.expect("counts"), 5);
    assert_eq!(unit.count_tokens_exclusively(organisation, owner, Some("K1")).await.expect("counts"), 0);
}

async fn numbers_are_never_handed_out_twice(test: TestDatabase) {
    let other = test.again().await;
    let (database, organisation) = (test.database.clone(), test.organisation);
    let blocks = race(CALLERS, |i| {
        let database = if i % 2 == 0 { database.clone() } else { other.clone() };
        async move {
            let first = database.take_numbers(organisation, Sequence::TokenNumber, 10).await.expect("numbers");
            first..first + 10
        }
    });
    let mut numbers: Vec<i64> = blocks.await.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=640).collect::<Vec<i64>>());
    let another = database.take_numbers(organisation, Sequence::Identifier, 1).await.expect("numbers");
    assert_eq!(another, 1, "each sequence has its own numbers");
}

async fn aborted_units_leave_nothing_and_take_nothing(test: TestDatabase) {
    let (database, organisation) = (test.database.clone(), test.organisation);
    let mut acked = Vec::new();
    for round in 0..10_usize {
        let units: Vec<_> = (0..CALLERS)
            .map(|i| {
                let (database, id) = (database.clone(), format!("T{round}-{i}"));
                tokio::spawn(async move {
                    let mut unit = database.begin().await?;
                    unit.insert_token(organisation, &token(&id)).await?;
                    unit.commit().await?;
                    Ok::<_, StoreError>(id)
                })
            })
            .collect();
        for (i, unit) in units.iter().enumerate() {
            if i % 3 == 0 {
                tokio::time::sleep(Duration::from_micros((i * round * 7 % 300) as u64)).await;
                unit.abort();
            }
        }
        for unit in units {
            match unit.await {
                Ok(Ok(id)) => acked.push(id),
                // With this number of concurrent callers, some may not get a connection in time.
                Ok(Err(StoreError::Unavailable(_))) => {}
                Ok(Err(error)) => panic!("{error:?}"),
                Err(error) => assert!(error.is_cancelled()),
            }
        }
    }
    assert!(acked.len() > CALLERS, "{}", acked.len());
    let other = test.again().await;
    for id in &acked {
        let found = other
            .find_token(organisation, TokenKey::Id(id), OwnerJoins::NONE, ReadOptions::STRONG)
            .await
            .expect("finds");
        assert!(found.found.is_some(), "{id} was acknowledged");
    }
    if let Some((units, commits)) = test.database.group_commit_counts() {
        assert!(commits < units, "{commits} commits for {units} units");
    }
}

/// Drops a `begin` at every stage. Without the rollback on release, later writes would be acknowledged and lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_begin_dropped_under_way_loses_no_writes() {
    let test = common::postgres().await;
    let options = DatabaseOptions { postgres_connections: 2, ..test.options.clone() };
    let database = connect(&options).await.expect("connects");
    let other = test.again().await;
    for round in 0..300 {
        {
            let mut begin = pin!(database.begin());
            for _ in 0..=round % 5 {
                if begin.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // One acknowledged statement on the connection that was about to begin. Another process would wait for it
        // without end if it were in a forgotten transaction.
        let mine = database.take_numbers(test.organisation, Sequence::TokenNumber, 1).await.expect("numbers");
        let others = other.take_numbers(test.organisation, Sequence::TokenNumber, 1).await.expect("numbers");
        assert_eq!((mine, others), (2 * round + 1, 2 * round + 2));
    }
}

async fn a_unit_whose_statement_was_dropped_cannot_commit(test: TestDatabase) {
    let mut unit = test.database.begin().await.expect("begins");
    unit.insert_token(test.organisation, &token("T1")).await.expect("inserts");
    // A statement may finish at once; then another one is dropped.
    for attempt in 0.. {
        let written = token(&format!("T2-{attempt}"));
        let mut statement = pin!(unit.insert_token(test.organisation, &written));
        if statement.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            break;
        }
    }
    let refused = unit.insert_token(test.organisation, &token("T3")).await.expect_err("spoiled");
    assert!(matches!(refused, StoreError::Fault(_)));
    assert!(matches!(unit.commit().await.expect_err("spoiled"), StoreError::Fault(_)));
    insert(&test.database, test.organisation, &[token("T4")]).await;
    for (id, expected) in [("T1", false), ("T2-0", false), ("T3", false), ("T4", true)] {
        assert_eq!(exists(&test, id).await, expected, "{id}");
    }
}

async fn imports_of_one_organisation_wait_for_each_other(test: TestDatabase) {
    let mut first = test.database.begin().await.expect("begins");
    let before = first.lock_directory(test.organisation).await.expect("locks");
    let (database, organisation) = (test.database.clone(), test.organisation);
    let second = tokio::spawn(async move {
        let mut unit = database.begin().await.expect("begins");
        let reference = unit.lock_directory(organisation).await.expect("locks");
        unit.commit().await.expect("commits");
        reference
    });
    let country = access_tokens_domain::directory::Country { id: "C1".into(), ..Default::default() };
    let changes = ImportChanges { countries: vec![country], ..ImportChanges::default() };
    first.save_import(organisation, &changes).await.expect("saves");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished());
    first.commit().await.expect("commits");
    let after = second.await.expect("no panic");
    assert!(after.version > before.version);
    assert!(after.countries.contains_key("C1"));
    let read = test.database.reference(organisation).await.expect("reads");
    assert_eq!((read.version, read.countries.len()), (after.version, 1));
}
