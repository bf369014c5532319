//! Reads from replicas of a real cluster: on loopback, delayed, disconnected, left behind.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use access_tokens_domain::access_token::{AccessToken, Precondition, TokenChanges};
use access_tokens_domain::identifier::TokenKey;
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::{OwnerJoins, ReadConsistency, ReadOptions, Store};
use access_tokens_storage::{Database, DatabaseOptions, Replicas, connect};
use access_tokens_testkit::postgres::Cluster;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;

use crate::common::{organisation, stamp, token};

const REPLICATION_TIMEOUT: Duration = Duration::from_secs(20);
/// Several polls of the replicas.
const SEVERAL_POLLS: Duration = Duration::from_millis(500);

/// A primary, a standby, and a process that reads from it.
struct Stage {
    primary: Cluster,
    standby: Cluster,
    url: String,
    database: Database,
    replicas: Arc<Replicas>,
    organisation: OrganisationKey,
}

impl Stage {
    async fn set(max_lag: Duration) -> Self {
        let (primary, standby, url) = block_in_place(|| {
            let primary = Cluster::start().expect("a primary");
            let url = primary.create_database().expect("a database");
            let standby = primary.standby().expect("a standby");
            (primary, standby, url)
        });
        let options = DatabaseOptions {
            replica_urls: vec![standby.instead(&primary, &url)],
            replica_max_lag: max_lag,
            ..DatabaseOptions::new(&url)
        };
        let database = connect(&options).await.expect("connects");
        database.migrate().await.expect("migrates");
        let organisation = organisation(&database, "DEMO").await;
        database.insert_token(organisation, &token("T")).await.expect("written");
        let replicas = database.replicas().expect("replicas");
        let stage = Self { primary, standby, url, database, replicas, organisation };
        stage.until_it_is_used().await;
        stage
    }

    fn caller(&self, user: &str) -> Caller {
        let (organisation, permissions) = (self.organisation, Permissions::all());
        Caller { organisation, user: Some(user.to_owned()), unit: None, permissions }
    }

    /// Returns the token as a call of this caller reads it, and whether a replica has answered.
    async fn shown(&self, user: &str, after: Option<&str>) -> (String, bool) {
        let (_, before) = self.replicas.read_counts();
        let consistency = self.replicas.consistency(&self.caller(user), after);
        let shown = masked(&self.database, self.organisation, consistency).await;
        let (_, now) = self.replicas.read_counts();
        (shown, now > before)
    }

    /// Writes as a call would. Returns the text that the caller may send with later calls.
    async fn write(&self, user: &str, mask: &str) -> String {
        let writing = self.replicas.begin_write(&self.caller(user));
        let changes = TokenChanges { card_masked_number: Some(Some(mask.to_owned())), ..TokenChanges::default() };
        let (precondition, by) = (Precondition::default(), stamp(1));
        let updated = self.database.update_token(self.organisation, "T", &precondition, &changes, Some(&by));
        updated.await.expect("written").expect("there");
        writing.finish().await.expect("the primary knows where it is")
    }

    async fn until_it_is_used(&self) {
        let start = Instant::now();
        while !self.shown("nobody", None).await.1 {
            assert!(start.elapsed() < REPLICATION_TIMEOUT, "the replica is not used");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn masked(database: &Database, organisation: OrganisationKey, consistency: ReadConsistency) -> String {
    let read = ReadOptions { consistency, call: None };
    let found =
        database.find_token(organisation, TokenKey::Id("T"), OwnerJoins::ALL, read).await.expect("answered").found;
    let AccessToken { card_masked_number, .. } = found.expect("there").token;
    card_masked_number.unwrap_or_default()
}

fn is(mask: &str, replica: bool) -> (String, bool) {
    (mask.to_owned(), replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn own_writes_are_seen_and_those_of_others_as_soon_as_the_replica_has_them() {
    let stage = Stage::set(Duration::from_secs(60)).await;
    stage.write("a", "old").await;
    block_in_place(|| stage.standby.wait_for_replay(&stage.primary)).expect("replayed");
    tokio::time::sleep(SEVERAL_POLLS).await;
    assert_eq!(stage.shown("a", None).await, is("old", true));
    let before = stage.replicas.read_counts();

    block_in_place(|| stage.standby.pause_replay()).expect("paused");
    let after = stage.write("a", "new").await;
    assert_eq!(stage.shown("a", None).await, is("new", false), "a caller's own write");
    assert_eq!(stage.shown("b", None).await, is("old", true), "it came from the replica");
    assert_eq!(stage.shown("b", Some(&after)).await, is("new", false), "what another process has written");
    assert_eq!(stage.shown("b", Some("nonsense")).await, is("new", false), "an unknown text is safe");
    let decides = masked(&stage.database, stage.organisation, ReadConsistency::Strong).await;
    assert_eq!(decides, "new", "a strong read is made from the primary");
    let (primary, replica) = stage.replicas.read_counts();
    assert_eq!((primary - before.0, replica - before.1), (4, 1), "reads from the primary and from the replica");

    // An aborted call may have written.
    drop(stage.replicas.begin_write(&stage.caller("c")));
    assert_eq!(stage.shown("d", None).await, is("new", false), "the written position is unknown");
    tokio::time::sleep(SEVERAL_POLLS).await;
    assert_eq!(stage.shown("d", None).await, is("new", false), "the replica does not have it yet");

    block_in_place(|| stage.standby.resume_replay()).expect("resumed");
    stage.until_it_is_used().await;
    for user in ["a", "b", "d"] {
        assert_eq!(stage.shown(user, Some(&after)).await, is("new", true), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_late_is_not_read_from() {
    let stage = Stage::set(SEVERAL_POLLS).await;
    tokio::time::sleep(3 * SEVERAL_POLLS).await;
    assert_eq!(stage.shown("b", None).await, is("", true), "where nothing is written, nothing is late");
    block_in_place(|| stage.standby.pause_replay()).expect("paused");
    stage.write("a", "new").await;
    tokio::time::sleep(2 * SEVERAL_POLLS).await;
    assert_eq!(stage.shown("b", None).await, is("new", false));
    block_in_place(|| stage.standby.resume_replay()).expect("resumed");
    stage.until_it_is_used().await;
    assert_eq!(stage.shown("b", None).await, is("new", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_makes_no_read_fail() {
    let stage = Stage::set(Duration::from_secs(60)).await;
    for stop in [Cluster::freeze, Cluster::kill] {
        block_in_place(|| stop(&stage.standby)).expect("stopped");
        let (asked, database, organisation) = (Instant::now(), stage.database.clone(), stage.organisation);
        let read =
            tokio::spawn(async move { masked(&database, organisation, ReadConsistency::BoundedStaleness).await });
        let (shown, took) = (read.await, asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let asked_again = Instant::now();
        let (_, used) = stage.shown("b", None).await;
        let took_again = asked_again.elapsed();
        // First, because a frozen process would not end.
        block_in_place(|| stage.standby.kill().and_then(|()| stage.standby.resume())).expect("started");
        assert_eq!(shown.expect("answered"), "");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(!used && took_again < Duration::from_secs(1), "it is known to be gone: {took_again:?}");
        stage.until_it_is_used().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_of_another_history_is_not_read_from() {
    let stage = Stage::set(Duration::from_secs(60)).await;
    // A second standby becomes a primary. The replica keeps following the old primary, which keeps writing.
    let new = block_in_place(|| {
        let new = stage.primary.standby().expect("a second standby");
        new.wait_for_replay(&stage.primary).expect("replayed");
        new.promote().expect("promoted");
        new
    });
    for mask in ["x", "y", "z"] {
        stage.write("a", mask).await;
    }
    let _ = stage.database.close().await;
    let follow = async |primary: &Cluster, replica: &Cluster| {
        let options = DatabaseOptions {
            replica_urls: vec![replica.instead(&stage.primary, &stage.url)],
            replica_max_lag: Duration::from_secs(60),
            ..DatabaseOptions::new(primary.instead(&stage.primary, &stage.url))
        };
        let database = connect(&options).await.expect("connects");
        let replicas = database.replicas().expect("replicas");
        tokio::time::sleep(4 * SEVERAL_POLLS).await;
        masked(&database, stage.organisation, ReadConsistency::BoundedStaleness).await;
        replicas.read_counts().1 > 0
    };
    assert!(follow(&stage.primary, &stage.standby).await, "it has followed all the time");
    assert!(!follow(&new, &stage.standby).await, "it has another history");
    assert!(!follow(&stage.primary, &new).await, "it does not follow");
    assert!(!follow(&new, &new).await, "it is the primary itself");
    let stranger = block_in_place(|| {
        let stranger = Cluster::start().expect("a cluster");
        stranger.create_database().expect("a database of the same name");
        stranger
    });
    assert!(!follow(&stage.primary, &stranger).await, "it is another database");
}

/// A load balancer leads each new connection to another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_one_url_only_the_server_that_is_known_is_read_from() {
    let stage = Stage::set(Duration::from_secs(60)).await;
    let other = block_in_place(|| stage.primary.standby()).expect("a second standby");
    stage.write("a", "old").await;
    block_in_place(|| {
        other.wait_for_replay(&stage.primary)?;
        other.pause_replay()
    })
    .expect("left behind");
    stage.write("a", "new").await;
    block_in_place(|| stage.standby.wait_for_replay(&stage.primary)).expect("replayed");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let servers = [stage.standby.port(), other.port()];
    tokio::spawn(async move {
        for server in servers.into_iter().cycle() {
            let Ok((mut client, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    let balanced = stage.url.replace(&stage.primary.port().to_string(), &port.to_string());
    let options = DatabaseOptions {
        replica_urls: vec![balanced],
        replica_max_lag: Duration::from_secs(60),
        ..DatabaseOptions::new(&stage.url)
    };
    let database = connect(&options).await.expect("connects");
    let replicas = database.replicas().expect("replicas");
    let (start, mut old) = (Instant::now(), 0);
    // The first connection, which polls the position, has led to the server that has everything.
    while replicas.read_counts().1 < 40 && start.elapsed() < REPLICATION_TIMEOUT {
        let reads = (0..6).map(|_| masked(&database, stage.organisation, ReadConsistency::BoundedStaleness));
        let shown = futures_of(reads).await;
        old += shown.iter().filter(|mask| *mask != "new").count();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, answered) = replicas.read_counts();
    assert!(
        old == 0 && answered >= 40,
        "{old} reads came from the server that is not known, {answered} from a replica"
    );
}

/// Runs all at the same time, so that each needs its own connection.
async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = one.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn urls_that_are_none_are_refused_without_being_repeated() {
    for url in ["sqlite://x", "postgres://u:hunter2@h:nonsense/d", "postgres://u:hunter2@h/d?sslmode=disable"] {
        let options = DatabaseOptions {
            replica_urls: vec![url.to_owned()],
            ..DatabaseOptions::new(access_tokens_testkit::postgres::create_database())
        };
        let refused = connect(&options).await.err().expect(url).to_string();
        assert!(!refused.contains("hunter2") && !refused.contains("nonsense"), "{refused}");
    }
}
