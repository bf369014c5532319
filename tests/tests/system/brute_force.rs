//! A client that guesses has five comparisons for each kind of secret of a token, by every method and despite every fault.
//!
//! The test makes a thousand concurrent guesses at each secret, by every method that takes it. Meanwhile a process is killed and
//! started again, and PostgreSQL crashes and recovers. The metrics of the processes count the comparisons.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::postgres::Cluster;
use serde_json::{Value, json};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use crate::fleet::{Door, Fleet, Outcome, count_from};

/// Number of guesses at each secret. Guesses without an answer are repeated.
const GUESSES: &str = "ACCESS_TOKENS_TEST_GUESSES";
const DEFAULT_GUESSES: usize = 1_000;
/// Number of comparisons that the default policy allows before its first lock, which lasts longer than this test.
const GUESS_BUDGET: usize = 5;
/// Maximum time for which a guess without an answer is repeated.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PassCode,
    OneTimePassword,
    VerificationCode,
}

impl Kind {
    /// Returns the name in the contract, and the name in the metric of comparisons.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::PassCode => ("PASS_CODE", "pass-code"),
            Self::OneTimePassword => ("ONE_TIME_PASSWORD", "one-time-password"),
            Self::VerificationCode => ("VERIFICATION_CODE", "verification"),
        }
    }

    /// Returns the secret. No guess is equal to it.
    fn right(self) -> &'static str {
        if self == Self::PassCode { "the right one" } else { "777777" }
    }

    fn guess(self, n: usize) -> String {
        if self == Self::PassCode { format!("guess {n}") } else { format!("{:06}", n % 700_000) }
    }

    /// Returns every call that presents such a secret.
    fn ways(self, token: &str, secret: &str) -> Vec<(&'static str, Value)> {
        let (id, number, scanned) =
            (json!({"id": token}), json!({"number": token}), json!({"authentication_code": token}));
        let within = |field: &str| json!({"credential": {"identifier": token, field: secret}});
        let of = |identifier: Value| json!({"access_token_identifier": identifier});
        let beside = |identifier: Value, field: &str| json!({"access_token_identifier": identifier, field: secret});
        let change = |mut request: Value| {
            request["new_pass_code"] = json!("somebody else's");
            ("ChangePassCode", request)
        };
        let named = json!({"credential": {"identifier": token}});
        match self {
            Self::PassCode => vec![
                ("ShowAccessToken", of(within("pass_code"))),
                ("CheckPassCode", beside(id, "pass_code")),
                ("CheckPassCode", of(within("pass_code"))),
                change(beside(number, "pass_code")),
                change(of(within("pass_code"))),
                ("SetAsNotEffective", of(within("pass_code"))),
                ("CheckPassCode", beside(named, "pass_code")),
            ],
            Self::OneTimePassword => vec![
                ("ShowAccessToken", of(within("one_time_password"))),
                ("VerifyOtp", beside(scanned, "one_time_password")),
                ("VerifyOtp", of(within("one_time_password"))),
                change(beside(number, "one_time_password")),
                ("SetAsNotEffective", of(within("one_time_password"))),
                ("VerifyOtp", beside(named, "one_time_password")),
                ("VerifyOtp", beside(id, "one_time_password")),
            ],
            Self::VerificationCode => {
                let identifiers = [id, number, scanned].into_iter();
                identifiers.map(|identifier| ("VerifyAccessToken", beside(identifier, "verification_code"))).collect()
            }
        }
    }

    fn record(self, token: &str) -> Value {
        let mut record = json!({"id": token, "number": token, "authentication_code": token, "identifier": token});
        match self {
            Self::PassCode => record["pass_code"] = json!(self.right()),
            Self::OneTimePassword => {
                record["one_time_password"] = json!(self.right());
                record["expiration_date"] = json!("2100-01-01T00:00:00");
            }
            Self::VerificationCode => {
                record["life_cycle_state"] = json!("PENDING_VERIFICATION");
                record["verification_code"] = json!(self.right());
            }
        }
        json!({"access_token": record})
    }
}

type Tally = BTreeMap<Outcome, usize>;

/// Repeats a guess until it is answered.
async fn guess(door: &Door, method: &str, request: Value) -> Tally {
    let (started, mut tally) = (Instant::now(), Tally::new());
    loop {
        let outcome = door.call(method, request.clone()).await;
        *tally.entry(outcome.clone()).or_default() += 1;
        if outcome != Outcome::Unanswered {
            return tally;
        }
        assert!(started.elapsed() < RUN_TIMEOUT, "nobody answers any more");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Makes all guesses at one secret concurrently. After `quiet` answers a process is killed and PostgreSQL crashes.
async fn storm(fleet: &mut Fleet, cluster: &Cluster, (kind, token): (Kind, &str), quiet: usize) -> Tally {
    let (doors, gateways) = (fleet.doors(4), fleet.gateways());
    let (answered, total) = (Arc::new(AtomicUsize::new(0)), count_from(GUESSES, DEFAULT_GUESSES));
    let mut guesses = JoinSet::new();
    for n in 0..total {
        let ways = kind.ways(token, &kind.guess(n));
        let (method, request) = ways[n % ways.len()].clone();
        let turn = n / ways.len();
        let door = if turn % 5 == 4 { &gateways[turn / 5 % gateways.len()] } else { &doors[turn % doors.len()] };
        let (door, answered) = (door.clone(), Arc::clone(&answered));
        guesses.spawn(async move {
            let tally = guess(&door, method, request).await;
            answered.fetch_add(1, Ordering::Relaxed);
            tally
        });
    }
    while answered.load(Ordering::Relaxed) < quiet {
        sleep(Duration::from_millis(1)).await;
    }
    block_in_place(|| {
        fleet.crash(quiet % 3);
        cluster.stop_immediate().expect("stopped");
        let before = answered.load(Ordering::Relaxed);
        assert!(before < total, "all guesses were answered before anything broke");
        cluster.resume().expect("started again");
        fleet.wait_until_ready();
    });
    let mut tallies = guesses.join_all().await;
    // If the hasher had no room, too few attempts may have been counted. These come one after the other.
    for (n, door) in doors.iter().chain(&gateways).enumerate() {
        let ways = kind.ways(token, &kind.guess(total + n));
        let (method, request) = ways[n % ways.len()].clone();
        tallies.push(guess(door, method, request).await);
    }
    tallies.into_iter().flatten().fold(Tally::new(), |mut all, (outcome, count)| {
        *all.entry(outcome).or_default() += count;
        all
    })
}

/// Returns the lock as an operator sees it: its state, and the number of counted attempts.
async fn lock_of(operator: &Client, kind: Kind, token: &str) -> (Value, Value) {
    let explained = operator.ok("ExplainAccessToken", json!({"access_token_identifier": {"id": token}})).await;
    let secrets = explained["secrets"].as_array().expect("secrets");
    let lock = &secrets.iter().find(|secret| secret["secret_kind"] == kind.names().0).expect("the kind")["lock"];
    (lock["state"].clone(), lock["failed_attempts"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_guesses_at_once_have_five_comparisons_whatever_breaks() {
    let started = Instant::now();
    // A cluster of its own, because it crashes.
    let cluster = block_in_place(|| Cluster::start().expect("a cluster"));
    let database = block_in_place(|| cluster.create_database().expect("a database"));
    // Only one pass code: each guess at it costs a slow hash, whether right, wrong or locked.
    let kinds =
        [Kind::PassCode, Kind::OneTimePassword, Kind::VerificationCode, Kind::OneTimePassword, Kind::VerificationCode];
    let targets: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| (*kind, format!("{kind:?}-{n}"))).collect();
    let records: Vec<_> = targets.iter().map(|(kind, token)| kind.record(token).to_string()).collect();
    let mut fleet = Fleet::start(3, &database, &records.join("\n")).await;

    let mut compared = BTreeMap::<_, Vec<usize>>::new();
    for (i, (kind, token)) in targets.iter().enumerate() {
        let (name, told) = kind.names();
        let before = fleet.comparisons(told);
        // The fault comes after the first answer, at once, or in the middle.
        let tally = storm(&mut fleet, &cluster, (*kind, token), [1, 0, 101][i % 3]).await;
        let now = fleet.comparisons(told) - before;
        println!("{token}: {now} comparisons, {tally:?}");
        assert!(now <= GUESS_BUDGET, "{now} comparisons of {name}, {GUESS_BUDGET} are allowed: {tally:?}");
        assert!(!tally.contains_key(&Outcome::Right), "a guess was right: {tally:?}");
        compared.entry(told).or_default().push(now);
    }
    for (told, counts) in &compared {
        // An attempt that was counted during the fault may never have been compared, but not all of them.
        let total = counts.iter().sum();
        assert!((1..=GUESS_BUDGET * counts.len()).contains(&total), "{total} comparisons of {told}");
    }

    let (operator, doors) = (fleet.operator().await, fleet.doors(1));
    for (kind, token) in &targets {
        assert_eq!(lock_of(&operator, *kind, token).await, (json!("LOCKED"), json!(GUESS_BUDGET)), "{token}");
        for door in &doors {
            for (method, request) in kind.ways(token, kind.right()) {
                let outcome = door.call(method, request).await;
                assert!(matches!(outcome, Outcome::Refused(_)), "{token}, while it is locked: {method} {outcome:?}");
            }
        }
        // The right secret was there all the time, and could have been guessed.
        let unlock = json!({"access_token_identifier": {"id": token}, "secret_kinds": [kind.names().0]});
        operator.ok("UnlockAccessToken", unlock).await;
        let (method, request) = kind.ways(token, kind.right()).swap_remove(1);
        assert_eq!(doors[0].call(method, request).await, Outcome::Right, "{token}, unlocked: {method}");
    }
    println!(
        "{} guesses and more in {:.1} s",
        count_from(GUESSES, DEFAULT_GUESSES) * targets.len(),
        started.elapsed().as_secs_f64()
    );
}
