//! Codes that work once: if any number of callers present one concurrently at several processes, exactly one of them succeeds.
//!
//! Attempts are counted before they are compared, so under the default policy most of the concurrent attempts are not compared. The
//! classification `wide` allows all of them to be compared, so that the callers race for the use of the code.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use access_tokens_testkit::postgres;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fleet::{Door, Fleet, Outcome, count_from};

/// Number of callers that present each code concurrently.
const CALLERS: usize = 20;
/// Number of codes that are presented concurrently. With all their callers this is below the call limit of a process.
const CODES_AT_ONCE: usize = 24;
/// Number of uses on three processes with PostgreSQL. The default takes 15 s with an unoptimised build on two idle cores, and less
/// than 40 s on busy ones. A hundred thousand and a million are run by hand.
const USES: &str = "ACCESS_TOKENS_TEST_USES";
const DEFAULT_USES: usize = 8_000;

const WIDE: &str = r#"{"classification": {"id": "wide", "name": "wide", "policy": {"lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 200}, "otp_length": 8, "verification_code_length": 8}}}"#;

/// A set of codes: those of one policy are consecutive.
#[derive(Clone)]
struct Codes {
    policy: &'static str,
    numbers: Range<usize>,
}

impl Codes {
    /// Returns codes for this number of uses under the policy that compares the codes of all callers, and a fifth as many codes under the
    /// default policy.
    fn of(uses: usize) -> [Self; 2] {
        let (wide, usual) = (uses.div_ceil(CALLERS), uses.div_ceil(CALLERS * 5));
        [Self { policy: "wide", numbers: 0..wide }, Self { policy: "usual", numbers: wide..wide + usual }]
    }

    /// Returns the records of the tokens with the codes.
    fn records(&self) -> impl Iterator<Item = String> + '_ {
        self.numbers.clone().map(|n| {
            let mut token = json!({"id": format!("T{n}"), "number": format!("AT{n}"), "authentication_code": format!("code {n}"), "identifier": format!("login {n}")});
            if verifies(n) {
                token["life_cycle_state"] = json!("PENDING_VERIFICATION");
                token["verification_code"] = json!(code(n));
            } else {
                token["one_time_password"] = json!(code(n));
                token["expiration_date"] = json!("2100-01-01T00:00:00");
            }
            if self.policy == "wide" {
                token["classification"] = json!({"id": "wide"});
            }
            json!({"access_token": token}).to_string()
        })
    }
}

/// Returns whether a code is a verification code. Every fourth is one; the others are one-time passwords.
fn verifies(n: usize) -> bool {
    n % 4 == 3
}

fn code(n: usize) -> String {
    format!("{:08}", (n * 7_654_321 + 12_345) % 100_000_000)
}

/// Returns the call by which a caller presents a code.
fn presented(n: usize, caller: usize) -> (&'static str, Value) {
    let (id, number, scanned, login) = (format!("T{n}"), format!("AT{n}"), format!("code {n}"), format!("login {n}"));
    let within = json!({"credential": {"identifier": login, "one_time_password": code(n)}});
    if verifies(n) {
        let identifier = match caller % 3 {
            0 => json!({"id": id}),
            1 => json!({"number": number}),
            _ => json!({"authentication_code": scanned}),
        };
        return ("VerifyAccessToken", json!({"access_token_identifier": identifier, "verification_code": code(n)}));
    }
    match caller % 4 {
        0 => ("VerifyOtp", json!({"access_token_identifier": {"id": id}, "one_time_password": code(n)})),
        1 => ("ShowAccessToken", json!({"access_token_identifier": within})),
        2 => ("VerifyOtp", json!({"access_token_identifier": within})),
        // Each of these needs a slow hash if its password was right, so only few codes have one.
        _ if n.is_multiple_of(10) && caller == 19 => (
            "ChangePassCode",
            json!({"access_token_identifier": {"number": number}, "one_time_password": code(n), "new_pass_code": "a new one"}),
        ),
        _ => ("ShowAccessToken", json!({"access_token_identifier": within, "fields_set": "id"})),
    }
}

/// The results of a race.
#[derive(Default)]
struct Tally {
    uses: usize,
    /// Codes that did not succeed exactly once, with the number of their successes.
    not_once: Vec<(usize, usize)>,
    others: BTreeMap<Outcome, usize>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.uses += other.uses;
        self.not_once.extend(other.not_once);
        for (outcome, count) in other.others {
            *self.others.entry(outcome).or_default() += count;
        }
    }
}

/// Presents one code by all callers concurrently, each at another process than the one before.
async fn present(doors: &[Door], n: usize) -> Tally {
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let (door, (method, request)) = (doors[(n + caller) % doors.len()].clone(), presented(n, caller));
        calls.spawn(async move { door.call(method, request).await });
    }
    let mut tally = Tally { uses: CALLERS, ..Tally::default() };
    let mut succeeded = 0;
    for outcome in calls.join_all().await {
        match outcome {
            Outcome::Right => succeeded += 1,
            other => *tally.others.entry(other).or_default() += 1,
        }
    }
    if succeeded != 1 {
        tally.not_once.push((n, succeeded));
    }
    tally
}

/// Presents all codes, many concurrently.
async fn race(doors: &[Door], codes: &Codes) -> Tally {
    let (next, mut workers) = (Arc::new(AtomicUsize::new(codes.numbers.start)), JoinSet::new());
    for _ in 0..CODES_AT_ONCE {
        let (doors, next, end) = (doors.to_vec(), Arc::clone(&next), codes.numbers.end);
        workers.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= end {
                    return tally;
                }
                tally.add(present(&doors, n).await);
            }
        });
    }
    let mut all = Tally::default();
    workers.join_all().await.into_iter().for_each(|tally| all.add(tally));
    all
}

async fn every_code_succeeds_once(processes: usize, database: &str, uses: usize) {
    let codes = Codes::of(uses);
    let tokens: Vec<_> = codes.iter().flat_map(Codes::records).collect();
    let fleet = Fleet::start(processes, database, &format!("{WIDE}\n{}", tokens.join("\n"))).await;
    let doors = fleet.doors(4);
    for codes in codes {
        let started = Instant::now();
        let tally = race(&doors, &codes).await;
        let took = started.elapsed().as_secs_f64();
        println!(
            "{processes} process(es), {} policy: {} uses of {} codes in {took:.1} s, {:.0} a second; refused: {:?}",
            codes.policy,
            tally.uses,
            codes.numbers.len(),
            tally.uses as f64 / took,
            tally.others
        );
        let wrong = &tally.not_once;
        assert!(
            wrong.is_empty(),
            "{} codes did not succeed once, such as (code, successes) {:?}; {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(10)],
            tally.others
        );
        // No call was refused because of a limit or a fault: every losing call lost against the winner.
        let lost = ["INVALID_CREDENTIAL", "INVALID_VERIFICATION_CODE", "WRONG_LIFE_CYCLE_STATE", "CONFLICT"];
        for outcome in tally.others.keys() {
            assert!(
                matches!(outcome, Outcome::Refused(reason) if lost.contains(&reason.as_str())),
                "{:?}",
                tally.others
            );
        }
        // The code does not succeed later either.
        for n in codes.numbers.take(100) {
            let (method, request) = presented(n, n);
            let outcome = doors[n % doors.len()].call(method, request).await;
            assert!(matches!(outcome, Outcome::Refused(_)), "code {n}, later: {outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_processes_every_code_succeeds_exactly_once() {
    let database = tokio::task::block_in_place(postgres::create_database);
    every_code_succeeds_once(3, &database, count_from(USES, DEFAULT_USES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_process_with_sqlite_every_code_succeeds_exactly_once() {
    every_code_succeeds_once(1, "sqlite://access-tokens.db", count_from(USES, DEFAULT_USES) / 4).await;
}
