//! Runs of a few seconds, of different contestants in turn, so that other load of the machine affects all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use access_tokens_testapp::process::free_address;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::task::block_in_place;

use crate::cpu::CpuOwner;
use crate::environment::{Environment, Process};
use crate::load::{self, Call, Tally, Transport};
use crate::scenario::{Scenario, Script};
use crate::{bare_sql, http1, rpc};

const WARM_UP_TIME: Duration = Duration::from_millis(300);
/// Number of callers that keep the service hashing.
const HASHING_CALLERS: usize = 8;
const PEER_KEY: &str = "the peer's key";

/// A contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// The service.
    Service,
    /// A server that answers every call with the same bytes.
    Empty,
    /// The Go peer: a server in Go with two of the methods.
    Peer,
    /// The Go peer that reads its reference data once and never again.
    RememberingPeer,
    /// The SQL of the call alone, run by pgbench or by the library of SQLite.
    Sql,
}

/// The mode in which calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loop {
    /// This number of concurrent calls.
    Closed(usize),
    /// This number of calls per second.
    Open(u32),
}

/// The scenario, mode and contestant of a run.
pub(crate) type Subject = (Scenario, Loop, Contestant);

/// The measurements of a run. CPU times are in microseconds per call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) rate: f64,
    pub(crate) server: f64,
    pub(crate) database: f64,
    pub(crate) generator: f64,
    pub(crate) size: f64,
    pub(crate) bad: BTreeMap<u16, u64>,
    pub(crate) latency: Option<Histogram<u64>>,
}

/// All contestants, on one database.
pub(crate) struct Contestants {
    pub(crate) environment: Environment,
    empty: Process,
    /// Peers, each with its session.
    peers: BTreeMap<Contestant, (Process, String)>,
    runs: u64,
}

impl Contestants {
    /// Starts the contestants that are compared with the service.
    pub(crate) async fn start(environment: Environment, peer: Option<PathBuf>) -> Result<Self> {
        let size = answer_size(&environment).await?;
        let address = free_address();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-empty", "--listen", &address.to_string(), "--size", &size.to_string()]);
        let mut empty = Process::start(&mut command, address, &environment.directory().join("empty.log"))?;
        empty.wait_until_it_answers("", &any_show(&environment)).await?;
        let mut peers = BTreeMap::new();
        if let Some(binary) = peer.filter(|_| environment.cluster().is_some()) {
            for peer in [Contestant::Peer, Contestant::RememberingPeer] {
                peers.insert(peer, start_peer(&environment, peer, &binary, size).await?);
            }
        }
        if let Some(cluster) = environment.cluster() {
            let database = environment.url()?.1;
            let Environment { sql, tokens, .. } = &environment;
            block_in_place(|| bare_sql::write_scripts(sql, cluster, &database, *tokens, environment.directory()))?;
        }
        Ok(Self { environment, empty, peers, runs: 0 })
    }

    /// Makes one run.
    pub(crate) async fn run(&mut self, subject: Subject, time: Duration) -> Result<Sample> {
        let (scenario, mode, contestant) = subject;
        self.runs += 1;
        let (address, server, session) = match contestant {
            Contestant::Service => {
                (self.environment.server.address, self.environment.service(), self.environment.session.clone())
            }
            Contestant::Empty => (self.empty.address, CpuOwner::Process(self.empty.id()), String::new()),
            Contestant::Peer | Contestant::RememberingPeer => {
                let (peer, session) = self.peers.get(&contestant).context("there is no peer")?;
                (peer.address, CpuOwner::Process(peer.id()), session.clone())
            }
            Contestant::Sql => return block_in_place(|| self.sql(scenario, mode, time)),
        };
        let sample = if scenario == Scenario::GatewayShow {
            let client = http1::HttpClient::new(self.environment.installation().http_address());
            self.measured(&client, subject, server, time).await
        } else {
            let connections = match mode {
                Loop::Closed(calls) => (calls / 2).clamp(1, 8),
                Loop::Open(_) => 8,
            };
            let transport = rpc::GrpcClient::connect(address, connections, &session).await?;
            self.measured(&transport, subject, server, time).await
        }?;
        if !sample.bad.is_empty() {
            eprintln!("{subject:?}: answers that are not good: {:?}", sample.bad);
        }
        Ok(sample)
    }

    async fn measured(
        &self,
        transport: &impl Transport,
        subject: Subject,
        server: CpuOwner,
        time: Duration,
    ) -> Result<Sample> {
        self.calls(transport, subject, WARM_UP_TIME, 0).await?;
        let database = self.environment.database()?;
        let this = CpuOwner::Process(std::process::id());
        let cpu = || -> Result<[Duration; 3]> {
            let database = database.map_or(Ok(Duration::ZERO), CpuOwner::cpu)?;
            Ok([server.cpu()?, database, this.cpu()?])
        };
        let before = cpu()?;
        let tally = self.calls(transport, subject, time, self.runs).await?;
        let after = cpu()?;
        let calls = (tally.good + tally.bad.values().sum::<u64>()).max(1) as f64;
        let a_call = |at: usize| after[at].saturating_sub(before[at]).as_secs_f64() * 1e6 / calls;
        Ok(Sample {
            rate: tally.rate(),
            server: a_call(0),
            database: a_call(1),
            generator: a_call(2),
            size: tally.bytes as f64 / tally.good.max(1) as f64,
            bad: tally.bad,
            latency: Some(tally.latency),
        })
    }

    async fn calls(&self, transport: &impl Transport, subject: Subject, time: Duration, run: u64) -> Result<Tally> {
        let (scenario, mode, _) = subject;
        let (tokens, session) = (self.environment.tokens, &self.environment.session);
        let script = |scenario, workers| move |worker| Script::new(scenario, tokens, worker, workers, run, session);
        let beside = async {
            let hashers = if scenario == Scenario::ShowBesideHashing { HASHING_CALLERS } else { 0 };
            load::closed(transport, hashers, time, script(Scenario::PassCode, HASHING_CALLERS)).await
        };
        let asked = async {
            match mode {
                Loop::Closed(workers) => load::closed(transport, workers, time, script(scenario, workers)).await,
                Loop::Open(rate) => load::open(transport, f64::from(rate), time, script(scenario, 1)).await,
            }
        };
        let (beside, mut asked) = tokio::try_join!(beside, asked)?;
        // Refusals of the concurrent calls count as well, because a refusal costs less than an answer.
        asked.add_bad(&beside);
        Ok(asked)
    }

    fn sql(&self, scenario: Scenario, mode: Loop, time: Duration) -> Result<Sample> {
        if scenario == Scenario::PassCode {
            let server = bare_sql::argon2id(time)?.as_secs_f64() * 1e6;
            return Ok(Sample { rate: 1e6 / server, server, ..Sample::default() });
        }
        let Environment { sql, tokens, .. } = &self.environment;
        let Some(database) = self.environment.database()? else {
            let file = self.environment.file();
            let (cpu, rate) = match scenario {
                Scenario::Create => bare_sql::sqlite_inserts(sql, file, *tokens, time)?,
                _ => bare_sql::sqlite_join(sql, file, *tokens, time)?,
            };
            return Ok(Sample { rate, database: cpu.as_secs_f64() * 1e6, ..Sample::default() });
        };
        let Loop::Closed(connections) = mode else { anyhow::bail!("pgbench runs in a closed loop here") };
        let script = self.environment.directory().join(format!("{}.sql", scenario.name()));
        let before = database.cpu()?;
        let run = bare_sql::pgbench(&self.environment.url()?.0, &script, connections, time)?;
        let cpu = database.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / run.calls.max(1) as f64;
        Ok(Sample { rate: run.rate, database: cpu, ..Sample::default() })
    }
}

/// Returns a call for one token, the same each time.
pub(crate) fn any_show(environment: &Environment) -> Call {
    Script::new(Scenario::Show, environment.tokens, 0, 1, 0, &environment.session).next_call()
}

async fn answer_size(environment: &Environment) -> Result<usize> {
    let (status, answer) = environment.caller(1).await?.unary(any_show(environment)).await?;
    ensure!(status == 0, "show answers {status}");
    Ok(answer.len())
}

async fn start_peer(
    environment: &Environment,
    who: Contestant,
    binary: &Path,
    size: usize,
) -> Result<(Process, String)> {
    let address: SocketAddr = free_address();
    let reference = if who == Contestant::RememberingPeer { "remembered" } else { "joined" };
    let mut command = Command::new(binary);
    command
        .env("PEER_DATABASE", environment.url()?.0)
        .env("PEER_KEY", PEER_KEY)
        .env("PEER_LISTEN", address.to_string());
    command.env("PEER_REFERENCE", reference);
    let mut peer = Process::start(&mut command, address, &environment.directory().join(format!("{reference}.log")))?;
    let session = peer_session()?;
    let call = any_show(environment);
    peer.wait_until_it_answers(&session, &call).await?;
    // A peer that answers less would be cheaper for that reason alone.
    let (_, answer) = rpc::GrpcClient::connect(address, 1, &session).await?.unary(call).await?;
    ensure!(answer.len().abs_diff(size) * 50 < size, "the peer answers {} bytes, not {size}", answer.len());
    Ok((peer, session))
}

fn peer_session() -> Result<String> {
    let payload = "bench-of-DEMO-until-tomorrow";
    let mut mac = Hmac::<Sha256>::new_from_slice(PEER_KEY.as_bytes())?;
    mac.update(payload.as_bytes());
    let tag: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{payload}.{tag}"))
}

/// The samples of each subject.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<Subject, Vec<Sample>>);

impl Results {
    /// Makes this number of rounds, each with a run of every subject.
    pub(crate) async fn collect(
        &mut self,
        contestants: &mut Contestants,
        subjects: &[Subject],
        rounds: usize,
        time: Duration,
    ) -> Result<()> {
        for round in 1..=rounds {
            let started = Instant::now();
            for subject in subjects {
                let sample = contestants.run(*subject, time).await.with_context(|| format!("{subject:?}"))?;
                self.0.entry(*subject).or_default().push(sample);
            }
            eprintln!("round {round} of {rounds}: {:.0} s", started.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Returns all subjects.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.0.keys()
    }

    /// Returns the median over the rounds.
    pub(crate) fn median(&self, subject: Subject, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.0.get(&subject)?.iter().map(of).collect())
    }

    /// Returns a quantile of the latency in microseconds: the median over the rounds.
    pub(crate) fn latency(&self, subject: Subject, quantile: f64) -> Option<f64> {
        let samples = self.0.get(&subject)?;
        let of = |latency: &Histogram<u64>| latency.value_at_quantile(quantile) as f64 / 1e3;
        median(samples.iter().filter_map(|sample| sample.latency.as_ref().map(of)).collect())
    }

    /// Returns the number of answers that were not good.
    pub(crate) fn bad(&self, subject: Subject) -> u64 {
        self.0.get(&subject).into_iter().flatten().flat_map(|sample| sample.bad.values()).sum()
    }
}

/// Returns the middle value.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
