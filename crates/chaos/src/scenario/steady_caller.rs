//! An honest caller at a steady rate, whoever else calls.

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
/// The tag of `access_token_identifier`, and of `authentication_code` in it.
const FIRST_FIELD_TAG: u8 = 0x0a;

/// Calls ShowAccessToken, and does not wait for one answer before the next call.
pub(super) struct SteadyCaller {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Observations>>,
}

/// What an honest caller has seen.
#[derive(Debug, Default)]
pub(super) struct Observations {
    /// How long each call took that succeeded.
    pub(super) times: Vec<Duration>,
    /// What the others were told.
    pub(super) refused: Vec<Refused>,
}

/// How a call was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// The gRPC code.
    pub(super) code: Code,
    /// What is said for people.
    pub(super) text: String,
    /// Is it said when to try again?
    pub(super) retry: bool,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self { code: refusal.code(), text: refusal.text(), retry: refusal.retry_after().is_some() }
    }
}

impl SteadyCaller {
    /// Makes the token that is shown.
    pub(super) async fn seed_data(environment: &Environment) -> Result<()> {
        let made = environment
            .direct_client(0)
            .await?
            .try_call("CreateAccessToken", json!({"authentication_code": TOKEN}))
            .await;
        made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
        Ok(())
    }

    /// What is asked.
    pub(super) fn request() -> Value {
        json!({"access_token_identifier": {"authentication_code": TOKEN}})
    }

    /// The same as a message of protocol buffers.
    pub(super) fn message() -> Vec<u8> {
        let code = [&[FIRST_FIELD_TAG, TOKEN.len() as u8], TOKEN.as_bytes()].concat();
        [&[FIRST_FIELD_TAG, code.len() as u8], code.as_slice()].concat()
    }

    /// Begins to call.
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

    /// Waits for the last answers.
    pub(super) async fn end(self) -> Result<Observations> {
        // It only ends by this.
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

    /// Finds fault with each honest call that was refused.
    pub(super) fn judge(&self, during: &str, report: &mut Report) {
        let (refused, all) = (self.refused.len(), self.refused.len() + self.times.len());
        let first = self.refused.first();
        report.expect(first.is_none(), || format!("{during}: {refused} of {all} honest calls were refused: {first:?}"));
    }

    /// Which time 99 of 100 calls kept that succeeded.
    pub(super) fn p99(&self) -> Duration {
        percentile(&self.times, 99)
    }
}

/// So many of a hundred times are not longer. A minute when there is none.
pub(super) fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * part / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or(Duration::from_secs(60))
}
