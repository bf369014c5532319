//! Locks of user log-ins, on a store in memory and a clock that is set.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use access_tokens_domain::login::Network;
use access_tokens_domain::ports::{BoxFuture, HashWork, Purpose, Secrets, Verdict};
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use access_tokens_domain::{Error, Reason, Result};

use super::{SECOND, START, World, replica, world as slow_world};

const DAY: i64 = 24 * 3_600;

/// Stores passwords in clear, so that thousands of log-ins take no time. A hash of an old form begins with `old:`.
struct PlainSecrets;

impl Secrets for PlainSecrets {
    fn hash(&self, _: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        Box::pin(async move { Ok(PassCodeHash::from_stored(format!("new:{}", secret.expose()))) })
    }

    fn verify(&self, _: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(match stored.as_ref().and_then(|stored| stored.as_stored().split_once(':')) {
                Some((form, password)) if password == secret.expose() => {
                    if form == "old" {
                        Verdict::Outdated
                    } else {
                        Verdict::Right
                    }
                }
                _ => Verdict::Wrong,
            })
        })
    }

    fn accepts(&self, _: &PassCodeHash) -> bool {
        true
    }

    fn code_hash(&self, _: Purpose, _: &str, _: &Secret) -> Result<CodeHash> {
        Err(Error::internal("not needed"))
    }

    fn code_matches(&self, _: Purpose, _: &str, _: &Secret, _: Option<&CodeHash>) -> bool {
        false
    }

    fn seal(&self, _: Purpose, _: &str, _: &Secret) -> Result<SealedCode> {
        Err(Error::internal("not needed"))
    }

    fn open(&self, _: Purpose, _: &str, _: &SealedCode) -> Result<Secret> {
        Err(Error::internal("not needed"))
    }
}

async fn world() -> World {
    let mut world = slow_world().await;
    let stored = PassCodeHash::from_stored("new:secret");
    world.store.users.lock().expect("lock").get_mut("anna").expect("anna").password = Some(stored);
    world.sessions = replica(&world.store, &world.clock, Arc::new(PlainSecrets));
    world
}

impl World {
    async fn from(&self, address: &str, password: &str) -> bool {
        match self.login_from("anna", password, "DEMO", None, address).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.reason(), Reason::InvalidLogin);
                assert!(error.metadata().is_empty() && error.wait().is_none());
                false
            }
        }
    }

    fn after(&self, seconds: i64) {
        self.clock.0.store(START + seconds * SECOND, Ordering::SeqCst);
    }

    /// Returns the number of attempts that were compared, which are those counted as wrong, over all rows of networks.
    fn compared(&self) -> u32 {
        let attempts = self.store.attempts.lock().expect("lock");
        let rows = attempts.iter().filter(|(subject, _)| subject.starts_with("login/") && !subject.ends_with('*'));
        rows.map(|(_, entry)| entry.state.in_a_row).sum()
    }
}

#[tokio::test]
async fn five_wrong_passwords_lock_the_user_on_this_network_only() {
    let world = world().await;
    for _ in 0..5 {
        assert!(!world.from("192.0.2.1", "wrong").await);
    }
    assert!(!world.from("192.0.2.200", "secret").await, "the same /24");
    assert!(world.from("192.0.3.1", "secret").await, "another network");
    world.after(15 * 60 - 1);
    assert!(!world.from("192.0.2.1", "secret").await);
    world.after(15 * 60);
    assert!(world.from("192.0.2.1", "secret").await);
    for _ in 0..5 {
        assert!(!world.from("192.0.2.1", "wrong").await);
    }
    world.after(30 * 60 - 1);
    assert!(!world.from("192.0.2.1", "secret").await, "a success has ended the row: 15 minutes again");
    world.after(30 * 60);
    assert!(world.from("192.0.2.1", "secret").await);
}

#[tokio::test]
async fn from_50_networks_at_most_100_guesses_are_compared_and_the_known_network_logs_in() {
    let world = world().await;
    assert!(world.from("192.0.2.1", "secret").await);
    world.after(DAY);
    for guess in 0..40 {
        for network in 0..50 {
            assert!(!world.from(&format!("10.0.{network}.{guess}"), "wrong").await);
        }
        assert!(world.from("192.0.2.77", "secret").await, "guess {guess}");
    }
    assert!((1..=100).contains(&world.compared()), "{} were compared", world.compared());
    assert!(!world.from("10.9.0.1", "secret").await, "a new network has to wait");
    // Refusals add no rows. There is one row for each network whose guess was compared, one for the meter, and one for
    // the known network.
    let rows = world.store.attempts.lock().expect("lock").keys().filter(|key| key.starts_with("login/")).count();
    assert!(rows <= 102, "{rows} rows");
}

#[tokio::test]
async fn after_an_upgrade_unknown_networks_lock_out_no_integration() {
    let world = world().await;
    for network in 0..60 {
        for _ in 0..5 {
            assert!(!world.from(&format!("10.0.{network}.1"), "wrong").await);
        }
    }
    assert!(world.from("192.0.2.1", "secret").await, "its first log-in of all");
    for network in 0..60 {
        assert!(!world.from(&format!("10.1.{network}.1"), "wrong").await);
    }
    assert!(world.from("198.51.100.1", "secret").await, "another network, within the first day");
    world.after(DAY);
    for address in ["192.0.2.1", "198.51.100.1"] {
        assert!(world.from(address, "secret").await, "{address} is known by now");
    }
    for network in 0..60 {
        assert!(!world.from(&format!("10.2.{network}.1"), "wrong").await);
    }
    assert!(!world.from("203.0.113.1", "secret").await, "the meter is full of attempts from unknown networks");
    assert!(world.from("192.0.2.1", "secret").await);
}

#[tokio::test]
async fn an_entered_network_ends_the_grace_and_is_exempt() {
    use access_tokens_domain::store::LoginStore;

    let world = world().await;
    let entered = Network::of_block("192.0.2.0/24").expect("a network");
    world.store.enter_networks(super::fake_store::ORGANISATION, "U1", &entered).await.expect("entered");
    for network in 0..60 {
        assert!(!world.from(&format!("10.0.{network}.1"), "wrong").await);
    }
    assert!(!world.from("198.51.100.1", "secret").await, "the meter binds at once");
    world.after(400 * DAY);
    for network in 0..60 {
        assert!(!world.from(&format!("10.0.{network}.1"), "wrong").await);
    }
    assert!(world.from("192.0.2.1", "secret").await, "it is known for good");
}

#[tokio::test]
async fn a_network_is_forgotten_after_30_days_without_a_log_in() {
    let world = world().await;
    assert!(world.from("192.0.2.1", "secret").await);
    let last = || world.store.networks.lock().expect("lock").values().next().copied().flatten();
    let first = last();
    world.after(DAY - 1);
    assert!(world.from("192.0.2.1", "secret").await);
    assert_eq!(last(), first, "a log-in within a day writes nothing");
    world.after(DAY);
    assert!(world.from("192.0.2.1", "secret").await);
    assert!(last() > first);
    world.after(31 * DAY);
    for network in 0..60 {
        assert!(!world.from(&format!("10.0.{network}.1"), "wrong").await);
    }
    assert!(!world.from("192.0.2.1", "secret").await);
}

#[tokio::test]
async fn right_passwords_at_the_same_time_do_not_lock_the_user() {
    let world = world().await;
    let all = (0..20).map(|_| world.from("192.0.2.1", "secret"));
    assert!(futures::future::join_all(all).await.into_iter().all(|right| right));
    assert_eq!(world.compared(), 0);
}

#[tokio::test]
async fn invented_names_and_addresses_make_few_rows_and_all_refusals_cost_the_same() {
    let world = world().await;
    for number in 0..600 {
        let (name, address) = (format!("user {number}"), format!("10.{}.{}.1", number / 256, number % 256));
        let refused = world.login_from(&name, "secret", "DEMO", None, &address).await;
        assert_eq!(refused.err().map(|error| error.reason()), Some(Reason::InvalidLogin));
    }
    assert!(world.store.attempts.lock().expect("lock").len() <= 256);

    assert!(world.from("192.0.2.1", "secret").await);
    world.after(DAY);
    world.store.trips();
    let mut costs = Vec::new();
    let mut count = async |name: &str, username: &str, address: &str| {
        let refused = world.login_from(username, "wrong", "DEMO", None, address).await;
        assert_eq!(refused.err().map(|error| error.reason()), Some(Reason::InvalidLogin));
        costs.push((name.to_owned(), world.store.trips()));
    };
    count("unknown", "unknown user", "10.0.0.1").await;
    count("without a password", "bob", "10.0.0.1").await;
    count("wrong, known network", "anna", "192.0.2.1").await;
    for guess in 0..5 {
        count(&format!("wrong, new network, guess {guess}"), "anna", "10.0.0.1").await;
    }
    count("locked", "anna", "10.0.0.1").await;
    for network in 1..60 {
        count(&format!("network {network}, at last too many"), "anna", &format!("10.2.{network}.1")).await;
    }
    for (name, cost) in &costs {
        assert_eq!(*cost, costs[0].1, "{name}");
    }
}

#[tokio::test]
async fn a_weak_hash_is_replaced_at_the_first_log_in() {
    let world = world().await;
    let stored = || world.store.users.lock().expect("lock")["anna"].password.clone().expect("a password");
    world.store.users.lock().expect("lock").get_mut("anna").expect("anna").password =
        Some(PassCodeHash::from_stored("old:secret"));
    assert!(!world.from("192.0.2.1", "wrong").await);
    assert_eq!(stored().as_stored(), "old:secret", "a wrong password changes nothing");
    for _ in 0..2 {
        assert!(world.from("192.0.2.1", "secret").await);
        assert_eq!(stored().as_stored(), "new:secret");
    }
}
