//! Load, faults and checks in turn, with one ledger for the whole run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::random::Rng;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::environment::Environment;
use crate::facts::{Change, Password};
use crate::inspection;
use crate::ledger::{CallSource, Findings, Ledger};
use crate::outcome::{Outcome, call};
use crate::report::Report;
use crate::writer::{Behaviour, Task, Writer};

/// Number of checks of one owner before a new owner begins. Each check reads the list of the owner; the end of a run reads all
/// lists.
const CHECKS_PER_OWNER: usize = 5;
/// The error text of tonic's client when a connection ends while it is used.
const CONNECTION_ENDED: &str = "h2 protocol error";
/// Number of one-time passwords that each check presents.
const PASSWORDS_PER_CHECK: usize = 16;
/// Maximum time until the service works again after a fault. The report states the measured time.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// The load, faults and checks of one run against one environment.
pub(crate) struct Campaign {
    /// The findings so far.
    pub(crate) report: Report,
    /// The source of random choices.
    pub(crate) rng: Rng,
    ledger: Arc<Ledger>,
    owners: Vec<String>,
    loads: usize,
    checks: usize,
}

/// The writers of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// Number of writers.
    pub(crate) writers: usize,
    /// Behaviour of the writers.
    pub(crate) behaviour: Behaviour,
    /// Maximum number of calls of each writer.
    pub(crate) calls: u64,
    /// Address that every second writer calls in place of the service.
    pub(crate) front: Option<SocketAddr>,
    /// The calls that the writers make.
    pub(crate) task: Task,
}

impl Workload {
    /// Twelve patient writers that run until they are stopped.
    pub(crate) const DEFAULT: Self =
        Self { writers: 12, behaviour: Behaviour::Patient, calls: u64::MAX, front: None, task: Task::All };
}

/// Writers that are running.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<Result<u64>>,
}

impl Load {
    /// Stops the writers, waits for them, and returns the number of their calls.
    pub(crate) async fn stop(self) -> Result<u64> {
        self.stop.send_replace(true);
        self.end().await
    }

    /// Waits until the writers have made their maximum number of calls, and returns the number of their calls.
    pub(crate) async fn end(mut self) -> Result<u64> {
        let mut calls = 0;
        while let Some(done) = self.writers.join_next().await {
            calls += done.context("a writer broke")??;
        }
        Ok(calls)
    }
}

impl Campaign {
    /// Returns a campaign without a load.
    pub(crate) fn new(environment: &Environment, seed: u64) -> Result<Self> {
        let ledger = Arc::new(Ledger::new(environment.directory())?);
        Ok(Self { report: Report::default(), rng: Rng::new(seed), ledger, owners: Vec::new(), loads: 0, checks: 0 })
    }

    fn owner(&self) -> Result<&String> {
        self.owners.last().context("there was no load yet")
    }

    /// Starts writers.
    pub(crate) async fn load(&mut self, environment: &Environment, workload: Workload) -> Result<Load> {
        if self.owners.len() <= self.checks / CHECKS_PER_OWNER {
            let owner = format!("owner-{}", self.owners.len());
            let record = json!({"accounts_receivable": {"id": owner, "number": owner}});
            let made = environment.direct_client(0).await?.import_directory(&[record]).await;
            let made = made.map_err(|refusal| anyhow::anyhow!("no owner: {}", refusal.text()))?;
            ensure!(made.failed == 0, "no owner: {made:?}");
            self.owners.push(owner);
        }
        self.loads += 1;
        let (stop, told) = watch::channel(false);
        let mut load = Load { stop, writers: JoinSet::new() };
        for number in 0..workload.writers {
            let (name, owner, behaviour) = (format!("w{number}"), self.owner()?.clone(), workload.behaviour);
            let replica = number % environment.replicas();
            let client = match workload.front {
                Some(front) if number.is_multiple_of(2) => environment.client_at(front).await?,
                _ => environment.client(replica).await?,
            };
            let patient = if behaviour == Behaviour::Patient {
                client.clone()
            } else {
                environment.direct_client(replica).await?
            };
            let writer = Writer {
                token: self.ledger.resumable_token(&owner, &name),
                // Leaves room for all steps of one load.
                sequence: self.loads as u64 * 1_000_000,
                rng: self.rng.fork(),
                ledger: Arc::clone(&self.ledger),
                name,
                owner,
                client,
                patient,
                behaviour,
                task: workload.task,
            };
            load.writers.spawn(writer.run(told.clone(), workload.calls));
        }
        Ok(load)
    }

    /// Waits for the next acknowledgement and returns the time that it took.
    pub(crate) async fn next_acknowledgement(&self) -> Result<Duration> {
        let (since, before) = (Instant::now(), self.ledger.acknowledged());
        while self.ledger.acknowledged() == before {
            ensure!(since.elapsed() < RECOVERY_TIMEOUT, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(since.elapsed())
    }

    /// Returns the number of calls so far, and the number of those that were acknowledged.
    pub(crate) fn calls(&self) -> (u64, u64) {
        let counts = self.ledger.counts();
        (counts.operations, counts.acknowledged)
    }

    /// Returns the number of calls so far whose outcome is unknown.
    pub(crate) fn unknown(&self) -> u64 {
        self.ledger.counts().unknown.values().sum()
    }

    /// Returns the longest time that a client has waited for the outcome of a call.
    pub(crate) fn slowest_call(&self) -> Duration {
        self.ledger.counts().slowest
    }

    /// Begins a new measurement of pauses. Returns the longest time between two acknowledgements since the last one began.
    pub(crate) fn take_longest_pause(&self) -> Duration {
        self.ledger.take_longest_pause()
    }

    /// Reports a finding if a call without an outcome failed with another code than these.
    pub(crate) fn expect_codes(&mut self, codes: &[&str]) {
        let counts = self.ledger.counts();
        let others = counts.unknown.iter().filter(|(text, _)| !codes.iter().any(|code| text.starts_with(code)));
        self.report.broken.extend(others.map(|(text, count)| format!("{count} calls failed with {text}")));
    }

    /// Reads back what the last cycles wrote, and presents one-time passwords. No writer may run, and all calls that were begun
    /// must have ended.
    pub(crate) async fn check(&mut self, environment: &Environment) -> Result<()> {
        let owner = self.owner()?.clone();
        let seen = inspection::read_back(environment, &owner).await?;
        let findings = self.ledger.reconcile(&owner, seen);
        self.note(findings);
        self.check_passwords(environment, &owner).await?;
        // One-time passwords expire, so an owner is checked for a limited time only.
        self.checks += 1;
        if self.checks.is_multiple_of(CHECKS_PER_OWNER) {
            self.ledger.forget_passwords(&owner);
        }
        Ok(())
    }

    /// Reads back everything that was written, checks the database as a whole, and returns the report.
    pub(crate) async fn finish(mut self, environment: &Environment) -> Result<Report> {
        let mut all = Vec::new();
        for owner in self.owners.clone() {
            let seen = inspection::read_back(environment, &owner).await?;
            all.extend(seen.iter().cloned());
            let findings = self.ledger.reconcile(&owner, seen);
            self.note(findings);
        }
        self.report.duplicated.extend(inspection::duplicate_numbers(&all));
        self.report.broken.extend(inspection::faults(environment).await?);
        let counts = self.ledger.counts();
        (self.report.operations, self.report.acknowledged) = (counts.operations, counts.acknowledged);
        let common = |told: &BTreeMap<String, u64>| {
            let mut told: Vec<_> = told.iter().map(|(text, count)| (*count, text.clone())).collect();
            told.sort_by(|one, two| two.cmp(one));
            told.truncate(4);
            told.iter().map(|(count, text)| format!("{count} × {text}")).collect::<Vec<_>>().join("; ")
        };
        if !counts.refused.is_empty() {
            self.report.note(format!("refused: {}", common(&counts.refused)));
        }
        if !counts.unknown.is_empty() {
            let (all, true_ones) = (counts.unknown.values().sum::<u64>(), counts.took_effect);
            self.report.note(format!("{true_ones} of {all} calls without an outcome had taken effect"));
            self.report.note(format!("unknown: {}", common(&counts.unknown)));
        }
        // The client of the library reports this if a connection ends while it is being used.
        let ended = counts.unknown.iter().filter(|(text, _)| text.contains(CONNECTION_ENDED));
        let ended = ended.map(|(_, count)| count).sum::<u64>();
        if ended > 0 {
            self.report.note(format!("{ended} calls failed with {CONNECTION_ENDED:?}"));
        }
        let internal = counts.unknown.keys();
        let internal = internal.filter(|text| text.starts_with("Internal") && !text.contains(CONNECTION_ENDED));
        self.report.broken.extend(internal.map(|text| format!("a fault of the network was answered with {text}")));
        Ok(self.report)
    }

    fn note(&mut self, findings: Findings) {
        self.report.lost.extend(findings.lost);
        self.report.duplicated.extend(findings.duplicated);
        self.report.broken.extend(findings.broken);
    }

    /// Makes a call while there is no fault. A service that is still recovering refuses the call before it has an effect; then the
    /// call is repeated.
    async fn call_without_fault(&mut self, client: &Client, method: &str, request: serde_json::Value) -> Outcome {
        for _ in 0..20 {
            match call(client, method, request.clone()).await {
                Outcome::Unknown(why) if why.contains("try again") => {
                    self.report.note(format!("calls without a fault were refused at first: {why}"));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                outcome => return outcome,
            }
        }
        Outcome::Unknown("the service does not recover".to_owned())
    }

    /// Checks that an issued one-time password works once, and that a used one is refused.
    async fn check_passwords(&mut self, environment: &Environment, owner: &str) -> Result<()> {
        let client: Client = environment.direct_client(0).await?;
        for (key, password) in self.ledger.passwords(owner, PASSWORDS_PER_CHECK) {
            let (Password::Issued(text) | Password::Used(text)) = &password else { continue };
            let request = json!({"access_token_identifier": {"authentication_code": key}, "one_time_password": text});
            let outcome = self.call_without_fault(&client, "VerifyOtp", request).await;
            match (&password, &outcome) {
                (Password::Issued(_), Outcome::Done(_)) => {
                    let place = CallSource { key: &key, owner, writer: "check" };
                    self.ledger.record(&place, Change::Use, &outcome)?;
                }
                (Password::Used(_), Outcome::Refused(_)) => {}
                (Password::Issued(_), _) => {
                    self.report.lost.push(format!("{key}: an issued one-time password: {outcome:?}"));
                }
                _ => self.report.duplicated.push(format!("{key}: a one-time password was used twice: {outcome:?}")),
            }
        }
        Ok(())
    }
}
