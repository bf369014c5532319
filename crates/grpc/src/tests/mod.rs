//! The services with the real layers, sessions and storage (SQLite), in this process and over a socket.

mod access_tokens;
mod connections;
mod credentials;
mod directory;
mod protocol;
mod reflection;
mod sessions;
mod wire;

use std::sync::Arc;

use access_tokens_auth::{Authenticator, NewApiKey, SessionTokens};
use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{self, Existing};
use access_tokens_domain::notification::{NoNotifier, Notifier};
use access_tokens_domain::policy::Policy;
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::AccessTokens;
use access_tokens_domain::service::import::Importer;
use access_tokens_domain::session::{Caller, Permissions};
use access_tokens_domain::store::{AccountStore, ApiKey, KeyTerms, OrganisationRef};
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token_service_client::AccessTokenServiceClient;
use access_tokens_proto::v1::authentication_service_client::AuthenticationServiceClient;
use access_tokens_proto::v1::directory_service_client::DirectoryServiceClient;
use access_tokens_secrets::KeyedSecrets;
use access_tokens_storage::{Database, DatabaseOptions};
use access_tokens_testkit::keys::{RING_A, ring};
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::Health;
use super::app::App;
use super::layer::Calls;
use super::limits::Limits;
use super::server;

/// The initial data of the organisation `DEMO`. `anna` has all permissions, `rita` may only read, `will` may also write.
const RECORDS: &str = r#"
{"unit": {"id": "U1", "name": "Admin Unit", "group_name": "Main", "alternative_code": "MG"}}
{"user": {"id": "1", "username": "anna", "password": "secret", "default_unit": {"id": "U1"},
  "permissions": ["access_tokens.read", "access_tokens.write", "access_tokens.lookup", "access_tokens.secrets", "directory.write", "admin"]}}
{"user": {"id": "2", "username": "rita", "password": "secret", "permissions": ["access_tokens.read"]}}
{"user": {"id": "3", "username": "will", "password": "secret", "permissions": ["access_tokens.read", "access_tokens.write"]}}
{"contact_information": {"id": "C1", "type": "PERSON", "name": "Havier Shemar", "demographics": {}}}
{"accounts_receivable": {"id": "A1", "number": "ACR1", "name": "Havier", "life_cycle_state": "ACTIVE", "account_owner": {"id": "C1"}}}
{"rewards_participant": {"id": "P1", "number": "28", "accounts_receivable": {"id": "A1"}}}
{"classification": {"id": "K1", "name": "Mobile", "alternative_code": "MA", "policy": {"verification_required": true}}}
"#;

/// A service with its database.
pub(super) struct World {
    app: Arc<App<Database>>,
    health: Health,
    service: Calls<Routes>,
    api_key: String,
    _folder: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_notifier(Arc::new(NoNotifier)).await
    }

    /// Returns a service with a notifier.
    async fn with_notifier(notifier: Arc<dyn Notifier>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let database = access_tokens_storage::connect(&DatabaseOptions::new(url)).await.expect("a database");
        database.migrate().await.expect("migrated");
        let store = Arc::new(database);
        let keys = ring(&[RING_A]);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let secrets: Arc<dyn Secrets> = Arc::new(KeyedSecrets::new(&keys, random.clone()));
        let access_tokens = AccessTokens::new(store.clone(), clock.clone(), random.clone(), secrets.clone());
        let app = Arc::new(App {
            access_tokens: access_tokens.with_notifier(notifier),
            importer: Importer::new(store.clone(), clock.clone(), random.clone(), secrets.clone()),
            sessions: Arc::new(Authenticator::new(
                store.clone(),
                clock.clone(),
                random.clone(),
                secrets.clone(),
                SessionTokens::new(&keys),
            )),
            metrics: Arc::default(),
            database_up: store.watch_health(),
            replicas: None,
        });
        let organisation = fill(&app, store.as_ref()).await;
        let key = NewApiKey::generate(random.as_ref(), secrets.as_ref()).expect("a key");
        let stored = ApiKey {
            id: key.id,
            organisation: organisation.key,
            user: "1".to_owned(),
            hash: key.hash,
            terms: KeyTerms::default(),
        };
        store.add_api_key(&stored, clock.now()).await.expect("kept");
        let health = Health::new();
        let service = server::in_process(app.clone(), &health, Limits::default());
        Self { app, health, service, api_key: key.key.expose().to_owned(), _folder: folder }
    }

    fn access_tokens(&self) -> AccessTokenServiceClient<Calls<Routes>> {
        AccessTokenServiceClient::new(self.service.clone())
    }

    fn authentication(&self) -> AuthenticationServiceClient<Calls<Routes>> {
        AuthenticationServiceClient::new(self.service.clone())
    }

    fn directory(&self) -> DirectoryServiceClient<Calls<Routes>> {
        DirectoryServiceClient::new(self.service.clone())
    }

    /// Returns the session token of a user of `DEMO`.
    async fn login(&self, username: &str) -> String {
        let request = v1::LoginRequest {
            username: username.to_owned(),
            password: "secret".to_owned(),
            organisation: "DEMO".to_owned(),
            unit: None,
        };
        self.authentication().login(request).await.expect("logged in").into_inner().token
    }
}

async fn fill(app: &App<Database>, store: &Database) -> OrganisationRef {
    let organisation = Organisation {
        id: "0190".to_owned(),
        name: "DEMO".to_owned(),
        number_prefix: "AT".to_owned(),
        legacy_compatibility: true,
        definition: Policy::default(),
    };
    let organisation = store.ensure_organisation(&organisation).await.expect("created");
    let operator = Caller { organisation: organisation.key, user: None, unit: None, permissions: Permissions::all() };
    let lines = RECORDS.replace(",\n  ", ", ");
    let lines = lines.lines().filter(|line| !line.is_empty());
    let records = lines.flat_map(|line| import::parse(line).expect("a record")).collect();
    let results = app.importer.import(&operator, Existing::Overwrite, records).await.expect("imported");
    assert!(results.iter().all(|record| record.result.is_ok()), "{results:?}");
    organisation
}

/// Returns a request with a session token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("metadata"));
    request
}

/// Returns code, reason and details of a refused call. Panics if the call succeeded.
fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String, ErrorDetails) {
    let status = result.expect_err("refused");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    (status.code(), reason, details)
}

/// Returns the faulty fields.
fn fields(details: &ErrorDetails) -> Vec<&str> {
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    violations.iter().map(|violation| violation.field.as_str()).collect()
}

#[test]
fn without_the_auth_layer_a_call_fails_closed() {
    let error = crate::caller::caller(&Request::new(())).expect_err("no caller");
    assert_eq!(error.reason(), access_tokens_domain::Reason::InvalidToken);
}
