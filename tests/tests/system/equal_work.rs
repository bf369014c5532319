//! Refusals cannot be distinguished: they have the same answer, after the same number of round trips and comparisons.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_domain::Error;
use access_tokens_domain::attempts::SecretKind;
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::identifier::{AccessTokenIdentifier, Proof, ResetIdentifier};
use access_tokens_domain::notification::{Notification, Notifier};
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::{AccessTokens, ChangePassCode, Presented, VerifyToken};
use access_tokens_domain::session::Caller;
use access_tokens_domain::store::ReadOptions;
use access_tokens_host::SystemRandom;
use access_tokens_storage::Database;
use access_tokens_testapp::TestApp;
use access_tokens_testkit::counting::{Comparisons, CountingSecrets, CountingStore};

use crate::on_both_databases;

/// Delay of each round trip, long enough that one more or less is measured.
const DATABASE_DELAY: Duration = Duration::from_millis(5);

/// Each token is named `{state}-{fault}`. Every pass code is `right`, and every other code is 000000.
const TOKENS: &str = r#"
{"access_token": {"id": "good", "number": "AT1", "authentication_code": "good", "identifier": "good", "pass_code": "right", "one_time_password": "000000", "expiration_date": "2100-01-01T00:00:00"}}
{"access_token": {"id": "locked", "number": "AT2", "authentication_code": "locked", "identifier": "locked", "pass_code": "right", "one_time_password": "000000", "expiration_date": "2100-01-01T00:00:00"}}
{"access_token": {"id": "off", "number": "AT3", "authentication_code": "off", "identifier": "off", "pass_code": "right", "one_time_password": "000000", "expiration_date": "2100-01-01T00:00:00", "life_cycle_state": "NOT_EFFECTIVE"}}
{"access_token": {"id": "pending", "number": "AT4", "authentication_code": "pending", "identifier": "pending", "pass_code": "right", "verification_code": "000000", "life_cycle_state": "PENDING_VERIFICATION"}}
{"access_token": {"id": "pending-locked", "number": "AT5", "authentication_code": "pending-locked", "verification_code": "000000", "life_cycle_state": "PENDING_VERIFICATION"}}
{"access_token": {"id": "bare", "number": "AT6", "authentication_code": "bare", "identifier": "bare"}}
{"access_token": {"id": "expired", "number": "AT7", "authentication_code": "expired", "one_time_password": "000000", "expiration_date": "2020-01-01T00:00:00"}}
"#;

/// A receiver of notifications that are not checked.
struct Receiver;

impl Notifier for Receiver {
    fn delivers(&self) -> bool {
        true
    }

    fn notify(&self, _: Notification) {}
}

/// Use cases over ports that count.
struct Measured {
    store: Arc<CountingStore<Database>>,
    secrets: Arc<CountingSecrets>,
    tokens: AccessTokens<CountingStore<Database>>,
    caller: Caller,
}

/// The results of a call that a client can see or measure.
#[derive(Debug, PartialEq)]
struct Trace {
    answer: String,
    round_trips: u64,
    comparisons: u64,
    slow_hashes: u64,
}

impl Measured {
    async fn new(app: &TestApp, permissions: &str) -> Self {
        Self::with_delay(app, permissions, DATABASE_DELAY).await
    }

    async fn with_delay(app: &TestApp, permissions: &str, delay: Duration) -> Self {
        let store = Arc::new(CountingStore::new(Arc::clone(&app.database), delay));
        let secrets = Arc::new(CountingSecrets::new(app.secrets()));
        let tokens = AccessTokens::new(store.clone(), app.clock.clone(), Arc::new(SystemRandom), secrets.clone());
        let caller = app.direct_caller(permissions).await;
        Self { store, secrets, tokens: tokens.with_notifier(Arc::new(Receiver)), caller }
    }

    /// Makes one call and measures it.
    async fn trace<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Trace {
        self.trace_joined(0, call).await
    }

    /// Makes one call and measures it. `at_once` is the number of its round trips that run concurrently with another
    /// one.
    async fn trace_joined<T>(&self, at_once: u64, call: impl Future<Output = Result<T, Error>>) -> Trace {
        self.store.take_calls();
        self.secrets.take();
        let started = Instant::now();
        let answer = match call.await {
            Ok(_) => "OK".to_owned(),
            Err(error) => format!("{:?} {} {:?} {:?}", error.reason(), error.message(), error.metadata(), error.wait()),
        };
        let round_trips = self.store.take_calls();
        let waits = u32::try_from(round_trips - at_once).expect("few");
        assert!(started.elapsed() >= DATABASE_DELAY * waits, "every round trip is waited for");
        let compared: Comparisons = self.secrets.take();
        Trace { answer, round_trips, comparisons: compared.work(), slow_hashes: compared.hashes }
    }

    /// Locks one kind of secret of a token.
    async fn lock(&self, token: &str, kind: SecretKind) {
        for _ in 0..5 {
            let wrong = Secret::new("111111");
            let identifier = id(token);
            let refused = match kind {
                SecretKind::PassCode => self.check(identifier, Proof::PassCode(wrong)).await.is_err(),
                SecretKind::OneTimePassword => self.otp(identifier, "111111").await.is_err(),
                SecretKind::VerificationCode => self.verify(identifier, "111111").await.is_err(),
            };
            assert!(refused);
        }
    }

    async fn check(&self, identifier: AccessTokenIdentifier, proof: Proof) -> Result<(), Error> {
        let presented = Presented { identifier, proof: Some(proof) };
        self.tokens.check_pass_code(&self.caller, &presented, &FieldSelection::All).await.map(drop)
    }

    async fn otp(&self, identifier: AccessTokenIdentifier, code: &str) -> Result<(), Error> {
        let presented = Presented { identifier, proof: Some(Proof::OneTimePassword(Secret::new(code))) };
        self.tokens.verify_otp(&self.caller, &presented, &FieldSelection::All).await.map(drop)
    }

    async fn verify(&self, identifier: AccessTokenIdentifier, code: &str) -> Result<(), Error> {
        let request = VerifyToken { identifier, verification_code: Secret::new(code), pass_code: None };
        self.tokens.verify(&self.caller, request, &FieldSelection::All).await.map(drop)
    }

    async fn change(&self, identifier: AccessTokenIdentifier, proof: Proof) -> Result<(), Error> {
        let presented = Presented { identifier, proof: Some(proof) };
        let request = ChangePassCode { presented, new_pass_code: Secret::new("new pass code") };
        self.tokens.change_pass_code(&self.caller, request, &FieldSelection::All).await.map(drop)
    }

    async fn show(&self, identifier: &str, proof: Proof) -> Result<(), Error> {
        let identifier = AccessTokenIdentifier::Credential { identifier: identifier.to_owned(), proof: Some(proof) };
        self.tokens.show(&self.caller, &identifier, &FieldSelection::All, ReadOptions::STRONG).await.map(drop)
    }

    async fn forgot(&self, identifier: &str) -> Result<(), Error> {
        self.tokens.forgot_pass_code(&self.caller, &ResetIdentifier::Identifier(identifier.to_owned())).await
    }
}

fn id(token: &str) -> AccessTokenIdentifier {
    AccessTokenIdentifier::Id(token.to_owned())
}

fn pass_code(text: &str) -> Proof {
    Proof::PassCode(Secret::new(text))
}

fn otp(text: &str) -> Proof {
    Proof::OneTimePassword(Secret::new(text))
}

fn all_equal(what: &str, traces: &[(&str, Trace)]) {
    let (name, first) = &traces[0];
    for (other, trace) in traces {
        assert_eq!(trace, first, "{what}: {other} can be told from {name}");
    }
}

const GUESSER: &str = "access_tokens.read,access_tokens.write";

on_both_databases! {
    async fn refused_pass_codes_are_all_alike(app) {
        app.import("DEMO", TOKENS).await;
        let here = Measured::new(&app, GUESSER).await;
        here.lock("locked", SecretKind::PassCode).await;
        let show = [
            ("wrong", here.trace(here.show("good", pass_code("wrong"))).await),
            ("unknown", here.trace(here.show("nobody", pass_code("wrong"))).await),
            ("locked, though right", here.trace(here.show("locked", pass_code("right"))).await),
            ("without a pass code", here.trace(here.show("bare", pass_code("right"))).await),
            ("wrong and not effective", here.trace(here.show("off", pass_code("wrong"))).await),
        ];
        all_equal("show", &show);
        assert_eq!((show[0].1.comparisons, show[0].1.slow_hashes), (1, 0));
        let check = [
            ("wrong", here.trace(here.check(id("good"), pass_code("wrong"))).await),
            ("unknown", here.trace(here.check(id("nobody"), pass_code("wrong"))).await),
            ("locked, though right", here.trace(here.check(id("locked"), pass_code("right"))).await),
            ("right, but not effective", here.trace(here.check(id("off"), pass_code("right"))).await),
            ("right, but pending", here.trace(here.check(id("pending"), pass_code("right"))).await),
            ("without a pass code", here.trace(here.check(id("bare"), pass_code("right"))).await),
        ];
        all_equal("check", &check);
        let change = [
            ("wrong", here.trace(here.change(id("good"), pass_code("wrong"))).await),
            ("unknown", here.trace(here.change(id("nobody"), pass_code("wrong"))).await),
            ("locked, though right", here.trace(here.change(id("locked"), pass_code("right"))).await),
            ("right, but not effective", here.trace(here.change(id("off"), pass_code("right"))).await),
            ("without a pass code", here.trace(here.change(id("bare"), pass_code("right"))).await),
        ];
        all_equal("change", &change);
    }

    async fn refused_one_time_passwords_are_all_alike(app) {
        app.import("DEMO", TOKENS).await;
        let here = Measured::new(&app, GUESSER).await;
        here.lock("locked", SecretKind::OneTimePassword).await;
        let verify = [
            ("wrong", here.trace(here.otp(id("good"), "111111")).await),
            ("unknown", here.trace(here.otp(id("nobody"), "111111")).await),
            ("locked, though right", here.trace(here.otp(id("locked"), "000000")).await),
            ("right, but not effective", here.trace(here.otp(id("off"), "000000")).await),
            ("right, but expired", here.trace(here.otp(id("expired"), "000000")).await),
            ("never issued", here.trace(here.otp(id("bare"), "000000")).await),
        ];
        all_equal("verify", &verify);
        let credential = [
            ("wrong", here.trace(here.show("good", otp("111111"))).await),
            ("unknown", here.trace(here.show("nobody", otp("111111"))).await),
            ("locked, though right", here.trace(here.show("locked", otp("000000"))).await),
            ("right, but not effective", here.trace(here.show("off", otp("000000"))).await),
            ("never issued", here.trace(here.show("bare", otp("000000"))).await),
        ];
        all_equal("credential", &credential);
        here.otp(id("good"), "000000").await.expect("the right one");
        let used = here.trace(here.otp(id("good"), "000000")).await;
        all_equal("used", &[("wrong", here.trace(here.otp(id("good"), "111111")).await), ("used", used)]);
    }

    async fn refused_verification_codes_are_all_alike(app) {
        app.import("DEMO", TOKENS).await;
        let here = Measured::new(&app, GUESSER).await;
        here.lock("pending-locked", SecretKind::VerificationCode).await;
        let verify = [
            ("wrong", here.trace(here.verify(id("pending"), "111111")).await),
            ("unknown", here.trace(here.verify(id("nobody"), "111111")).await),
            ("locked, though right", here.trace(here.verify(id("pending-locked"), "000000")).await),
            ("effective", here.trace(here.verify(id("good"), "000000")).await),
            ("not effective", here.trace(here.verify(id("off"), "000000")).await),
        ];
        all_equal("verify", &verify);
    }

    async fn forgetting_a_pass_code_reveals_nothing(app) {
        app.import("DEMO", TOKENS).await;
        let here = Measured::new(&app, GUESSER).await;
        let mut traces = vec![
            ("unknown", here.trace_joined(1, here.forgot("nobody")).await),
            ("not effective", here.trace_joined(1, here.forgot("off")).await),
            ("pending", here.trace_joined(1, here.forgot("pending")).await),
        ];
        for _ in 0..7 {
            traces.push(("effective, at last too often", here.trace_joined(1, here.forgot("good")).await));
        }
        all_equal("forgot", &traces);
        assert_eq!(traces[0].1.answer, "OK");
    }

    async fn forgot_pass_code_takes_the_same_time_for_unknown_tokens(app) {
        // Codes without limits in practice.
        let unlimited =
            r#"{"organisation": {"definition": {"issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000}}}}"#;
        app.import("DEMO", unlimited).await;
        app.import("DEMO", TOKENS).await;
        let here = Measured::with_delay(&app, GUESSER, Duration::ZERO).await;
        let names = ["good", "nobody", "off"];
        let (mut times, mut writes) = (names.map(|_| Vec::new()), [0; 3]);
        let count = || app.database.group_commit_counts().map_or(0, |(writes, _)| writes);
        for _ in 0..667 {
            for (index, name) in names.iter().enumerate() {
                let (before, started) = (count(), Instant::now());
                here.forgot(name).await.expect("answered");
                times[index].push(started.elapsed());
                writes[index] += count() - before;
            }
        }
        assert_eq!(writes, [writes[0]; 3], "writes");
        let medians = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        });
        println!("medians in microseconds: {names:?} {medians:?}");
        // Other tests run concurrently on the same cores.
        let (least, most) = (medians.into_iter().fold(f64::MAX, f64::min), medians.into_iter().fold(0.0, f64::max));
        assert!(most < 1.5 * least, "{medians:?}");
    }

    async fn the_true_reason_is_for_callers_with_access_to_secrets(app) {
        app.import("DEMO", TOKENS).await;
        let guesser = Measured::new(&app, GUESSER).await;
        let knowing = Measured::new(&app, &format!("{GUESSER},access_tokens.secrets")).await;
        guesser.lock("locked", SecretKind::OneTimePassword).await;
        let cases = [
            ("good", "111111", "WRONG"),
            ("nobody", "111111", "UNKNOWN"),
            ("locked", "000000", "LOCKED"),
            ("off", "000000", "WRONG_LIFE_CYCLE_STATE"),
            ("expired", "000000", "EXPIRED"),
            ("bare", "000000", "NOT_SET"),
        ];
        for (token, code, cause) in cases {
            let told = knowing.otp(id(token), code).await.expect_err("refused");
            assert_eq!(told.metadata().get("cause").map(String::as_str), Some(cause), "{token}");
            assert_eq!(told.wait().is_some(), cause == "LOCKED", "{token}");
            let untold = guesser.otp(id(token), code).await.expect_err("refused");
            assert!(untold.metadata().is_empty() && untold.wait().is_none(), "{token}");
            assert_eq!((told.reason(), told.message()), (untold.reason(), untold.message()), "{token}");
        }
    }
}
