//! Parts of the scenarios about unauthenticated clients: clients at other addresses of this machine, and honest clients that are
//! measured.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::http::{self, Connection};
use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::machine::{MIB, Process};
use super::steady_caller::percentile;
use crate::environment::{Environment, Setup};
use crate::report::Report;
use crate::run::Run;

/// Address of honest clients.
pub(super) const HONEST_ADDRESS: [u8; 4] = [127, 0, 2, 1];
/// Minimum share of honest calls that succeed, in percent.
const MIN_SUCCESS_PERCENT: usize = 99;
/// Maximum time of 99 of 100 shows: of an optimised build, and of another one.
const SHOW_P99: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1_000)];
/// Maximum time of 99 of 100 checks of pass codes, which need a hash: of an optimised build, and of another one.
const CHECK_P99: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Maximum time of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum memory of the service.
const MAX_MEMORY: u64 = 384 * MIB;
/// Maximum time that an honest client waits for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

const CODE: &str = "watched";
const PASS_CODE: &str = "kettle-orbit-lantern";

/// Returns an environment whose service lacks a guard in the mutation check. `None`: an optimised build always has its guards.
pub(super) async fn environment(
    run: &Run,
    guard: &str,
    variables: Vec<(&'static str, String)>,
) -> Result<Option<Environment>> {
    let mut setup = Setup { lying_proxy: false, ..run.setup()? };
    setup.base.variables = variables;
    if run.mutated {
        if run.is_optimised() {
            return Ok(None);
        }
        setup.base.variables.push(("ACCESS_TOKENS_WITHOUT_GUARD", guard.to_owned()));
    }
    Environment::set_up(setup).await.map(Some)
}

/// Opens a TCP connection from an address of this machine.
pub(super) async fn connect(from: [u8; 4], to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket.connect(to).await?)
}

/// Returns a gRPC channel from an address of this machine.
pub(super) fn channel(from: [u8; 4], to: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{to}"))?;
    Ok(endpoint.local_address(Some(IpAddr::from(from))).connect_lazy())
}

/// The kinds of honest calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Shows an access token, over a kept connection.
    Show,
    /// Shows it over HTTP, over a new connection each time.
    Http,
    /// Checks a pass code.
    Check,
    /// Logs in with an API key, over a new connection each time.
    Login,
    /// Checks health over gRPC, and readiness on the port for operators.
    Probe,
}

/// Each kind of call, and the time between two calls.
const KINDS: [(Kind, Duration); 5] = [
    (Kind::Show, Duration::from_millis(10)),
    (Kind::Http, Duration::from_millis(50)),
    (Kind::Check, Duration::from_millis(200)),
    (Kind::Login, Duration::from_millis(50)),
    (Kind::Probe, Duration::from_millis(100)),
];

/// Honest clients.
#[derive(Clone)]
pub(super) struct HonestCallers {
    grpc: SocketAddr,
    http: SocketAddr,
    ops: SocketAddr,
    client: Client,
    key: String,
}

impl HonestCallers {
    /// Creates the token and the API key that they use.
    pub(super) async fn seed(environment: &mut Environment) -> Result<Self> {
        let session = environment.direct_client(0).await?.session().to_owned();
        environment.use_api_key()?;
        let token = json!({"authentication_code": CODE, "identifier": CODE, "pass_code": PASS_CODE});
        let made = environment.direct_client(0).await?.try_call("CreateAccessToken", token).await;
        made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
        let server = environment.server(0)?;
        let client =
            Client::over(channel(HONEST_ADDRESS, server.address())?).with_session(&session).with_deadline(CALL_TIMEOUT);
        let key = environment.key().context("there is an API key")?.to_owned();
        Ok(Self { grpc: server.address(), http: server.http_address(), ops: server.ops_address(), client, key })
    }

    /// Makes calls for this time, and reports those that were refused or slow.
    pub(super) async fn call(
        self,
        time: Duration,
        environment: &Environment,
        run: &Run,
        report: &mut Report,
    ) -> Result<()> {
        let process = Process::of(environment.server(0)?)?;
        process.reset_peak()?;
        let mut kinds = JoinSet::new();
        for (kind, every) in KINDS {
            let honest = self.clone();
            kinds.spawn(async move { (kind, honest.repeat(kind, every, time).await) });
        }
        for (kind, calls) in kinds.join_all().await {
            judge(kind, &calls, run, report);
            report.operations += calls.len() as u64;
            report.acknowledged += calls.iter().filter(|call| call.is_ok()).count() as u64;
        }
        let peak = process.peak()?;
        report.expect(peak <= MAX_MEMORY, || format!("the service had {} MiB", peak / MIB));
        report.note(format!("the service had {} MiB at most", peak / MIB));
        report.broken.extend(environment.panics());
        Ok(())
    }

    /// Makes calls of one kind at a rate. Returns the time or the error of each.
    async fn repeat(self, kind: Kind, every: Duration, time: Duration) -> Vec<Result<Duration, String>> {
        let (began, mut calls, mut done) = (Instant::now(), JoinSet::new(), Vec::new());
        let mut ticks = tokio::time::interval(every);
        while began.elapsed() < time {
            ticks.tick().await;
            let honest = self.clone();
            calls.spawn(async move {
                let asked = Instant::now();
                match timeout(CALL_TIMEOUT, honest.once(kind)).await {
                    Ok(Ok(())) => Ok(asked.elapsed()),
                    Ok(Err(error)) => Err(format!("{error:#}")),
                    Err(_) => Err(format!("no answer within {CALL_TIMEOUT:?}")),
                }
            });
            while let Some(call) = calls.try_join_next() {
                done.extend(call.ok());
            }
        }
        done.extend(calls.join_all().await);
        done
    }

    async fn once(&self, kind: Kind) -> Result<()> {
        let refused = |refusal: access_tokens_testapp::Refusal| anyhow::anyhow!("{}", refusal.text());
        let named = json!({"access_token_identifier": {"authentication_code": CODE}});
        match kind {
            Kind::Show => self.client.try_call("ShowAccessToken", named).await.map(drop).map_err(refused),
            Kind::Check => {
                let credential = json!({"identifier": CODE, "pass_code": PASS_CODE});
                let request = json!({"access_token_identifier": {"credential": credential}});
                self.client.try_call("CheckPassCode", request).await.map(drop).map_err(refused)
            }
            Kind::Login => {
                let client = Client::over(channel(HONEST_ADDRESS, self.grpc)?).with_deadline(CALL_TIMEOUT);
                client.login_with_api_key(&self.key).await.map(drop).map_err(refused)
            }
            Kind::Http => {
                let body =
                    json!({"token": self.client.session(), "access_token_identifier": {"authentication_code": CODE}});
                over_http(self.http, "POST", "/v1/access_tokens/show", body.to_string()).await
            }
            Kind::Probe => {
                let mut health = HealthClient::new(channel(HONEST_ADDRESS, self.grpc)?);
                timeout(PROBE_TIMEOUT, health.check(HealthCheckRequest::default()))
                    .await
                    .context("no health in time")??;
                timeout(PROBE_TIMEOUT, over_http(self.ops, "GET", "/readyz", String::new()))
                    .await
                    .context("no readiness in time")?
            }
        }
    }
}

fn judge(kind: Kind, calls: &[Result<Duration, String>], run: &Run, report: &mut Report) {
    let times: Vec<_> = calls.iter().filter_map(|call| call.as_ref().ok().copied()).collect();
    let first = calls.iter().find_map(|call| call.as_ref().err());
    report.expect(times.len() * 100 >= calls.len() * MIN_SUCCESS_PERCENT, || {
        format!("{kind:?}: only {} of {} honest calls succeeded: {first:?}", times.len(), calls.len())
    });
    let p99 = percentile(&times, 99);
    let build = usize::from(!run.is_optimised());
    let limit = match kind {
        Kind::Show => SHOW_P99[build],
        // These calls open a new connection each time, and the retransmission of one packet costs a second.
        Kind::Check | Kind::Login | Kind::Http => CHECK_P99[build],
        Kind::Probe => PROBE_TIMEOUT,
    };
    report.expect(p99 <= limit, || format!("{kind:?}: 99 % of honest calls took {} ms", p99.as_millis()));
    report.note(format!("{kind:?}: {} of {} succeeded, 99 % within {} ms", times.len(), calls.len(), p99.as_millis()));
}

/// Sends a request over HTTP from the address of honest clients. A status other than 200 is an error.
async fn over_http(to: SocketAddr, verb: &str, path: &str, body: String) -> Result<()> {
    let request = http::request(verb, path, &[("connection", "close")], http::whole(body))?;
    let answer = Connection::over(connect(HONEST_ADDRESS, to).await?).await?.send(request).await?;
    anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
    Ok(())
}
