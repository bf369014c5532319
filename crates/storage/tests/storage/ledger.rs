//! Attempts and issues: compare-and-set, and counts.

use access_tokens_domain::attempts::{Attempt, Attempts, SecretKind};
use access_tokens_domain::issues::Issues;
use access_tokens_domain::store::{Entry, LedgerStore, StoreError};

use crate::common::{TestDatabase, at, organisation, race};

use SecretKind::{OneTimePassword, PassCode, VerificationCode};

on_both!(
    attempts_come_back_as_they_were,
    issues_come_back_as_they_were,
    of_32_writers_of_one_revision_one_succeeds,
    refusals_are_counted_and_disturb_no_other_write,
    corrupt_entries_are_faults,
);

fn attempts(in_a_row: u32) -> Attempts {
    Attempts {
        in_a_row,
        locked_until: Some(at(900)),
        day_arrival: Some(at(-5)),
        recent: vec![
            Attempt { at: at(2), right: false, user: Some("U \u{1F600}".into()) },
            Attempt { at: at(1), right: true, user: None },
        ],
        ..Attempts::default()
    }
}

async fn read(test: &TestDatabase, subject: &str, kind: SecretKind) -> Entry<Attempts> {
    // The read uses other connections, because an acknowledged write must be visible on every server.
    test.again().await.attempts(test.organisation, subject, kind).await.expect("reads")
}

async fn save(test: &TestDatabase, subject: &str, kind: SecretKind, state: Attempts, revision: i64) -> bool {
    let entry = Entry { state, revision };
    test.database.save_attempts(test.organisation, subject, kind, &entry).await.expect("saves")
}

async fn attempts_come_back_as_they_were(test: TestDatabase) {
    assert_eq!(read(&test, "T1", PassCode).await, Entry::default(), "never written");
    assert!(!save(&test, "T1", PassCode, attempts(1), 7).await, "it was not written seven times");
    assert_eq!(read(&test, "T1", PassCode).await, Entry::default());

    assert!(save(&test, "T1", PassCode, attempts(u32::MAX), 0).await);
    assert_eq!(read(&test, "T1", PassCode).await, Entry { state: attempts(u32::MAX), revision: 1 });
    assert!(!save(&test, "T1", PassCode, attempts(2), 0).await, "it was written meanwhile");
    assert!(save(&test, "T1", PassCode, attempts(2), 1).await);
    assert!(!save(&test, "T1", PassCode, attempts(3), 1).await);
    assert_eq!(read(&test, "T1", PassCode).await, Entry { state: attempts(2), revision: 2 });
    assert!(save(&test, "T1", PassCode, Attempts::default(), 2).await);
    assert_eq!(read(&test, "T1", PassCode).await, Entry { state: Attempts::default(), revision: 3 });

    assert!(save(&test, "T1", OneTimePassword, attempts(4), 0).await);
    assert!(save(&test, "T1", VerificationCode, attempts(5), 0).await);
    assert!(save(&test, "decoy/00", PassCode, attempts(6), 0).await);
    let all = test.database.all_attempts(test.organisation, "T1").await.expect("reads");
    let all: Vec<_> = all.into_iter().map(|(kind, entry)| (kind, entry.state.in_a_row, entry.revision)).collect();
    assert_eq!(all, [(PassCode, 0, 3), (VerificationCode, 5, 1), (OneTimePassword, 4, 1)]);

    let other = organisation(&test.database, "OTHER").await;
    assert!(test.database.all_attempts(other, "T1").await.expect("reads").is_empty());
    assert!(test.database.all_attempts(test.organisation, "T1\0").await.expect("reads").is_empty());
    assert_eq!(read(&test, "T1\0", PassCode).await, Entry::default());
}

async fn issues_come_back_as_they_were(test: TestDatabase) {
    let read =
        async |subject: &str, kind| test.again().await.issues(test.organisation, subject, kind).await.expect("reads");
    let save = async |state: &Issues, revision| {
        let entry = Entry { state: state.clone(), revision };
        test.database.save_issues(test.organisation, "T1", OneTimePassword, &entry).await.expect("saves")
    };
    let state = Issues { cooldown_arrival: Some(at(60)), day_arrival: Some(at(600)) };
    assert_eq!(read("T1", OneTimePassword).await, Entry::default());
    assert_eq!(read("T1\0", OneTimePassword).await, Entry::default());
    assert!(!save(&state, 1).await);
    assert!(save(&state, 0).await);
    assert!(!save(&state, 0).await);
    assert_eq!(read("T1", OneTimePassword).await, Entry { state, revision: 1 });
    assert_eq!(read("T1", PassCode).await, Entry::default());
    assert_eq!(read("T2", OneTimePassword).await, Entry::default());
    let later = Issues { cooldown_arrival: Some(at(120)), day_arrival: None };
    assert!(save(&later, 1).await);
    assert_eq!(read("T1", OneTimePassword).await, Entry { state: later, revision: 2 });
}

async fn of_32_writers_of_one_revision_one_succeeds(test: TestDatabase) {
    let databases = [test.database.clone(), test.again().await];
    let organisation = test.organisation;
    // At first no row exists.
    for revision in 0..4 {
        let saved = race(32, |i| {
            let database = databases[i % 2].clone();
            async move {
                let entry = Entry { state: attempts(i as u32), revision };
                let saved = database.save_attempts(organisation, "T1", PassCode, &entry).await.expect("saves");
                let issues = Entry { state: Issues { day_arrival: Some(at(i as i64)), ..Issues::default() }, revision };
                let issued = database.save_issues(organisation, "T1", PassCode, &issues).await.expect("saves");
                (saved.then_some(i), issued.then_some(i))
            }
        });
        let (saved, issued): (Vec<_>, Vec<_>) = saved.await.into_iter().unzip();
        let (saved, issued) =
            (Vec::from_iter(saved.into_iter().flatten()), Vec::from_iter(issued.into_iter().flatten()));
        let ([saved], [issued]) = (saved.as_slice(), issued.as_slice()) else { panic!("{saved:?} {issued:?}") };
        let entry = read(&test, "T1", PassCode).await;
        assert_eq!(entry, Entry { state: attempts(*saved as u32), revision: revision + 1 }, "the winner's");
        let entry = test.database.issues(organisation, "T1", PassCode).await.expect("reads");
        assert_eq!((entry.state.day_arrival, entry.revision), (Some(at(*issued as i64)), revision + 1));
    }
}

async fn refusals_are_counted_and_disturb_no_other_write(test: TestDatabase) {
    let (database, organisation) = (test.database.clone(), test.organisation);
    let refuse = async |seconds| {
        test.database.count_refused(organisation, "T1", PassCode, at(seconds)).await.expect("counts");
    };
    // A refused attempt may come before the row exists.
    refuse(500).await;
    refuse(400).await;
    let entry = read(&test, "T1", PassCode).await;
    let refused = Attempts { refused: 2, last_refused: Some(at(500)), ..Attempts::default() };
    assert_eq!(entry, Entry { state: refused, revision: 0 });

    let saving = tokio::spawn(async move {
        for revision in 0..50 {
            // The counters that were read are outdated and must not be written back.
            let entry = Entry { state: Attempts { refused: 0, last_refused: None, ..attempts(9) }, revision };
            let saved = database.save_attempts(organisation, "T1", PassCode, &entry).await.expect("saves");
            assert!(saved, "a refusal is no change of revision {revision}");
        }
    });
    let databases = [test.database.clone(), test.again().await];
    race(100, |i| {
        let database = databases[i % 2].clone();
        let at = at(1_000 + (i as i64 * 37) % 100);
        async move { database.count_refused(organisation, "T1", PassCode, at).await.expect("counts") }
    })
    .await;
    saving.await.expect("no panic");
    let entry = read(&test, "T1", PassCode).await;
    let state = Attempts { refused: 102, last_refused: Some(at(1_099)), ..attempts(9) };
    assert_eq!(entry, Entry { state, revision: 50 });
    assert_eq!(read(&test, "T1", OneTimePassword).await, Entry::default());

    test.sql("UPDATE credential_attempt SET refused = 9223372036854775806").await;
    refuse(2_000).await;
    assert_eq!(read(&test, "T1", PassCode).await.state.refused, u32::MAX);
}

async fn corrupt_entries_are_faults(test: TestDatabase) {
    for (column, value, good) in [
        ("in_a_row", "-1", "0"),
        ("in_a_row", "4294967296", "0"),
        ("recent", "'no document'", "'[]'"),
        ("recent", "'{}'", "'[]'"),
        ("locked_until", "9223372036854775807", "NULL"),
        ("kind", "'NOTHING'", "'PASS_CODE'"),
    ] {
        save(&test, column, PassCode, attempts(1), 0).await;
        test.sql(&format!("UPDATE credential_attempt SET {column} = {value} WHERE subject = '{column}'")).await;
        let read = test.database.all_attempts(test.organisation, column).await;
        assert!(matches!(read, Err(StoreError::Fault(_))), "{column}: {read:?}");
        test.sql(&format!("UPDATE credential_attempt SET {column} = {good}")).await;
    }
}
