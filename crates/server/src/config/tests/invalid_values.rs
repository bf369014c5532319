//! Tests each setting with invalid values. Each value is refused with the name of the setting, or is listed here with the reason why it is
//! accepted.

use std::ffi::OsString;

use super::super::*;

const NUMBER: [&str; 5] = ["loud", "-1", "99999999999999999999", "1.5", "0x10"];
const FRACTION: [&str; 5] = ["loud", "nan", "inf", "-0.1", "1e400"];
const SWITCH: [&str; 5] = ["perhaps", "2", "-1", "truee", "null"];
const ADDRESS: [&str; 5] = ["localhost", "127.0.0.1", "127.0.0.1:99999", "300.0.0.1:1", ":8080"];
const FILE: [&str; 5] = ["a\nb", "directory/", ".", "/", " blank"];
const NETWORKS: [&str; 5] = ["loud", "10.0.0.0/33", "10.0.0.0/8,,::1", "10.0.0", "/8"];
const CHOICE: [&str; 5] = ["maybe", "Optional ", "1", "true", "-"];
const PAIRS: [&str; 5] = ["loud", "=x", "x=%ff", "a=b,loud", ",x"];
const TEXT: [&str; 5] = ["a\nb", " a", "a ", "a\u{7f}", "\u{1}"];

/// Returns invalid values of a setting.
fn invalid_values(key: &str) -> Vec<&'static str> {
    let special: &[&'static str] = match key {
        "time_zone" => &["Atlantis", "UTC+25", "Europe/", "0", "+02:00:99"],
        "database.url" => &[
            "loud",
            "sqlite://",
            "sqlite::memory:",
            "mysql://h/d",
            "postgres://h:99999/d",
            "postgres://h/d?sslmode=loud",
            "postgres://h1,,h2/d",
            "postgres://h1,h2/d?target_session_attrs=standby",
            "postgres://h1,h2/d?target_session_attrs=loud",
            "sqlite:///dir/",
        ],
        "database.schema" => &["pg_tokens", "information_schema", "a\nb", " a", SIXTY_FOUR],
        "database.replica_urls" => &[
            "loud",
            "mysql://h/d",
            "postgres://h:99999/d",
            "postgres://a/d,",
            "postgres://a/d,postgres://a/d",
            "postgres://a,,b/d",
            "postgres://a,b/d?target_session_attrs=read-write",
        ],
        "grpc.tls.identities" => &["loud", "[1]", "[{subject='a'}]", "{}", "[{subject='',organisation='b',user='c'}]"],
        "gateway.release" => &["loud", "18", "R99.0.0", "R0", "R18.0.1", "R4.9.9", "R18.x"],
        "keys.ring" => &["loud", "a b", "a AAAA", "toolongid AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", ","],
        "notifications.webhook" => &["loud", "ftp://h/", "http://", "http://h:99999/", "http://u:p@h/", "https://h/"],
        "notifications.secret" => {
            &["short", "0123456789012345678901234567890", ONES, "        ", "abababababababababababababababab"]
        }
        "log.format" => &["loud", "JSON ", "text", "1", "true"],
        "log.level" => &["loud", "info,loud", "h2=loud", "access_tokens_server", "info,,warn"],
        "telemetry.endpoint" => &["loud", "ftp://h", "http://h:0", "http://h/v1/traces", "http://u:p@h"],
        _ => &[],
    };
    if !special.is_empty() {
        return special.to_vec();
    }
    let kind = match key {
        "grpc.listen" | "http.listen" | "ops.listen" => ADDRESS,
        "policy.max_guess_chance" | "telemetry.sampling_ratio" => FRACTION,
        "telemetry.headers" | "telemetry.attributes" => PAIRS,
        "telemetry.service_name" => TEXT,
        "database.migrate_at_start" | "grpc.reflection" | "http.docs" => SWITCH,
        _ if key.ends_with("allow_plain_text") => SWITCH,
        _ if key.ends_with("client_auth") => CHOICE,
        _ if key.ends_with("trusted_proxies") || key.ends_with("networks") => NETWORKS,
        "keys.file" => FILE,
        _ if [".certificate", ".key", "ca"].iter().any(|end| key.ends_with(end)) => FILE,
        _ => NUMBER,
    };
    kind.to_vec()
}

const SIXTY_FOUR: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ONES: &str = "11111111111111111111111111111111111111111111111111";

/// Values that look invalid and are accepted, each with the reason.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("grpc.listen", "127.0.0.1:0", "the system chooses a free port, and the log names it"),
    ("http.listen", "127.0.0.1:0", "the system chooses a free port, and the log names it"),
    ("ops.listen", "127.0.0.1:0", "the system chooses a free port, and the log names it"),
    ("keys.file", "/nowhere/keys", "`keys init` makes it; every other command names a file that does not exist"),
    ("database.url", "sqlite:///nowhere/a.db", "the first command makes it, or says that its directory does not exist"),
    ("database.url", "postgres://h/d?unknown=1", "the driver ignores it, and the log counts such parameters"),
    (
        "database.url",
        "postgres://no.such.host/d",
        "names are resolved when a connection is opened; doctor names the cause",
    ),
    (
        "gateway.release",
        "R17.3.0",
        "there are more releases than the documentation names; each is compared by its numbers",
    ),
    ("gateway.trusted_proxies", "0.0.0.0/0", "all callers come through proxies in some networks"),
    ("log.level", "no_such_part=debug", "parts of libraries come and go with their versions"),
    ("log.level", "off", "it says that there is no log"),
    (
        "notifications.secret",
        "0123456789abcdef0123456789abcdef",
        "without a webhook: one file serves installations with and without",
    ),
    ("process.workers", "1024", "more threads than cores are slow, and not wrong"),
    ("database.migrate_at_start", "1", "variables may say 1, on or yes for true, as in earlier releases"),
];

/// Settings that may be empty. All others refuse an empty value.
const MAY_BE_EMPTY: &[&str] = &[
    "database.replica_urls",
    "grpc.trusted_proxies",
    "grpc.tls.certificate",
    "grpc.tls.key",
    "grpc.tls.client_ca",
    "grpc.tls.identities",
    "http.listen",
    "http.tls.certificate",
    "http.tls.key",
    "http.tls.client_ca",
    "gateway.trusted_proxies",
    "gateway.upstream.ca",
    "gateway.upstream.certificate",
    "gateway.upstream.key",
    "ops.listen",
    "ops.tls.certificate",
    "ops.tls.key",
    "ops.tls.client_ca",
    "keys.ring",
    "notifications.webhook",
    "notifications.secret",
    "webhooks.allowed_networks",
    "telemetry.endpoint",
    "telemetry.headers",
    "telemetry.service_name",
    "telemetry.attributes",
    "telemetry.collector.ca",
    "telemetry.collector.certificate",
    "telemetry.collector.key",
];

fn all() -> Vec<String> {
    let loaded = LoadedSettings::load(None, [], &[]).expect("the defaults");
    loaded.origins().map(|(key, _)| key.to_owned()).collect()
}

fn with_variable(key: &str, value: &str) -> Result<LoadedSettings, ConfigError> {
    // SQLite has no replicas, so that the URL is one of PostgreSQL.
    let postgres = (key == "database.replica_urls").then_some(("database.url", "postgres://h/d"));
    let given = [(key, value)].into_iter().chain(postgres);
    LoadedSettings::load(
        None,
        given.map(|(key, value)| (environment::variable(key).into(), OsString::from(value))),
        &[],
    )
}

#[test]
fn every_setting_refuses_invalid_values() {
    for key in all() {
        let values = invalid_values(&key);
        assert!(values.len() >= 5, "{key}");
        for value in values {
            let Err(error) = with_variable(&key, value) else { panic!("{key} = {value:?} is accepted") };
            let named = format!("{key} ({})", environment::variable(&key));
            assert!(error.problems().iter().any(|one| one.starts_with(&named)), "{key} = {value:?}: {error}");
            let secret = ["keys.ring", "notifications.secret", "telemetry.headers"].contains(&key.as_str());
            assert!(!secret || value.len() < 5 || !error.to_string().contains(value), "{error}");
        }
    }
}

#[test]
fn every_setting_refuses_values_of_other_types() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access-tokens.toml");
    for key in all() {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
        let text = invalid_values(&key) != NUMBER && invalid_values(&key) != FRACTION && invalid_values(&key) != SWITCH;
        for literal in ["true", "7", "1.5", "\"loud nonsense\"", "[7]", "{ a = 1 }", "1979-05-27"] {
            let own = match literal {
                "true" => invalid_values(&key) == SWITCH,
                "7" => invalid_values(&key) == NUMBER,
                // A date is a text to settings. Other tests try invalid texts.
                "\"loud nonsense\"" | "1979-05-27" => text,
                _ => false,
            };
            if own {
                continue;
            }
            let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
            std::fs::write(&path, format!("{header}{name} = {literal}\n")).expect("written");
            let Err(error) = LoadedSettings::load(Some(&path), [], &[]) else {
                panic!("{key} = {literal} is accepted")
            };
            assert!(error.to_string().contains(&key), "{key} = {literal}: {error}");
        }
    }
}

#[test]
fn an_empty_value_is_refused_unless_it_means_none() {
    for key in all() {
        let empty = LoadedSettings::load(None, [], &[format!("{key}=")]);
        assert_eq!(empty.is_ok(), MAY_BE_EMPTY.contains(&key.as_str()), "{key}: {:?}", empty.err());
    }
}

#[test]
fn unusual_accepted_values_have_a_reason() {
    for (key, value, reason) in ACCEPTED {
        assert!(!reason.is_empty(), "{key}");
        if let Err(error) = with_variable(key, value) {
            panic!("{key} = {value:?} is refused, and should not be since {reason}: {error}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let flags = ["grpc.listen=x", "log.level=loud", "gateway.release=R99", "database.max_connections=1", "nonsense=1"];
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let error = LoadedSettings::load(None, [], &flags).expect_err("five problems");
    let named = |name: &str| error.problems().iter().filter(|one| one.starts_with(name)).count();
    for name in [
        "grpc.listen (--set)",
        "log.level (--set)",
        "gateway.release (--set)",
        "database.max_connections (--set)",
        "nonsense (--set)",
    ] {
        assert_eq!(named(name), 1, "{name}: {error}");
    }
    assert_eq!(error.problems().len(), 5, "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_with_a_value_is_bounded_and_private() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("value");
    let text = path.to_str().expect("text");
    for key in all() {
        let variable = format!("{}_FILE", environment::variable(&key));
        let load = |file: &str| LoadedSettings::load(None, [(OsString::from(&variable), OsString::from(file))], &[]);
        std::fs::write(&path, "hunter2 hunter2").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        // The setting `keys.file` and the file with its value have different names.
        let error = load(text).expect_err(&key).to_string();
        assert!(error.contains(&key) && error.contains("chmod 600") && !error.contains("hunter2"), "{error}");
        let error = load("/dev/zero").expect_err(&key).to_string();
        assert!(error.contains(&key), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        std::fs::write(&path, "a".repeat(2_000_000)).expect("written");
        let error = load(text).expect_err(&key).to_string();
        assert!(error.contains(&key) && error.contains("more than 1048576 bytes"), "{error}");
    }
}
