//! An honest client that calls at a constant rate while other load runs.

use std::time::{Duration, Instant};

use access_tokens_testapp::{Client, Refusal};
use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tonic::Code;

use crate::environment::Environment;
use crate::report::Report;

const TOKEN: &str = "steady";
/// Tag of `access_token_identifier`, and of `authentication_code` in it.
const FIRST_FIELD_TAG: u8 = 0x0a;

/// Calls ShowAccessToken at a constant rate, without waiting for the answers.
pub(super) struct SteadyCaller {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Observations>>,
}

/// The answers that an honest client received.
#[derive(Debug, Default)]
pub(super) struct Observations {
    /// Time of each call that succeeded.
    pub(super) times: Vec<Duration>,
    /// The other calls.
    pub(super) refused: Vec<Refused>,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refused {
    /// The gRPC code.
    pub(super) code: Code,
    /// The message.
    pub(super) text: String,
    /// Whether it says when to try again.
    pub(super) retry: bool,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self { code: refusal.code(), text: refusal.text(), retry: refusal.retry_after().is_some() }
    }
}

impl SteadyCaller {
    /// Creates the token that is shown.
    pub(super) async fn seed(environment: &Environment) -> Result<()> {
        let made = environment
            .direct_client(0)
            .await?
            .try_call("CreateAccessToken", json!({"authentication_code": TOKEN}))
            .await;
        made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
        Ok(())
    }

    /// Returns the request.
    pub(super) fn request() -> Value {
        json!({"access_token_identifier": {"authentication_code": TOKEN}})
    }

    /// Returns the request, encoded as protocol buffers.
    pub(super) fn message() -> Vec<u8> {
        let code = [&[FIRST_FIELD_TAG, TOKEN.len() as u8], TOKEN.as_bytes()].concat();
        [&[FIRST_FIELD_TAG, code.len() as u8], code.as_slice()].concat()
    }

    /// Starts to call.
    pub(super) fn begin(client: Client, every: Duration) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut seen, mut calls) = (Observations::default(), JoinSet::new());
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    Some(done) = calls.join_next() => seen.add(done?),
                    _ = ticks.tick() => {
                        calls.spawn(show(client.clone()));
                    }
                }
            }
            for done in calls.join_all().await {
                seen.add(done);
            }
            Ok(seen)
        });
        Self { stop, task }
    }

    /// Stops, and waits for the last answers.
    pub(super) async fn end(self) -> Result<Observations> {
        // The task has no other end.
        let _ = self.stop.send(());
        self.task.await?
    }
}

async fn show(client: Client) -> Result<Duration, Refused> {
    let asked = Instant::now();
    match client.try_call("ShowAccessToken", SteadyCaller::request()).await {
        Ok(_) => Ok(asked.elapsed()),
        Err(refusal) => Err(Refused::from(&refusal)),
    }
}

impl Observations {
    fn add(&mut self, done: Result<Duration, Refused>) {
        match done {
            Ok(took) => self.times.push(took),
            Err(refused) => self.refused.push(refused),
        }
    }

    /// Reports honest calls that were refused.
    pub(super) fn judge(&self, during: &str, report: &mut Report) {
        let (refused, all) = (self.refused.len(), self.refused.len() + self.times.len());
        let first = self.refused.first();
        report.expect(first.is_none(), || format!("{during}: {refused} of {all} honest calls were refused: {first:?}"));
    }

    /// Returns the time that 99 of 100 successful calls did not exceed.
    pub(super) fn p99(&self) -> Duration {
        percentile(&self.times, 99)
    }
}

/// Returns the time that `part` of a hundred calls did not exceed, or a minute if there were no calls.
pub(super) fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * part / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or(Duration::from_secs(60))
}
