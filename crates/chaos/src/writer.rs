//! Writers: each changes tokens of its own, one call after the other, and records the outcome of each call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::random::Rng;
use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::facts::{Change, Code, Facts, Password};
use crate::ledger::{CallSource, Ledger};
use crate::outcome::{Outcome, call};

/// Time after a call without an outcome, for the service to recover.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Behaviour of a writer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Behaviour {
    /// Waits up to five seconds for each answer.
    Patient,
    /// Prepares each step patiently, and then gives the call itself a deadline between one and this number of microseconds.
    Hostile(u64),
}

/// The calls that a writer makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Task {
    /// All calls.
    All,
    /// All except those that issue codes, which expire and are limited by the clock.
    NoCodes,
    /// Creates and imports tokens: each call is a transaction.
    Create,
    /// Changes an existing token: each call is a statement that commits by itself.
    Change,
}

/// A writer.
pub(crate) struct Writer {
    /// Name, unique in a campaign.
    pub(crate) name: String,
    /// Owner of its tokens.
    pub(crate) owner: String,
    /// Client for calls.
    pub(crate) client: Client,
    /// Client for preparations.
    pub(crate) patient: Client,
    /// Behaviour of the writer.
    pub(crate) behaviour: Behaviour,
    /// Kind of its calls.
    pub(crate) task: Task,
    /// Ledger of the outcomes.
    pub(crate) ledger: Arc<Ledger>,
    /// Source of random choices.
    pub(crate) rng: Rng,
    /// Number of the last value or key. Rises, and is never used twice under one name.
    pub(crate) sequence: u64,
    /// Key of the token that it currently changes.
    pub(crate) token: Option<String>,
}

impl Writer {
    /// Writes until it is stopped or has made `limit` calls. Returns the number of calls.
    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>, limit: u64) -> Result<u64> {
        let mut calls = 0;
        while calls < limit && !*stop.borrow() {
            calls += 1;
            let asked = Instant::now();
            let known = self.step().await?;
            self.ledger.record_time(asked.elapsed());
            if !known {
                self.token = None;
                if self.behaviour == Behaviour::Patient {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
        Ok(calls)
    }

    fn client(&self) -> Client {
        match self.behaviour {
            Behaviour::Patient => self.patient.clone(),
            Behaviour::Hostile(most) => {
                // Half of the deadlines are spread evenly over the orders of magnitude: the first microseconds are as likely as the
                // last milliseconds.
                let halvings = if self.rng.one_in(2) { self.rng.below(13) } else { 0 };
                let ceiling = (most >> halvings).max(1);
                self.client.with_deadline(Duration::from_micros(1 + self.rng.below(ceiling)))
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn key(&mut self) -> String {
        let number = self.next();
        format!("{}-{number}", self.name)
    }

    /// Makes one call. Returns whether its outcome is known.
    async fn step(&mut self) -> Result<bool> {
        let facts = self.token.as_ref().and_then(|key| Some((key.clone(), self.ledger.facts(key)?)));
        let Some((key, facts)) = facts else { return self.new_token().await };
        match (self.task, self.rng.below(100)) {
            (Task::Create, 50..) | (_, 0..6) if self.task != Task::Change => self.new_token().await,
            (Task::Create, _) | (_, 6..9) if self.task != Task::Change => self.import(&key).await,
            (_, dice) => self.change(&key, &facts, dice).await,
        }
    }

    /// Makes a change that the state of the token allows.
    async fn change(&mut self, key: &str, facts: &Facts, dice: u64) -> Result<bool> {
        let token = json!({"authentication_code": key});
        let named = json!({"access_token_identifier": token, "fields_set": "id"});
        let codes = self.task == Task::All;
        match (facts.state, &facts.code, &facts.password) {
            ("PENDING_VERIFICATION", _, _) if dice < 35 && codes => {
                self.call(key, "ResetVerificationCode", token, |answer| {
                    Change::Code(text(answer, "verification_code").map_or(Code::Any, Code::Is))
                })
                .await
            }
            // Attempts are counted in transactions of their own.
            ("PENDING_VERIFICATION", Code::Is(code), _) if dice < 55 && self.task != Task::Change => {
                let request = with(named, "verification_code", json!(code));
                self.call(key, "VerifyAccessToken", request, |_| Change::Verify).await
            }
            ("EFFECTIVE", _, _) if dice < 30 => {
                self.call(key, "SetAsNotEffective", named, |_| Change::State("NOT_EFFECTIVE")).await
            }
            ("EFFECTIVE", _, Password::Issued(password)) if dice < 45 && codes => {
                let request = with(named, "one_time_password", json!(password));
                self.call(key, "VerifyOtp", request, |_| Change::Use).await
            }
            ("EFFECTIVE", _, _) if dice < 55 && codes => {
                let request = json!({"access_token_identifier": token});
                self.call(key, "GenerateOtp", request, |answer| Change::Issue(text(answer, "one_time_password"))).await
            }
            ("NOT_EFFECTIVE", _, _) if dice < 50 => {
                self.call(key, "SetAsEffective", named, |_| Change::State("EFFECTIVE")).await
            }
            _ => {
                let value = self.next();
                let request = with(named, "udf_string_1", json!(value.to_string()));
                self.call(key, "UpdateAccessToken", request, |_| Change::Value(value)).await
            }
        }
    }

    /// Calls a method for a token, and records the requested change with its outcome.
    async fn call(
        &self,
        key: &str,
        method: &str,
        request: Value,
        change: impl FnOnce(&Value) -> Change,
    ) -> Result<bool> {
        let outcome = call(&self.client(), method, request).await;
        let change = match &outcome {
            Outcome::Done(answer) => change(answer),
            _ => change(&Value::Null),
        };
        self.record(key, change, &outcome)
    }

    fn record(&self, key: &str, change: Change, outcome: &Outcome) -> Result<bool> {
        self.ledger.record(&CallSource { key, owner: &self.owner, writer: &self.name }, change, outcome)?;
        Ok(!matches!(outcome, Outcome::Unknown(_)))
    }

    /// Creates a token. Where hostile calls hardly ever succeed, the patient client creates most tokens.
    async fn new_token(&mut self) -> Result<bool> {
        let (key, value) = (self.key(), self.next());
        let mut request = json!({
            "authentication_code": key,
            "udf_string_1": value.to_string(),
            "accounts_receivable_identifier": {"id": self.owner},
            "fields_set": "life_cycle_state,verification_code",
        });
        let waits = self.rng.one_in(3);
        if waits {
            request = with(request, "classification_identifier", json!({"id": "verified"}));
        }
        let hostile = self.task == Task::Create || self.rng.one_in(4);
        let client = if hostile { self.client() } else { self.patient.clone() };
        let outcome = call(&client, "CreateAccessToken", request).await;
        let (state, code) = match (&outcome, waits) {
            (_, false) => ("EFFECTIVE", Code::None),
            (Outcome::Done(answer), true) => {
                ("PENDING_VERIFICATION", text(answer, "verification_code").map_or(Code::Any, Code::Is))
            }
            (_, true) => ("PENDING_VERIFICATION", Code::Any),
        };
        let known = self.record(&key, Change::Create(Facts::new(state, value, code)), &outcome)?;
        self.token = Some(key);
        Ok(known)
    }

    /// Imports two new tokens in one call. The writer then changes the first one, or continues with the former token.
    async fn import(&mut self, before: &str) -> Result<bool> {
        let mut records = Vec::new();
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let (key, value) = (self.key(), self.next());
            records.push(json!({"access_token": {
                "id": key, "number": format!("N-{key}"), "authentication_code": key, "life_cycle_state": "EFFECTIVE",
                "udf_string_1": value.to_string(), "accounts_receivable": {"id": self.owner},
            }}));
            tokens.push((key, value));
        }
        let outcome = match self.client().import_directory(&records).await {
            Ok(answer) if answer.failed == 0 => Outcome::Done(Value::Null),
            Ok(answer) => {
                let reasons = answer.results.iter().map(|result| result.reason().as_str_name());
                Outcome::Refused(reasons.collect::<Vec<_>>().join(", "))
            }
            Err(refusal) => Outcome::of(&refusal),
        };
        let mut known = true;
        for (key, value) in &tokens {
            known &= self.record(key, Change::Create(Facts::new("EFFECTIVE", *value, Code::None)), &outcome)?;
        }
        self.token =
            if self.rng.one_in(2) { tokens.first().map(|(key, _)| key.clone()) } else { Some(before.to_owned()) };
        Ok(known)
    }
}

fn with(mut request: Value, name: &str, value: Value) -> Value {
    request[name] = value;
    request
}

fn text(answer: &Value, name: &str) -> Option<String> {
    answer[name].as_str().map(str::to_owned)
}
