//! The rules of sessions, on a store in memory and a clock that is set.

mod fake_store;
mod logins;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::directory::Unit;
use access_tokens_domain::ports::{Clock, HashWork, Secrets};
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::session::{Caller, Permission, Permissions};
use access_tokens_domain::store::{ApiKey, Credential, KeyTerms};
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Reason, Result};
use access_tokens_host::SystemRandom;
use access_tokens_secrets::KeyedSecrets;
use access_tokens_testkit::keys::{RING_A, RING_B, ring};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;

use self::fake_store::{FakeStore, ORGANISATION};
use super::{Authenticator, ClaimForm, Login, LoginLimits, NewApiKey, SessionTokens};

/// Microseconds since 1970.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).expect("a time")
    }
}

const START: i64 = 1_700_000_000_400_000;
const SECOND: i64 = 1_000_000;

struct World {
    store: Arc<FakeStore>,
    clock: Arc<SetClock>,
    secrets: Arc<KeyedSecrets>,
    sessions: Authenticator<FakeStore>,
}

fn replica(store: &Arc<FakeStore>, clock: &Arc<SetClock>, secrets: Arc<dyn Secrets>) -> Authenticator<FakeStore> {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    Authenticator::new(Arc::clone(store), clock.clone(), Arc::new(SystemRandom), secrets, tokens)
}

/// User `anna` (id U1, password `secret`, default unit 1), user `bob` without a password.
async fn world() -> World {
    let secrets = Arc::new(KeyedSecrets::new(&ring(&[RING_A]), Arc::new(SystemRandom)));
    let password = secrets.hash(HashWork::call(ORGANISATION), Secret::new("secret")).await.expect("hashed");
    let anna = Credential {
        user: "U1".to_owned(),
        password: Some(password),
        permissions: Permissions::of_an_imported_user(),
        default_unit: Some("1".to_owned()),
    };
    let bob = Credential { user: "U2".to_owned(), password: None, ..anna.clone() };
    let unit =
        |id: &str, code: &str| Unit { id: id.to_owned(), alternative_code: Some(code.to_owned()), ..Unit::default() };
    let store = Arc::new(FakeStore {
        users: Mutex::new([("anna".to_owned(), anna), ("bob".to_owned(), bob)].into()),
        units: Mutex::new(vec![unit("1", "main"), unit("2", "shop"), unit("3", "twice"), unit("4", "twice")]),
        ..FakeStore::default()
    });
    let clock = Arc::new(SetClock(AtomicI64::new(START)));
    let sessions = replica(&store, &clock, secrets.clone());
    World { store, clock, secrets, sessions }
}

impl World {
    async fn login(&self, username: &str, password: &str, organisation: &str, unit: Option<&str>) -> Result<Secret> {
        self.login_from(username, password, organisation, unit, "192.0.2.1").await
    }

    async fn login_from(
        &self,
        username: &str,
        password: &str,
        organisation: &str,
        unit: Option<&str>,
        address: &str,
    ) -> Result<Secret> {
        let (password, address) = (Secret::new(password), address.parse().ok());
        self.sessions.login(Login { username, password, organisation, unit, address }).await
    }

    async fn token(&self) -> Secret {
        self.login("anna", "secret", "DEMO", None).await.expect("logged in")
    }

    async fn caller(&self, token: &Secret) -> Result<Caller, Reason> {
        self.sessions.authenticate_bearer(token.expose()).await.map(|(caller, _)| caller).map_err(|e| e.reason())
    }

    fn api_key(&self) -> NewApiKey {
        let key = NewApiKey::generate(&SystemRandom, self.secrets.as_ref()).expect("random bytes");
        let stored = ApiKey {
            id: key.id.clone(),
            organisation: ORGANISATION,
            user: "U2".to_owned(),
            hash: key.hash.clone(),
            terms: KeyTerms::default(),
        };
        self.store.keys.lock().expect("lock").push(stored);
        key
    }
}

#[tokio::test]
async fn a_login_opens_a_session_of_its_user_organisation_and_unit() {
    let world = world().await;
    for (named, expected) in [(None, "1"), (Some("2"), "2"), (Some("shop"), "2"), (Some(""), "1")] {
        let token = world.login("anna", "secret", "DEMO", named).await.expect("logged in");
        let (caller, session) = world.sessions.authenticate_bearer(token.expose()).await.expect("valid");
        assert_eq!(caller.organisation, ORGANISATION);
        assert_eq!(caller.user.as_deref(), Some("U1"));
        assert_eq!(caller.unit.as_deref(), Some(expected));
        assert_eq!(caller.permissions, Permissions::of_an_imported_user());
        assert_eq!(session.organisation, "ORG");
        assert_eq!(session.id.len(), 32);
    }
}

/// Returns the claims `usr`, `org` and `oun` of a token.
fn documented(token: &Secret) -> [String; 3] {
    let claims = token.expose().split('.').nth(1).expect("three parts");
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
    ["usr", "org", "oun"].map(|claim| claims[claim].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn tokens_state_names_unless_servers_of_the_last_release_are_to_read_them() {
    let world = world().await;
    world.store.units.lock().expect("lock")[0].name = Some("Main".to_owned());
    let key = world.api_key();
    let by_key = async || world.sessions.login_with_api_key(&key.key, None).await.expect("logged in");
    // The users of this store have no names of their own.
    assert_eq!(documented(&world.token().await), ["U1", "DEMO", "Main"]);
    assert_eq!(documented(&by_key().await), ["U2", "DEMO", "Main"]);
    let shop = world.login("anna", "secret", "DEMO", Some("shop")).await.expect("logged in");
    assert_eq!(documented(&shop), ["U1", "DEMO", "2"], "the unit has no name");

    world.store.former_servers.store(true, Ordering::SeqCst);
    assert_eq!(documented(&world.token().await)[1], "DEMO", "asked a moment ago");
    world.clock.0.fetch_add(5 * SECOND, Ordering::SeqCst);
    for token in [world.token().await, by_key().await] {
        assert_eq!(documented(&token)[1..], ["ORG", "1"]);
        world.caller(&token).await.expect("valid");
    }
    world.store.former_servers.store(false, Ordering::SeqCst);
    world.clock.0.fetch_sub(60 * SECOND, Ordering::SeqCst);
    assert_eq!(documented(&world.token().await)[1], "DEMO", "the clock went back: it is asked again");
}

#[tokio::test]
async fn a_password_whose_hash_is_outdated_logs_in() {
    let world = world().await;
    // Hash of `secret`, made by another program with PBKDF2.
    let imported = "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$01iFt8dG8h9zRVyl+QZRZPdMIYH3LMEZL7wWXRnZLBY";
    let stored = PassCodeHash::from_stored(imported);
    world.store.users.lock().expect("lock").get_mut("anna").expect("anna").password = Some(stored);
    assert!(world.login("anna", "secret", "DEMO", None).await.is_ok());
    let error = world.login("anna", "wrong", "DEMO", None).await.err().expect("refused");
    assert_eq!(error.reason(), Reason::InvalidLogin);
}

#[tokio::test]
async fn a_default_unit_that_is_gone_is_none() {
    let world = world().await;
    world.store.units.lock().expect("lock").remove(0);
    assert_eq!(world.caller(&world.token().await).await.expect("valid").unit, None);
}

#[tokio::test]
async fn all_refusals_of_a_login_are_equal_and_cost_the_same() {
    let world = world().await;
    let mut seen = Vec::new();
    for (username, password, organisation) in [
        ("anna", "wrong", "DEMO"),
        ("nobody", "secret", "DEMO"),
        ("anna", "secret", "OTHER"),
        ("bob", "", "DEMO"),
        ("bob", "secret", "DEMO"),
    ] {
        world.store.trips();
        for unit in [None, Some("no such unit")] {
            let error = world.login(username, password, organisation, unit).await.err().expect("refused");
            if !password.is_empty() {
                assert_eq!(error.reason(), Reason::InvalidLogin);
                assert!(error.violations().is_empty() && error.metadata().is_empty());
                seen.push((error.to_string(), world.store.trips()));
            }
        }
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn only_a_good_login_learns_about_units() {
    let world = world().await;
    for unit in ["9", "twice"] {
        let error = world.login("anna", "secret", "DEMO", Some(unit)).await.err().expect("refused");
        assert_eq!(error.reason(), Reason::UnitNotFound);
        assert_eq!(error.violations()[0].field, "unit");
    }
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let world = world().await;
    let error = world.login("", &"x".repeat(257), "", Some("a\0")).await.err().expect("refused");
    let fields: Vec<_> = error.violations().iter().map(|v| (v.field.as_str(), v.reason)).collect();
    assert_eq!(
        fields,
        [
            ("username", Reason::RequiredFieldMissing),
            ("password", Reason::FieldTooLong),
            ("organisation", Reason::RequiredFieldMissing),
            ("unit", Reason::InvalidFieldValue),
        ]
    );
}

#[tokio::test]
async fn a_session_ends_after_two_hours_to_the_second_by_the_port_of_time() {
    let world = world().await;
    let token = world.token().await;
    let end = START - START % SECOND + 7_200 * SECOND;
    world.clock.0.store(end - 1, Ordering::SeqCst);
    assert!(world.caller(&token).await.is_ok());
    world.clock.0.store(end, Ordering::SeqCst);
    assert_eq!(world.caller(&token).await, Err(Reason::InvalidToken));
}

#[tokio::test]
async fn tokens_of_other_keys_and_other_texts_are_refused_without_a_round_trip() {
    let world = world().await;
    let token = world.token().await;
    let session = SessionTokens::new(&ring(&[RING_A])).read(token.expose()).expect("ours");
    let foreign =
        SessionTokens::new(&ring(&[&RING_B.replace("b ", "a ")])).sign(&session, ClaimForm::Ids).expect("signed");
    world.store.trips();
    for bad in [foreign, Secret::new(""), Secret::new("a.b.c")] {
        assert_eq!(world.caller(&bad).await, Err(Reason::InvalidToken));
    }
    assert_eq!(world.store.trips(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_used_costs_no_round_trips() {
    let world = world().await;
    let token = world.token().await;
    world.caller(&token).await.expect("valid");
    world.store.trips();
    for _ in 0..100 {
        world.caller(&token).await.expect("valid");
    }
    assert_eq!(world.store.trips(), 0);
}

#[tokio::test(start_paused = true)]
async fn revoked_permissions_end_within_a_second() {
    let world = world().await;
    let token = world.token().await;
    assert!(world.caller(&token).await.expect("valid").permissions.contains(Permission::AccessTokensWrite));
    let read_only = Permissions::parse("access_tokens.read").expect("known");
    world.store.users.lock().expect("lock").get_mut("anna").expect("anna").permissions = read_only;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.caller(&token).await.expect("valid").permissions, read_only);
    world.store.users.lock().expect("lock").remove("anna");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.caller(&token).await, Err(Reason::InvalidToken));
}

#[tokio::test(start_paused = true)]
async fn a_release_counts_here_at_once_and_elsewhere_within_a_second() {
    let world = world().await;
    let other = replica(&world.store, &world.clock, world.secrets.clone());
    let (token, kept) = (world.token().await, world.token().await);
    other.authenticate_bearer(token.expose()).await.expect("valid");
    let (_, session) = world.sessions.authenticate_bearer(token.expose()).await.expect("valid");

    world.sessions.release(ORGANISATION, &session).await.expect("released");
    assert_eq!(world.caller(&token).await, Err(Reason::InvalidToken));
    world.sessions.release(ORGANISATION, &session).await.expect("twice is no error");
    // No task refreshes the other replica in the background: the call itself must notice.
    tokio::time::advance(Duration::from_secs(1)).await;
    let error = other.authenticate_bearer(token.expose()).await.expect_err("released");
    assert_eq!(error.reason(), Reason::InvalidToken);
    other.authenticate_bearer(kept.expose()).await.expect("another session of the same user");
}

#[tokio::test(start_paused = true)]
async fn the_background_task_notices_without_a_call_and_forgets_what_expired() {
    let world = world().await;
    let other = Arc::new(replica(&world.store, &world.clock, world.secrets.clone()));
    let token = world.token().await;
    let (_, session) = world.sessions.authenticate_bearer(token.expose()).await.expect("valid");
    let watcher = {
        let other = Arc::clone(&other);
        tokio::spawn(async move { other.watch_releases().await })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.sessions.release(ORGANISATION, &session).await.expect("released");
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.store.trips();
    let error = other.authenticate_bearer(token.expose()).await.expect_err("released");
    assert_eq!((error.reason(), world.store.trips()), (Reason::InvalidToken, 0));

    world.clock.0.store(START + 7_201 * SECOND, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert!(world.store.released.lock().expect("lock").is_empty());
    watcher.abort();
}

#[tokio::test(start_paused = true)]
async fn without_the_database_no_session_is_trusted_for_longer_than_a_second() {
    let world = world().await;
    let token = world.token().await;
    world.caller(&token).await.expect("valid");
    world.store.away.store(true, Ordering::SeqCst);
    world.caller(&token).await.expect("what was read is young enough");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.caller(&token).await, Err(Reason::DatabaseUnavailable));
    world.store.away.store(false, Ordering::SeqCst);
    world.caller(&token).await.expect("valid again");
}

#[tokio::test(start_paused = true)]
async fn an_api_key_stands_for_its_user() {
    let world = world().await;
    let key = world.api_key();
    let caller = world.sessions.authenticate_api_key(&key.key).await.expect("known");
    assert_eq!((caller.user.as_deref(), caller.unit.as_deref()), (Some("U2"), Some("1")));
    let token = world.sessions.login_with_api_key(&key.key, None).await.expect("logged in");
    assert_eq!(world.caller(&token).await.expect("valid"), caller);

    world.store.trips();
    world.sessions.authenticate_api_key(&key.key).await.expect("known");
    assert_eq!(world.store.trips(), 0);
    world.store.keys.lock().expect("lock").clear();
    tokio::time::advance(Duration::from_secs(1)).await;
    let error = world.sessions.authenticate_api_key(&key.key).await.expect_err("revoked");
    assert_eq!(error.reason(), Reason::InvalidToken);
}

#[tokio::test(start_paused = true)]
async fn a_key_has_its_own_permissions_unit_and_end() {
    let world = world().await;
    let key = world.api_key();
    let change = |terms: KeyTerms| world.store.keys.lock().expect("lock")[0].terms = terms;
    let list = |list: &str| Permissions::parse(list).expect("known");
    let end = world.clock.now() + Duration::from_secs(10);
    change(KeyTerms {
        permissions: Some(list("access_tokens.read,admin")),
        unit: Some("2".to_owned()),
        expires: Some(end),
        revoked: None,
    });
    let caller = world.sessions.authenticate_api_key(&key.key).await.expect("known");
    assert_eq!(caller.permissions, list("access_tokens.read"), "its user is no administrator");
    assert_eq!(caller.unit.as_deref(), Some("2"));
    // The key ends to the microsecond, although the result of its look-up is cached for longer.
    world.clock.0.store(end.timestamp_micros() - 1, Ordering::SeqCst);
    world.sessions.authenticate_api_key(&key.key).await.expect("the last moment");
    world.clock.0.store(end.timestamp_micros(), Ordering::SeqCst);
    let error = world.sessions.authenticate_api_key(&key.key).await.expect_err("expired");
    assert_eq!(error.reason(), Reason::InvalidToken);

    change(KeyTerms { unit: Some("9".to_owned()), ..KeyTerms::default() });
    tokio::time::advance(Duration::from_millis(500)).await;
    let caller = world.sessions.authenticate_api_key(&key.key).await.expect("no end");
    assert_eq!(caller.unit.as_deref(), Some("1"), "a unit that is gone is the user's default");
    change(KeyTerms { revoked: Some(world.clock.now()), ..KeyTerms::default() });
    tokio::time::advance(Duration::from_millis(500)).await;
    assert!(world.sessions.authenticate_api_key(&key.key).await.is_err(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_key_has_the_permissions_of_the_key_and_ends_with_it() {
    let world = world().await;
    let (one, other) = (world.api_key(), world.api_key());
    let read = Permissions::parse("access_tokens.read").expect("known");
    let end = world.clock.now() + Duration::from_secs(3);
    let change = |terms: KeyTerms| world.store.keys.lock().expect("lock")[0].terms = terms;
    change(KeyTerms { permissions: Some(read), expires: Some(end), ..KeyTerms::default() });
    let mut tokens = Vec::new();
    for key in [&one, &other] {
        tokens.push(world.sessions.login_with_api_key(&key.key, None).await.expect("logged in"));
    }
    assert_eq!(world.caller(&tokens[0]).await.expect("valid").permissions, read);
    let others = world.caller(&tokens[1]).await.expect("valid").permissions;
    assert_eq!(others, Permissions::of_an_imported_user(), "another key of the same user");

    world.clock.0.store(end.timestamp_micros() - SECOND, Ordering::SeqCst);
    world.caller(&tokens[0]).await.expect("not yet");
    world.clock.0.store(end.timestamp_micros(), Ordering::SeqCst);
    assert_eq!(world.caller(&tokens[0]).await, Err(Reason::InvalidToken));
    world.caller(&tokens[1]).await.expect("the other key does not expire");

    world.store.keys.lock().expect("lock")[1].terms.revoked = Some(world.clock.now());
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(world.caller(&tokens[1]).await, Err(Reason::InvalidToken));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_were_issued_too_early_have_ended_and_new_ones_are_valid() {
    let world = world().await;
    let old = world.token().await;
    // The first whole second after the change, as it is stored.
    let first = DateTime::from_timestamp_micros(START - START % SECOND + SECOND).expect("a time");
    *world.store.not_before.lock().expect("lock") = Some(first);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(world.caller(&old).await, Err(Reason::InvalidToken));
    let new = world.token().await;
    assert_eq!(world.sessions.authenticate_bearer(new.expose()).await.expect("valid").1.issued_at, first);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_replaced_while_it_was_compared_opens_no_session() {
    let world = world().await;
    let secrets = Arc::clone(&world.secrets);
    let [other, same] = [
        secrets.hash(HashWork::call(ORGANISATION), Secret::new("other")).await,
        secrets.hash(HashWork::call(ORGANISATION), Secret::new("secret")).await,
    ];
    // The store returns the old hash once, and then the new one.
    let stale = world.store.users.lock().expect("lock")["anna"].clone();
    for (stored, opens) in [(other.expect("hashed"), false), (same.expect("hashed"), true)] {
        *world.store.stale.lock().expect("lock") = Some(stale.clone());
        world.store.users.lock().expect("lock").get_mut("anna").expect("anna").password = Some(stored);
        let login = world.login("anna", "secret", "DEMO", None).await;
        assert_eq!(
            login.map(drop).map_err(|error| error.reason()),
            if opens { Ok(()) } else { Err(Reason::InvalidLogin) }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn users_and_keys_open_a_burst_of_sessions_and_wrong_ones_do_not_count() {
    let world = world().await;
    let sessions = replica(&world.store, &world.clock, world.secrets.clone())
        .limiting_logins(LoginLimits { per_second: 1, burst: 3 });
    let (key, other) = (world.api_key(), world.api_key());
    let mixed = Secret::new(format!("{}{}", &key.key.expose()[..21], &other.key.expose()[21..]));
    for _ in 0..10 {
        assert!(sessions.login_with_api_key(&mixed, None).await.is_err());
    }
    let login = |password: &str| Login {
        username: "anna",
        password: Secret::new(password),
        organisation: "DEMO",
        unit: None,
        address: None,
    };
    for _ in 0..3 {
        sessions.login_with_api_key(&key.key, None).await.expect("within the burst");
        sessions.login(login("secret")).await.expect("within the burst");
    }
    let by_key = sessions.login_with_api_key(&key.key, None).await.err().expect("too many");
    let by_name = sessions.login(login("secret")).await.err().expect("too many");
    for error in [by_key, by_name] {
        assert_eq!(error.reason(), Reason::TooManyLogins);
        assert!(error.wait().is_some_and(|wait| wait <= Duration::from_secs(1)));
    }
    let wrong = sessions.login(login("wrong")).await.err().expect("wrong");
    assert_eq!(wrong.reason(), Reason::InvalidLogin);
    sessions.login_with_api_key(&other.key, None).await.expect("another key of the same user");
    tokio::time::advance(Duration::from_secs(1)).await;
    sessions.login_with_api_key(&key.key, None).await.expect("one a second");
}

#[tokio::test(start_paused = true)]
async fn the_last_use_of_a_key_is_written_once_a_minute() {
    let world = world().await;
    let (key, other) = (world.api_key(), world.api_key());
    let mixed = Secret::new(format!("{}{}", &other.key.expose()[..21], &key.key.expose()[21..]));
    let sessions = Arc::new(replica(&world.store, &world.clock, world.secrets.clone()));
    let watcher = {
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move { sessions.watch_releases().await })
    };
    for second in 0..180 {
        world.clock.0.store(START + second * SECOND, Ordering::SeqCst);
        sessions.authenticate_api_key(&key.key).await.expect("known");
        sessions.authenticate_api_key(&mixed).await.expect_err("not the secret of this key");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    watcher.abort();
    let used = world.store.used.lock().expect("lock").clone();
    assert!(used.iter().all(|(id, _)| *id == key.id), "a wrong secret is no use: {used:?}");
    assert_eq!(used.len(), 3, "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_costs_no_query_each_and_works_within_a_second_once_it_is_added() {
    let world = world().await;
    let key = world.api_key();
    let stored = world.store.keys.lock().expect("lock").remove(0);
    world.store.trips();
    for _ in 0..100 {
        world.sessions.authenticate_api_key(&key.key).await.expect_err("unknown");
    }
    assert_eq!(world.store.trips(), 1);
    world.store.keys.lock().expect("lock").push(stored);
    tokio::time::advance(Duration::from_millis(500)).await;
    world.sessions.authenticate_api_key(&key.key).await.expect("added");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_stands_for_the_user_that_is_named() {
    let world = world().await;
    let user = |organisation: &str, username: &str| CertificateUser {
        organisation: organisation.to_owned(),
        username: username.to_owned(),
    };
    // A user that a certificate names needs no password.
    let bob = user("DEMO", "bob");
    let caller = world.sessions.authenticate_certificate(&bob).await.expect("known");
    assert_eq!((caller.user.as_deref(), caller.unit.as_deref()), (Some("U2"), Some("1")));
    assert_eq!(caller.permissions, Permissions::of_an_imported_user());

    world.store.trips();
    world.sessions.authenticate_certificate(&bob).await.expect("known");
    assert_eq!(world.store.trips(), 0);
    world.store.users.lock().expect("lock").remove("bob");
    tokio::time::advance(Duration::from_secs(1)).await;
    for gone in [bob, user("OTHER", "anna"), user("DEMO", "nobody")] {
        let error = world.sessions.authenticate_certificate(&gone).await.expect_err("no user");
        assert_eq!(error.reason(), Reason::InvalidToken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_keeps_its_user_when_another_gets_the_name() {
    let world = world().await;
    let names = |username: &str| CertificateUser { organisation: "DEMO".to_owned(), username: username.to_owned() };
    let user_of = async |username: &str| {
        tokio::time::advance(Duration::from_secs(1)).await;
        world.sessions.authenticate_certificate(&names(username)).await.ok().and_then(|caller| caller.user)
    };
    let rename = |from: &str, to: &str| {
        let mut users = world.store.users.lock().expect("lock");
        let credential = users.remove(from).expect("a user");
        users.insert(to.to_owned(), credential);
    };
    // A certificate is bound to its user at the start, before any call.
    world.sessions.bind_certificates(&[names("bob"), names("carol")]).await;
    rename("bob", "robert");
    rename("anna", "bob");
    assert_eq!(user_of("bob").await.as_deref(), Some("U2"));
    // A certificate whose user does not exist yet is bound when the user exists.
    assert_eq!(user_of("carol").await, None);
    rename("robert", "carol");
    assert_eq!(user_of("carol").await.as_deref(), Some("U2"));
    rename("carol", "robert");
    rename("bob", "carol");
    assert_eq!(user_of("carol").await.as_deref(), Some("U2"));
    // The name is not bound to another user either when its own user is gone.
    world.store.users.lock().expect("lock").remove("robert");
    assert_eq!((user_of("bob").await, user_of("carol").await), (None, None));
}

#[tokio::test]
async fn other_api_keys_are_refused() {
    let world = world().await;
    let (one, two) = (world.api_key(), world.api_key());
    let mixed = format!("{}{}", &one.key.expose()[..21], &two.key.expose()[21..]);
    let unknown = NewApiKey::generate(&SystemRandom, world.secrets.as_ref()).expect("random bytes").key;
    for bad in [Secret::new(mixed), unknown, Secret::new("")] {
        let error = world.sessions.authenticate_api_key(&bad).await.expect_err("refused");
        assert_eq!(error.reason(), Reason::InvalidToken);
        let error = world.sessions.login_with_api_key(&bad, None).await.err().expect("refused");
        assert_eq!(error.reason(), Reason::InvalidLogin);
    }
}
