//! A new database of either kind for each test.

use std::future::Future;

use access_tokens_domain::access_token::{
    AccessToken, AuditStamp, OneTimePassword, UserDefinedFields, VerificationCode,
};
use access_tokens_domain::directory::{AccountsReceivable, AccountsReceivableState, ContactInformation, Organisation};
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::policy::Policy;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    AccountStore, ImportChanges, ImportKeys, OwnerJoins, ReadOptions, Store, Transaction as _,
};
use access_tokens_domain::time::Timestamp;
use access_tokens_storage::{Database, DatabaseOptions, connect};
use sea_orm::ConnectionTrait;

/// A migrated database with one organisation.
pub(crate) struct TestDatabase {
    pub(crate) database: Database,
    pub(crate) options: DatabaseOptions,
    pub(crate) organisation: OrganisationKey,
    _folder: Option<tempfile::TempDir>,
}

/// An empty SQLite file.
pub(crate) fn sqlite_options() -> (DatabaseOptions, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = DatabaseOptions::new(format!("sqlite://{}/test.db", folder.path().display()));
    (options, folder)
}

/// An empty PostgreSQL database.
pub(crate) async fn postgres_options() -> DatabaseOptions {
    DatabaseOptions::new(access_tokens_testkit::postgres::create_database())
}

pub(crate) async fn sqlite() -> TestDatabase {
    let (options, folder) = sqlite_options();
    TestDatabase { _folder: Some(folder), ..open(options).await }
}

pub(crate) async fn postgres() -> TestDatabase {
    open(postgres_options().await).await
}

async fn open(options: DatabaseOptions) -> TestDatabase {
    let database = connect(&options).await.expect("connects");
    database.migrate().await.expect("migrates");
    let organisation = organisation(&database, "DEMO").await;
    TestDatabase { database, options, organisation, _folder: None }
}

impl TestDatabase {
    /// Opens the same database through separate connections, as another process would.
    pub(crate) async fn again(&self) -> Database {
        connect(&self.options).await.expect("connects again")
    }

    /// Runs SQL without the store.
    pub(crate) async fn sql(&self, sql: &str) {
        execute(&self.options.url, sql).await;
    }
}

pub(crate) async fn execute(url: &str, sql: &str) {
    let connection = sea_orm::Database::connect(url).await.expect("connects past the store");
    connection.execute_unprepared(sql).await.expect("runs");
    connection.close().await.expect("closes");
}

/// Creates an organisation.
pub(crate) async fn organisation(database: &Database, name: &str) -> OrganisationKey {
    let organisation = Organisation {
        id: format!("ID-{name}"),
        name: name.to_owned(),
        number_prefix: "AT".to_owned(),
        legacy_compatibility: true,
        definition: Policy::default(),
    };
    database.ensure_organisation(&organisation).await.expect("an organisation").key
}

/// A time with microseconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 123_456_000).expect("a time")
}

pub(crate) fn stamp(seconds: i64) -> AuditStamp {
    AuditStamp { date: at(seconds), user: Some("U1".into()), unit: Some("N1".into()), business_unit: Some("B1".into()) }
}

/// A token with few values; number and codes follow from the id.
pub(crate) fn token(id: &str) -> AccessToken {
    AccessToken {
        id: id.to_owned(),
        number: format!("N-{id}"),
        life_cycle_state: LifeCycleState::Effective,
        life_cycle_state_date: None,
        authentication_code: format!("C-{id}"),
        identifier: None,
        pass_code: None,
        verification: None,
        one_time_password: None,
        verified_date: None,
        verified_by_user: None,
        card_masked_number: None,
        udf: UserDefinedFields::default(),
        accounts_receivable: None,
        rewards_participant: None,
        classification: None,
        created: stamp(0),
        updated: stamp(0),
    }
}

/// A token with all values.
pub(crate) fn full(id: &str) -> AccessToken {
    AccessToken {
        life_cycle_state_date: Some(at(2)),
        identifier: Some("me@example.com".into()),
        pass_code: Some(PassCodeHash::from_stored("$argon2id$x")),
        verification: Some(VerificationCode {
            hash: CodeHash::from_stored("k1$hash"),
            sealed: SealedCode::from_stored("k1$sealed"),
        }),
        one_time_password: Some(OneTimePassword { hash: CodeHash::from_stored("k1$otp"), expiration_date: at(300) }),
        verified_date: Some(at(-1_700_000_001)),
        verified_by_user: Some("U2".into()),
        card_masked_number: Some("************1234".into()),
        udf: UserDefinedFields {
            strings: std::array::from_fn(|i| (i % 2 == 0).then(|| format!("text \u{1F600} {i}"))),
            floats: [Some(0.1), Some(-1e300), None, Some(2.0)],
            dates: [Some(at(1)), None, None, Some(at(4))],
        },
        accounts_receivable: Some("A1".into()),
        rewards_participant: Some("P1".into()),
        classification: Some("K1".into()),
        ..token(id)
    }
}

/// Reads the stored token.
pub(crate) async fn find(test: &TestDatabase, id: &str) -> Option<AccessToken> {
    let found = test
        .database
        .find_token(test.organisation, TokenKey::Id(id), OwnerJoins::NONE, ReadOptions::STRONG)
        .await
        .expect("finds");
    found.found.map(|found| found.token)
}

pub(crate) fn account(id: &str, state: AccountsReceivableState) -> AccountsReceivable {
    AccountsReceivable {
        id: id.to_owned(),
        number: Some(format!("AR-{id}")),
        name: Some(format!("Name of {id}")),
        life_cycle_state: state,
        account_owner: Some(format!("OWNER-{id}")),
    }
}

pub(crate) fn contact(id: &str) -> ContactInformation {
    ContactInformation { id: id.to_owned(), name: Some("Somebody".into()), ..ContactInformation::default() }
}

/// Inserts tokens in one transaction.
pub(crate) async fn insert(store: &impl Store, organisation: OrganisationKey, tokens: &[AccessToken]) {
    let mut unit = store.begin().await.expect("begins");
    for token in tokens {
        unit.insert_token(organisation, token).await.expect("inserts");
    }
    unit.commit().await.expect("commits");
}

/// Writes an import in one transaction.
pub(crate) async fn import(store: &impl Store, organisation: OrganisationKey, changes: &ImportChanges) {
    let mut unit = store.begin().await.expect("begins");
    unit.lock_directory(organisation).await.expect("locks");
    // Only rows that were read are replaced.
    let keys = ImportKeys {
        token_ids: sorted(changes.tokens.iter().map(|token| token.id.clone())),
        credentials: sorted(changes.credentials.iter().map(|credential| credential.user.clone())),
        ..ImportKeys::default()
    };
    unit.load_import(organisation, &keys).await.expect("loads");
    unit.save_import(organisation, changes).await.expect("saves");
    unit.commit().await.expect("commits");
}

fn sorted(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Runs callers at the same time, each in its own task.
pub(crate) async fn race<T, F>(callers: usize, caller: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..callers).map(|i| tokio::spawn(caller(i))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}

/// Runs each test on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(crate::common::sqlite().await).await; })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(crate::common::postgres().await).await; })+
        }
    };
}
