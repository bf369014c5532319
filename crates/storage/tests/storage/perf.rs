use std::time::Instant;
use access_tokens_domain::access_token::*;
use access_tokens_domain::directory::*;
use access_tokens_domain::identifier::*;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::store::*;
use crate::common::*;

on_both!(perf);

async fn perf(test: TestDatabase) {
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    if n == 0 { return; }
    let (db, org) = (&test.database, test.organisation);
    let start = Instant::now();
    for batch in 0..n / 500 {
        let mut c = ImportChanges::default();
        for i in batch * 500..(batch + 1) * 500 {
            let id = format!("{:032}", i);
            if i % 4 != 0 {
                let state = if i % 100 == 1 { AccountsReceivableState::Terminated } else { AccountsReceivableState::Active };
                c.accounts.push(account(&id, state));
                c.contacts.push(contact(&format!("OWNER-{id}")));
                c.participants.push(RewardsParticipant { id: id.clone(), number: None, life_cycle_state: (i % 100 == 1).then_some(RewardsParticipantState::Terminated), accounts_receivable: Some(id.clone()) });
            }
            c.tokens.push(AccessToken { number: format!("AT{i:010}"), accounts_receivable: (i % 4 != 0).then(|| id.clone()), rewards_participant: (i % 4 != 0).then(|| id.clone()),
                life_cycle_state: if i % 1000 == 0 { LifeCycleState::PendingVerification } else { LifeCycleState::Effective }, ..token(&id) });
        }
        import(db, org, &c).await;
    }
    println!("import {n}: {:?}", start.elapsed());
    if !db.is_sqlite() && std::env::var("ANALYZE").is_ok() { test.sql("ANALYZE").await; }
    if let Ok(copy) = std::env::var("COPY") { if db.is_sqlite() { std::fs::copy(test.options.url.strip_prefix("sqlite://").unwrap(), copy).unwrap(); } }
    if !db.is_sqlite() && std::env::var("EXPLAIN").is_ok() {
        use sea_orm::ConnectionTrait;
        let c = sea_orm::Database::connect(&test.options.url).await.unwrap();
        for file in ["/tmp/na2.sql", "/tmp/f2.sql", "/tmp/l2.sql"] {
            let sql = std::fs::read_to_string(file).unwrap();
            let rows = c.query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, format!("EXPLAIN ANALYZE {sql}"))).await.unwrap();
            for r in rows { println!("EXPLAIN {}", r.try_get_by_index::<String>(0).unwrap()); }
        }
    }
    for round in 0..2 {
        let start = Instant::now();
        for i in 0..2000 {
            let code = format!("C-{:032}", (i * 7919) % n);
            assert!(db.find_token(org, TokenKey::AuthenticationCode(&code), Load::ALL).await.unwrap().is_some());
        }
        println!("{round} find: {:?}", start.elapsed() / 2000);
        let start = Instant::now();
        for i in 0..2000 {
            let code = format!("C-{:032}", (i * 7919) % n);
            assert!(db.find_token(org, TokenKey::AuthenticationCode(&code), Load::NONE).await.unwrap().is_some());
        }
        println!("{round} find none: {:?}", start.elapsed() / 2000);
        let start = Instant::now();
        for i in 0..1000 {
            let id = format!("{:032}", (i * 7919) % n);
            db.list_tokens(org, TokenPage { owner: OwnerKey::AccountsReceivable(&id), classification: None, after: None, offset: 0, limit: 100 }, Load::ALL).await.unwrap();
        }
        println!("{round} list: {:?}", start.elapsed() / 1000);
        for (state, limit) in [(None, 10), (None, 1000), (Some(LifeCycleState::PendingVerification), 10), (Some(LifeCycleState::NotEffective), 10)] {
            let start = Instant::now();
            let found = db.not_associated(org, state, limit, Load::ALL).await.unwrap();
            println!("{round} not_associated {state:?} {limit}: {} in {:?}", found.len(), start.elapsed());
        }
        let start = Instant::now();
        for _ in 0..2000 { db.reference(org).await.unwrap(); }
        println!("{round} reference: {:?}", start.elapsed() / 2000);
        let start = Instant::now();
        for i in 0..500 {
            let id = format!("{:032}", (i * 7919) % n);
            let mut unit = db.begin().await.unwrap();
            unit.update_token(org, &id, &Guard::default(), &TokenChanges::default(), &stamp(5)).await.unwrap().unwrap();
            unit.commit().await.unwrap();
        }
        println!("{round} update alone: {:?}", start.elapsed() / 500);
        let start = Instant::now();
        let tasks: Vec<_> = (0..32).map(|t| { let db = db.clone(); tokio::spawn(async move {
            for i in 0..100 {
                let mut unit = db.begin().await.unwrap();
                unit.insert_token(org, &token(&format!("NEW{round}-{t}-{i}"))).await.unwrap();
                unit.commit().await.unwrap();
            }})}).collect();
        for t in tasks { t.await.unwrap(); }
        println!("{round} insert 32 callers: {:.0}/s {:?}", 3200.0 / start.elapsed().as_secs_f64(), db.group_commit_counts());
    }
}
