//! Log-ins of users on real databases: locks per user and network, races between replicas, equal work.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use access_tokens_auth::{Authenticator, Login, SessionTokens};
use access_tokens_domain::Reason;
use access_tokens_domain::ports::Clock;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::store::{AccountStore, LoginStore, Unlocked};
use access_tokens_host::SystemRandom;
use access_tokens_secrets::KeyRing;
use access_tokens_storage::Database;
use access_tokens_testapp::{Client, TestApp};
use access_tokens_testkit::counting::CountingSecrets;
use futures::future::join_all;
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::on_both_databases;
use crate::processes::{sqlite, text};

const ANNA: &str = r#"{"user": {"id": "anna", "username": "anna", "password": "correct horse", "permissions": []}}"#;

/// One process that logs users in and counts comparisons.
struct Replica {
    sessions: Authenticator<Database>,
    secrets: Arc<CountingSecrets>,
}

impl Replica {
    fn new(app: &TestApp) -> Self {
        let secrets = Arc::new(CountingSecrets::new(app.secrets()));
        let ring = KeyRing::generate(&SystemRandom).expect("randomness");
        let tokens = SessionTokens::new(&KeyRing::parse(&ring).expect("a ring"));
        let clock: Arc<dyn Clock> = app.clock.clone();
        let store = Arc::clone(&app.database);
        Self { sessions: Authenticator::new(store, clock, Arc::new(SystemRandom), secrets.clone(), tokens), secrets }
    }

    async fn log_in(&self, username: &str, password: &str, address: &str) -> bool {
        let (password, address) = (Secret::new(password), address.parse::<IpAddr>().ok());
        let login = Login { username, password, organisation: "DEMO", unit: None, address };
        match self.sessions.login(login).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.reason(), Reason::InvalidLogin);
                false
            }
        }
    }

    /// Returns the number of comparisons with a stored hash since the last call.
    fn compared(&self) -> u64 {
        self.secrets.take().real
    }
}

on_both_databases! {
    async fn of_40_guesses_at_once_on_two_replicas_five_are_compared(app) {
        app.import("DEMO", ANNA).await;
        let replicas = [Replica::new(&app), Replica::new(&app)];
        let guesses = (0..40).map(|number| replicas[number % 2].log_in("anna", "wrong", "192.0.2.1"));
        assert!(join_all(guesses).await.into_iter().all(|right| !right));
        assert_eq!(replicas[0].compared() + replicas[1].compared(), 5);
        assert!(!replicas[0].log_in("anna", "correct horse", "192.0.2.99").await, "locked on this network");
        assert!(replicas[1].log_in("anna", "correct horse", "2001:db8::1").await, "and on no other");
        app.clock.advance(Duration::from_secs(15 * 60));
        assert!(replicas[0].log_in("anna", "correct horse", "192.0.2.99").await);
    }

    async fn right_passwords_at_once_do_not_lock_the_user(app) {
        app.import("DEMO", ANNA).await;
        let replica = Replica::new(&app);
        let logins = (0..24).map(|_| replica.log_in("anna", "correct horse", "192.0.2.1"));
        assert!(join_all(logins).await.into_iter().all(|right| right));
    }

    async fn a_user_is_listed_as_locked_and_unlocked(app) {
        app.import("DEMO", ANNA).await;
        let (replica, demo) = (Replica::new(&app), app.direct_caller("admin").await.organisation);
        for _ in 0..5 {
            assert!(!replica.log_in("anna", "wrong", "192.0.2.1").await);
        }
        let locked = async || app.database.locked_users(demo, app.now()).await.expect("listed");
        assert_eq!(locked().await, ["anna"]);
        let unlock = async || app.database.unlock_logins(demo, "anna", app.now()).await.expect("unlocked");
        assert_eq!((unlock().await, unlock().await), (Unlocked::Locked, Unlocked::Nothing));
        assert!(!replica.log_in("anna", "wrong", "192.0.2.1").await);
        assert_eq!((unlock().await, unlock().await), (Unlocked::Counted, Unlocked::Nothing));
        assert_eq!(locked().await, Vec::<String>::new());
        assert!(replica.log_in("anna", "correct horse", "192.0.2.1").await);
    }

    async fn a_weak_imported_hash_is_replaced_at_the_first_log_in(app) {
        // Hash of `secret`, PBKDF2 with 1,000 rounds.
        let weak = "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$01iFt8dG8h9zRVyl+QZRZPdMIYH3LMEZL7wWXRnZLBY";
        let user = serde_json::json!({
            "user": {"id": "old", "username": "old", "password_hash": weak, "permissions": []}
        });
        app.import("DEMO", &user.to_string()).await;
        let (replica, demo) = (Replica::new(&app), app.direct_caller("admin").await.organisation);
        let stored = async || {
            let found = app.database.credential(demo, "old").await.expect("read").expect("a user");
            found.password.expect("a password").as_stored().to_owned()
        };
        assert!(!replica.log_in("old", "wrong", "192.0.2.1").await);
        assert_eq!(stored().await, weak);
        assert!(replica.log_in("old", "secret", "192.0.2.1").await);
        let replaced = stored().await;
        assert!(replaced.starts_with("$argon2id$"), "{replaced}");
        assert!(replica.log_in("old", "secret", "192.0.2.1").await && !replica.log_in("old", "wrong", "192.0.2.1").await);
        assert_eq!(stored().await, replaced);
    }
}

fn from(server: SocketAddr, address: &str) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("a URI");
    Client::over(endpoint.local_address(address.parse().ok()).connect_lazy())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_locks_by_the_address_of_the_client_and_a_command_unlocks() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let made = place.run(&["organisation", "add", "SHOP"]);
    assert!(made.status.success(), "{}", text(&made));
    let add = ["user", "add", "--organisation", "SHOP", "--username", "anna", "--password-stdin"];
    let add = [&add[..], &["--permissions", "access_tokens.read", "--network", "127.9.0.0/24"]].concat();
    let added = place.run_with_input(&add, "correct horse\n");
    assert!(added.status.success(), "{}", text(&added));
    let refused = place.run_with_input(&[&add[..], &["--network", "10.0.0.0/8"]].concat(), "correct horse\n");
    assert!(!refused.status.success() && text(&refused).contains("too large"), "{}", text(&refused));

    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let [stranger, other, known] =
        ["127.1.0.1", "127.1.0.200", "127.9.0.7"].map(|address| from(server.address(), address));
    let right = async |client: &Client| client.login("SHOP", "anna", "correct horse", None).await;
    for _ in 0..5 {
        let refused = stranger.login("SHOP", "anna", "wrong password", None).await.expect_err("wrong");
        assert_eq!(refused.reason, "INVALID_LOGIN");
    }
    for locked in [&stranger, &other] {
        assert_eq!(right(locked).await.expect_err("locked").reason, "INVALID_LOGIN");
    }
    right(&known).await.expect("another network");
    let unlock = ["user", "unlock", "--organisation", "SHOP", "--username"];
    let unlocked = place.run(&[&unlock[..], &["anna"]].concat());
    assert!(unlocked.status.success() && text(&unlocked).contains("unlocked"), "{}", text(&unlocked));
    right(&stranger).await.expect("unlocked");
    let again = place.run(&[&unlock[..], &["anna"]].concat());
    assert!(
        again.status.success()
            && text(&again).contains("was not locked; the attempts that were counted no longer count"),
        "{}",
        text(&again)
    );
    let unknown = place.run(&[&unlock[..], &["unknown"]].concat());
    assert!(!unknown.status.success() && text(&unknown).contains("no user"), "{}", text(&unknown));
    let log = place.log();
    assert!(log.contains("user locked on this network") && log.contains("127.1.0.0/24"), "{log}");
    assert!(!log.contains("anna") && !log.contains("correct horse") && !log.contains("wrong password"), "{log}");
}
