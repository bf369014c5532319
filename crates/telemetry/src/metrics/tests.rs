//! The text of the metrics, with names and values.

use std::collections::BTreeSet;

use access_tokens_domain::directory::{Classification, Organisation};
use access_tokens_domain::guess_budget::GuessBudget;
use access_tokens_domain::policy::Policy;
use access_tokens_domain::ports::HashQueue;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::service::PolicyBudget;
use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use access_tokens_secrets::HashingLoad;
use access_tokens_storage::{Connections, DatabaseOptions};
use tempfile::TempDir;

use super::*;

const SHOW: &str = "accesstoken.v1.AccessTokenService/ShowAccessToken";

/// Makes metrics with all possible values, and the directory of the files that are read with them.
fn full() -> (Metrics, TempDir) {
    let metrics = Metrics::new();
    let directory = tempfile::tempdir().expect("a directory");
    metrics.watch_certificate_reloads();
    metrics.watch_certificates(vec![certificate_file::tests::file(directory.path())]);
    metrics.watch_key(|| Timestamp::from_timestamp(1_800_000_000, 0));
    metrics.watch_upstream(|| true);
    metrics.upstream_call(SHOW, Code::Ok, Duration::from_millis(7));
    metrics.set_guess_limit(1e-3);
    metrics.watch_hashing(|| HashQueue::ALL.map(|queue| (queue, HashingLoad { running: 1, waiting: 2, refused: 3 })));
    metrics.watch_sqlite(|| Some((10, 4)));
    metrics.watch_sqlite_queue(|| Some(5));
    metrics.watch_reads(|| Some((7, 8)));
    metrics.watch_connections(|| vec![Connections { purpose: "readers", open: 3, idle: 1, max: 4 }]);
    metrics.watch_released(|| 6);
    metrics.watch_exports();
    metrics.watch_dropped(vec![std::sync::Arc::new(access_tokens_net::drop_counters::DropCounters::new("grpc"))]);
    metrics.set_tokens(vec![(LifeCycleState::Effective, 7), (LifeCycleState::NotEffective, 0)]);
    metrics.locked(SecretKind::PassCode);
    metrics.imported("created", 8);
    metrics.set_guess_bounds(of_policies("DEMO", &[]));
    metrics.call(SHOW, Code::Ok, Duration::from_millis(7));
    (metrics, directory)
}

/// Adds the bounds of an organisation with the default policy, and of classifications of these names with the same
/// policy.
fn of_policies(organisation: &str, classifications: &[&str]) -> GuessBounds {
    let mut reference = Reference::empty(Organisation::new("O", organisation));
    for (i, name) in classifications.iter().enumerate() {
        let (id, policy) = (format!("C{i}"), Some(Policy::default()));
        let one =
            Classification { id: id.clone(), name: Some((*name).to_owned()), policy, ..Classification::default() };
        reference.classifications.insert(id, one);
    }
    let mut bounds = GuessBounds::default();
    bounds.add(organisation, PolicyBudget::all(&reference, 0.0));
    bounds
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|one| one == line)
}

#[test]
fn the_table_names_what_there_is() {
    let table = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    let row = |line: &'static str| {
        let (name, rest) = line.split_once("` | ").expect("a name");
        (name.to_owned(), rest.split(' ').next().expect("a kind").to_owned())
    };
    let documented: BTreeSet<_> = table.map(row).collect();
    let (metrics, _files) = full();
    let text = metrics.text();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let found: BTreeSet<_> = families.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    assert_eq!(found, documented);
    for (name, _) in &found {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description");
    }
}

#[test]
fn values_are_written_as_prometheus_reads_them() {
    let (metrics, _files) = full();
    metrics.attempt(SecretKind::PassCode, AttemptOutcome::Wrong);
    metrics.attempt(SecretKind::PassCode, AttemptOutcome::Wrong);
    metrics.issue(SecretKind::OneTimePassword, false);
    let text = metrics.text();
    for line in [
        &*format!("access_tokens_build_info{{version=\"{VERSION}\"}} 1"),
        "access_tokens_attempts_total{kind=\"PASS_CODE\",outcome=\"wrong\"} 2",
        "access_tokens_attempts_total{kind=\"PASS_CODE\",outcome=\"right\"} 0",
        "access_tokens_codes_total{kind=\"ONE_TIME_PASSWORD\",outcome=\"refused\"} 1",
        "access_tokens_codes_total{kind=\"ONE_TIME_PASSWORD\",outcome=\"admitted\"} 0",
        "access_tokens_guess_bound_dropped 0",
        "access_tokens_guess_limit 0.001",
        "access_tokens_hashing_running{queue=\"authenticated\"} 1",
        "access_tokens_hashing_waiting{queue=\"known_login\"} 2",
        "access_tokens_hashing_refused_total{queue=\"anonymous_login\"} 3",
        "access_tokens_sqlite_units_total 10",
        "access_tokens_sqlite_commits_total 4",
        "access_tokens_sqlite_waiting 5",
        "db_client_connection_count{db_client_connection_pool_name=\"readers\",db_client_connection_state=\"idle\"} 1",
        "db_client_connection_count{db_client_connection_pool_name=\"readers\",db_client_connection_state=\"used\"} 2",
        "db_client_connection_max{db_client_connection_pool_name=\"readers\"} 4",
        "access_tokens_sessions_released 6",
        "access_tokens_tokens{state=\"EFFECTIVE\"} 7",
        "access_tokens_tokens{state=\"NOT_EFFECTIVE\"} 0",
        "access_tokens_locks_total{kind=\"PASS_CODE\"} 1",
        "access_tokens_locks_total{kind=\"ONE_TIME_PASSWORD\"} 0",
        "access_tokens_imported_total{outcome=\"created\"} 8",
        "access_tokens_imported_total{outcome=\"failed\"} 0",
    ] {
        assert!(has(&text, line), "{line} is not in:\n{text}");
    }
    let chance = GuessBudget::of(&Policy::default()).chance();
    let line = format!("access_tokens_guess_bound{{classification=\"\",organisation=\"DEMO\"}} {chance}");
    assert!(has(&text, &line), "{line} is not in:\n{text}");
}

#[test]
fn a_histogram_counts_upwards_to_infinity() {
    let metrics = Metrics::new();
    for milliseconds in [1, 7, 7, 60_000] {
        metrics.call(SHOW, Code::NotFound, Duration::from_millis(milliseconds));
    }
    let text = metrics.text();
    let labels = format!("rpc_grpc_status_code=\"5\",rpc_method=\"{SHOW}\"");
    for (bound, count) in [("0.001", 1), ("0.005", 1), ("0.01", 3), ("30", 3), ("+Inf", 4)] {
        let line = format!("rpc_server_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}");
        assert!(has(&text, &line), "{line} is not in:\n{text}");
    }
    assert!(has(&text, &format!("rpc_server_duration_seconds_count{{{labels}}} 4")), "{text}");
    assert!(has(&text, &format!("rpc_server_duration_seconds_sum{{{labels}}} 60.015")), "{text}");
}

#[test]
fn names_of_organisations_cannot_break_the_text() {
    let metrics = Metrics::new();
    metrics.set_guess_bounds(of_policies("a\"} 1\nb\\", &["ümlaut {x}"]));
    let text = metrics.text();
    for classification in ["", "ümlaut {x}"] {
        let labels = format!(r#"{{classification="{classification}",organisation="a\"}} 1\nb\\"}}"#);
        assert!(text.contains(&format!("access_tokens_guess_bound{labels} 0.0")), "{labels} is not in:\n{text}");
    }
}

#[test]
fn values_that_no_longer_exist_are_not_shown() {
    let (metrics, _files) = full();
    assert!(metrics.text().contains("organisation=\"DEMO\""));
    metrics.set_guess_bounds(of_policies("OTHER", &[]));
    let text = metrics.text();
    assert!(text.contains("organisation=\"OTHER\"") && !text.contains("DEMO"), "{text}");
    metrics.set_guess_bounds(GuessBounds::default());
    assert!(!metrics.text().contains("organisation="));
}

#[test]
fn there_are_a_hundred_bounds_at_most() {
    let names: Vec<_> = (0..120).map(|i| format!("card {i}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut bounds = of_policies("DEMO", &names);
    assert_eq!((bounds.series.len(), bounds.dropped), (100, 21));
    bounds.add("OTHER", PolicyBudget::all(&Reference::empty(Organisation::new("O", "OTHER")), 0.0));
    assert_eq!((bounds.series.len(), bounds.dropped), (100, 22));
    assert_eq!(of_policies("DEMO", &["card", "card"]).series.len(), 2, "of one name there is one");
}

#[tokio::test]
async fn the_first_organisations_are_the_ones_that_are_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let database = access_tokens_storage::connect(&DatabaseOptions::new(url)).await.expect("a database");
    database.migrate().await.expect("migrated");
    for i in (0..103).rev() {
        let organisation = Organisation::new(format!("O{i}"), format!("N{i:03}"));
        database.ensure_organisation(&organisation).await.expect("created");
    }
    let bounds = GuessBounds::of(&database).await.expect("answered");
    assert_eq!((bounds.series.len(), bounds.dropped), (100, 3));
    assert_eq!(bounds.series.keys().next(), Some(&("N003".to_owned(), String::new())));
}

#[test]
fn a_gateway_shows_nothing_of_a_service() {
    let text = Metrics::exported_of_gateway().text();
    for name in ["access_tokens_build_info", "process_cpu_seconds_total", "process_open_fds"] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is not in:\n{text}");
    }
    for name in ["attempts", "codes", "locks", "imported", "guess", "tokens_tokens"] {
        assert!(!text.contains(name), "{name} is in:\n{text}");
    }
}

#[test]
fn nothing_of_another_database_is_shown() {
    let metrics = Metrics::new();
    metrics.watch_sqlite(|| None);
    assert!(!metrics.text().contains("sqlite"));
}
