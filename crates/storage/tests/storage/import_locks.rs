//! Changes of other callers between the reads and the writes of an import.

use std::time::Duration;

use access_tokens_domain::access_token::{AccessToken, Precondition, TokenChanges, VerificationCode};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode};
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{
    Credential, ImportChanges, ImportKeys, KeyStore, Store, StoreError, Transaction as _, Unique,
};
use access_tokens_storage::Database;

use crate::common::{TestDatabase, find, full, import, insert, postgres, stamp, token};

on_both!(
    a_change_waits_for_the_import_and_stays,
    codes_under_a_new_key_stay,
    a_row_that_was_not_read_is_never_replaced,
);

/// Long enough for a change that does not wait to finish.
const OBSERVATION_TIME: Duration = Duration::from_millis(200);

/// Changes of a token by callers.
fn kinds() -> Vec<(&'static str, TokenChanges)> {
    let text = |text: &str| Some(Some(text.to_owned()));
    vec![
        ("state", TokenChanges { life_cycle_state: Some(LifeCycleState::NotEffective), ..TokenChanges::default() }),
        ("code", TokenChanges { authentication_code: Some("new".to_owned()), ..TokenChanges::default() }),
        ("identifier", TokenChanges { identifier: text("you"), ..TokenChanges::default() }),
        (
            "pass code",
            TokenChanges { pass_code: Some(Some(PassCodeHash::from_stored("$x"))), ..TokenChanges::default() },
        ),
        ("one-time password", TokenChanges { one_time_password: Some(None), ..TokenChanges::default() }),
        ("verification", TokenChanges { verification: Some(verification("k2")), ..TokenChanges::default() }),
    ]
}

fn verification(key: &str) -> VerificationCode {
    VerificationCode {
        hash: CodeHash::from_stored(format!("{key}$hash")),
        sealed: SealedCode::from_stored(format!("{key}$sealed")),
    }
}

/// Reads a token by each of its keys in turn, and writes it back whole with another user-defined field, while `change`
/// runs.
async fn beside<F>(test: &TestDatabase, round: usize, change: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut keys = ImportKeys::default();
    let stored = find(test, "T1").await.expect("stored");
    match round % 4 {
        0 => keys.token_ids.push(stored.id.clone()),
        1 => keys.token_numbers.push(stored.number.clone()),
        2 => keys.authentication_codes.push(stored.authentication_code.clone()),
        _ => keys.identifiers.extend(stored.identifier.clone()),
    }
    let mut unit = test.database.begin().await.expect("begins");
    unit.lock_directory(test.organisation).await.expect("locks");
    let mut read = unit.load_import(test.organisation, &keys).await.expect("loads").tokens;
    assert_eq!(read.len(), 1, "found by its key {round}");
    let change = tokio::spawn(change);
    tokio::time::sleep(OBSERVATION_TIME).await;
    assert!(!change.is_finished(), "the change waits for the import");
    read[0].udf.strings[7] = Some(format!("import {round}"));
    let changes = ImportChanges { tokens: read, ..ImportChanges::default() };
    unit.save_import(test.organisation, &changes).await.expect("saves");
    unit.commit().await.expect("commits");
    change.await.expect("no panic");
}

async fn a_change_waits_for_the_import_and_stays(test: TestDatabase) {
    insert(&test.database, test.organisation, &[full("T1"), token("T2")]).await;
    for (round, (kind, changes)) in kinds().into_iter().enumerate() {
        let (database, organisation, change): (Database, _, _) =
            (test.again().await, test.organisation, changes.clone());
        beside(&test, round, async move {
            let updated =
                database.update_token(organisation, "T1", &Precondition::default(), &change, Some(&stamp(9))).await;
            updated.expect("updates").expect("is there");
        })
        .await;
        let found = find(&test, "T1").await.expect("there");
        assert_eq!(found.udf.strings[7], Some(format!("import {round}")), "{kind}");
        let kept = match kind {
            "state" => found.life_cycle_state == LifeCycleState::NotEffective,
            "code" => found.authentication_code == "new",
            "identifier" => found.identifier.as_deref() == Some("you"),
            "pass code" => found.pass_code == Some(PassCodeHash::from_stored("$x")),
            "one-time password" => found.one_time_password.is_none(),
            _ => found.verification == Some(verification("k2")),
        };
        assert!(kept, "{kind} was undone");
    }
}

async fn codes_under_a_new_key_stay(test: TestDatabase) {
    insert(&test.database, test.organisation, &[full("T1")]).await;
    let old = find(&test, "T1").await.and_then(|token| token.verification).expect("a code");
    let (database, organisation) = (test.again().await, test.organisation);
    beside(&test, 0, async move {
        let replacement = ((organisation, "T1".to_owned()), old, verification("k2"));
        assert_eq!(database.replace_verification_codes(&[replacement]).await.expect("replaces"), 1);
    })
    .await;
    let found = find(&test, "T1").await.expect("there");
    assert_eq!((found.verification, found.udf.strings[7].as_deref()), (Some(verification("k2")), Some("import 0")));
}

async fn a_row_that_was_not_read_is_never_replaced(test: TestDatabase) {
    let credential = |hash: &str| Credential {
        user: "U1".into(),
        password: Some(PassCodeHash::from_stored(hash)),
        permissions: Permissions::all(),
        default_unit: None,
    };
    let before = ImportChanges { credentials: vec![credential("$1")], ..ImportChanges::default() };
    import(&test.database, test.organisation, &before).await;
    insert(&test.database, test.organisation, &[token("T1")]).await;
    let another = AccessToken { number: "other".into(), authentication_code: "other".into(), ..token("T1") };
    let changes = [
        ImportChanges { tokens: vec![another], ..ImportChanges::default() },
        ImportChanges { credentials: vec![credential("$2")], ..ImportChanges::default() },
    ];
    for changes in changes {
        let mut unit = test.database.begin().await.expect("begins");
        unit.lock_directory(test.organisation).await.expect("locks");
        unit.load_import(test.organisation, &ImportKeys::default()).await.expect("loads");
        let refused = unit.save_import(test.organisation, &changes).await;
        assert!(matches!(refused, Err(StoreError::Duplicate(_))), "{refused:?}");
    }
    assert_eq!(find(&test, "T1").await, Some(token("T1")));
}

/// An update holds a row and waits for a code that an import has written; the import then waits for that row.
/// PostgreSQL ends the deadlock by making the update fail, which has waited longer. Its caller must not see an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_caller_hears_of_a_deadlock() {
    let test = postgres().await;
    insert(&test.database, test.organisation, &[token("T1"), token("T3")]).await;
    let mut importing = test.database.begin().await.expect("begins");
    importing.lock_directory(test.organisation).await.expect("locks");
    let keys = |id: &str| ImportKeys { token_ids: vec![id.into()], ..ImportKeys::default() };
    importing.load_import(test.organisation, &keys("T1")).await.expect("loads");
    let first = AccessToken { authentication_code: "same".into(), ..token("T1") };
    let changes = ImportChanges { tokens: vec![first], ..ImportChanges::default() };
    importing.save_import(test.organisation, &changes).await.expect("saves");
    let (database, organisation) = (test.again().await, test.organisation);
    let update = tokio::spawn(async move {
        let change = TokenChanges { authentication_code: Some("same".to_owned()), ..TokenChanges::default() };
        database.update_token(organisation, "T3", &Precondition::default(), &change, None).await
    });
    tokio::time::sleep(OBSERVATION_TIME).await;
    importing.load_import(test.organisation, &keys("T3")).await.expect("the update yields");
    drop(importing);
    update.await.expect("no panic").expect("no deadlock").expect("updated");
    assert_eq!(find(&test, "T3").await.map(|token| token.authentication_code).as_deref(), Some("same"));
}

/// A new token with a code of a running import is refused, or created if the import is rolled back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_token_waits_for_the_code_of_an_import() {
    let test = postgres().await;
    for commits in [true, false] {
        let code = format!("code {commits}");
        let with_code =
            |id: &str| AccessToken { authentication_code: code.clone(), ..token(&format!("{id}{commits}")) };
        let (imported, created) = (with_code("I"), with_code("C"));
        let mut unit = test.database.begin().await.expect("begins");
        unit.lock_directory(test.organisation).await.expect("locks");
        let changes = ImportChanges { tokens: vec![imported], ..ImportChanges::default() };
        unit.save_import(test.organisation, &changes).await.expect("saves");
        let (database, organisation) = (test.again().await, test.organisation);
        let creates = tokio::spawn(async move { database.insert_token(organisation, &created).await });
        tokio::time::sleep(OBSERVATION_TIME).await;
        assert!(!creates.is_finished(), "the new token waits");
        if commits {
            unit.commit().await.expect("commits");
        } else {
            drop(unit);
        }
        match creates.await.expect("no panic") {
            Err(StoreError::Duplicate(Unique::AuthenticationCode)) => assert!(commits, "the import did not commit"),
            created => {
                created.expect("created");
                assert!(!commits, "the import has the code");
            }
        }
    }
}
