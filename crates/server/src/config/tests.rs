//! Tests the merging of settings, and the refusal of wrong ones.

mod invalid_values;

use std::ffi::OsString;
use std::path::Path;

use access_tokens_domain::guess_budget::DEFAULT_LIMIT;
use access_tokens_gateway::GatewayConfig;
use access_tokens_net::tls::ClientAuth;
use access_tokens_storage::DatabaseOptions;
use access_tokens_telemetry::settings::LogFormat;

use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[&str]) -> Result<LoadedSettings, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access-tokens.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).expect("written");
    }
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    LoadedSettings::load(file.map(|_| path.as_path()), environment, &flags).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_valid_and_the_documented_ones() {
    let settings = load(None, &[("HOME", "/root")], &[]).expect("valid").settings;
    assert_eq!(settings.database.url.expose(), "sqlite://access-tokens.db");
    assert_eq!(settings.grpc.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(settings.keys.file, Path::new("access-tokens.keys"));
    assert_eq!(settings.log.format, LogFormat::Pretty);
    assert_eq!(settings.http.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(settings.gateway_config(), GatewayConfig::default());
    assert_eq!(settings.ops.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9090"));
    assert!(!settings.ops.allow_plain_text && settings.ops.tls.certificate.is_none());
    assert_eq!(settings.grpc.idle_seconds, 300);
    assert_eq!(settings.policy.max_guess_chance, DEFAULT_LIMIT);
    assert!(settings.notifications.webhook.is_none() && settings.notifications.secret.expose().is_empty());
    let ours = DatabaseOptions::new("");
    let options = settings.database.options();
    assert_eq!(options.postgres_connections, ours.postgres_connections);
    assert_eq!(options.sqlite_readers, ours.sqlite_readers);
    assert_eq!(options.acquire_timeout, ours.acquire_timeout);
    assert_eq!(options.statement_timeout, ours.statement_timeout);
    assert_eq!(options.lock_timeout, ours.lock_timeout);
}

#[test]
fn every_default_is_documented() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        assert!(lines[i - 1].starts_with('#'), "{line} has no comment");
    }
}

#[test]
fn later_layers_beat_earlier_ones() {
    let file =
        "[grpc]\nlisten = \"1.1.1.1:1\"\nmax_concurrent_requests = 1\nmax_connections = 1\n[log]\nformat = \"json\"";
    let environment =
        [("ACCESS_TOKENS__GRPC__MAX_CONCURRENT_REQUESTS", "2"), ("ACCESS_TOKENS__GRPC__MAX_CONNECTIONS", "2")];
    let loaded = load(Some(file), &environment, &["grpc.max_connections=3"]).expect("valid");
    let grpc = &loaded.settings.grpc;
    assert_eq!(
        (grpc.listen.to_string().as_str(), grpc.max_concurrent_requests, grpc.max_connections),
        ("1.1.1.1:1", 2, 3)
    );
    assert_eq!(loaded.settings.log.format, LogFormat::Json);
    let shown = loaded.describe();
    assert!(shown.contains("max_concurrent_requests = 2  # ACCESS_TOKENS__GRPC__MAX_CONCURRENT_REQUESTS"), "{shown}");
    assert!(shown.contains("max_connection_age_seconds = 1800  # default"), "{shown}");
    assert!(shown.contains("max_connections = 3  # --set"), "{shown}");
}

#[test]
fn a_chance_is_a_number_from_everywhere() {
    let file = |text: &str| load(Some(&format!("[policy]\nmax_guess_chance = {text}")), &[], &[]);
    let chance = |loaded: Result<LoadedSettings, String>| loaded.expect("valid").settings.policy.max_guess_chance;
    assert_eq!(chance(file("0.5")), 0.5);
    assert_eq!(chance(file("1")), 1.0);
    assert!(file("true").is_err());
    let loaded = load(None, &[("ACCESS_TOKENS__POLICY__MAX_GUESS_CHANCE", "1e-4")], &[]).expect("valid");
    assert!(loaded.describe().contains("max_guess_chance = 0.0001  # "), "{}", loaded.describe());
    assert_eq!(chance(Ok(loaded)), 1e-4);
}

#[test]
fn lists_are_lists_in_files_and_have_commas_elsewhere() {
    let file = "[http]\nlisten = \"\"\n[gateway]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
    let loaded = load(Some(file), &[], &[]).expect("valid");
    assert!(loaded.settings.http.listen.is_none());
    let (shown, list) = (loaded.describe(), loaded.settings.gateway.trusted_proxies);
    assert!(shown.contains("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]  # "), "{shown}");
    let variable = [("ACCESS_TOKENS__GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
    assert_eq!(load(None, &variable, &[]).expect("valid").settings.gateway.trusted_proxies, list);
    let none = load(Some(file), &[], &["gateway.trusted_proxies="]).expect("valid").settings;
    assert!(none.gateway.trusted_proxies.is_empty());
}

#[test]
fn the_file_may_come_from_the_environment_and_must_exist() {
    let error = load(None, &[(ENVIRONMENT_FILE, "/nowhere/file.toml")], &[]).expect_err("refused");
    assert!(error.contains("/nowhere/file.toml"), "{error}");
    load(None, &[(ENVIRONMENT_FILE, "")], &[]).expect("an empty variable is none");
}

#[test]
fn unknown_keys_are_named_all_at_once_with_where_they_come_from() {
    let environment = [
        ("ACCESS_TOKENS__GRPC__LISEN", "x"),
        ("ACCESS_TOKENS__GRPC", "x"),
        ("ACCESS_TOKENS__GRPC_LISTEN", "x"),
        ("ACCESS_TOKENS_GRPC__LISTEN", "hunter2"),
        ("ACCESS_TOKENS_WEBHOOK", "hunter2"),
        ("ACCESS_TOKENS_EMPTY", ""),
        ("ACCESS_TOKENS_SERVICE_HOST", "10.0.0.1"),
    ];
    let error = load(Some("[grpcc]\nlisten = 1\n[log]\nlevel.x = 1"), &environment, &["nonsense=1", "x"]);
    let error = error.expect_err("refused");
    for expected in [
        "grpcc.listen (",
        "log.level.x (",
        "grpc.lisen (ACCESS_TOKENS__GRPC__LISEN) is not a setting; known are grpc.allow_plain_text, grpc.idle_seconds,",
        "grpc (ACCESS_TOKENS__GRPC)",
        "nonsense (--set)",
        "--set takes key=value",
        "grpc_listen (ACCESS_TOKENS__GRPC_LISTEN) is not a setting; did you mean grpc.listen?",
        "the variable ACCESS_TOKENS_GRPC__LISTEN is not a setting; grpc.listen is ACCESS_TOKENS__GRPC__LISTEN",
        "the variable ACCESS_TOKENS_WEBHOOK is not a setting; settings begin with ACCESS_TOKENS__",
    ] {
        assert!(error.contains(expected), "{expected} is not in: {error}");
    }
    for silent in ["hunter2", "ACCESS_TOKENS_EMPTY", "SERVICE_HOST"] {
        assert!(!error.contains(silent), "{silent}: {error}");
    }
}

#[test]
fn two_listeners_with_one_port_are_both_named() {
    let refused = |flags: &[&str], gateway: bool| {
        load(None, &[], flags).expect("valid").with_distinct_ports(gateway).err().map(|error| error.to_string())
    };
    let error = refused(&["http.listen=0.0.0.0:50051", "ops.listen=[::]:50051"], false).expect("refused");
    for expected in ["http.listen (--set) and grpc.listen (default)", "ops.listen (--set) and grpc.listen (default)"] {
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(refused(&["grpc.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0"], false), None);
    assert_eq!(refused(&["http.listen=", "ops.listen=127.0.0.1:8080"], false), None);
    // The gateway has no gRPC listener.
    assert_eq!(refused(&["http.listen=127.0.0.1:50051"], true), None);
    assert_eq!(refused(&["http.listen=127.0.0.1:9090"], true), None);
    assert!(refused(&["http.listen=127.0.0.1:9091", "ops.listen=127.0.0.1:9091"], true).is_some());
}

#[test]
fn wrong_values_are_named_and_not_repeated() {
    for (key, value, what) in [
        ("grpc.listen", "localhost-hunter2", "an address and a port"),
        ("grpc.max_concurrent_requests", "hunter2", "a whole number"),
        ("grpc.max_concurrent_requests", "-1", "a whole number"),
        ("grpc.max_concurrent_requests", "0", "between 1 and"),
        ("database.max_connections", "1", "between 2 and 100"),
        ("database.url", "mysql://root:hunter2@host/x", "must begin with sqlite:// or postgres://"),
        ("http.listen", "hunter2", "an address and a port"),
        ("grpc.idle_seconds", "0", "between 1 and"),
        ("http.max_connections", "0", "between 1 and"),
        ("ops.listen", "hunter2", "an address and a port"),
        ("gateway.release", "hunter2", "a release"),
        ("time_zone", "hunter2", "a time zone"),
        ("gateway.timeout_ms", "0", "between 1 and"),
        ("gateway.trusted_proxies", "10.0.0.0/8,hunter2", "networks"),
        ("grpc.trusted_proxies", "10.0.0.0/40", "networks"),
        ("policy.max_guess_chance", "hunter2", "a number"),
        ("policy.max_guess_chance", "yes", "a number"),
        ("policy.max_guess_chance", "0", "above 0 and at most 1"),
        ("policy.max_guess_chance", "1.1", "above 0 and at most 1"),
        ("policy.max_guess_chance", "nan", "above 0 and at most 1"),
        ("notifications.webhook", "hunter2", "a URL, such as http://"),
        ("notifications.webhook", "http://u:hunter2@relay/", "a URL, such as http://"),
        ("notifications.webhook", "https://relay/hunter2", "a sidecar or a relay"),
        ("notifications.webhook", "http://10.0.0.1/hunter2", "webhooks.allowed_networks"),
        ("notifications.webhook", "http://relay/hunter2", "webhooks.allowed_networks"),
        ("notifications.secret", "hunter2", "at least 32 bytes"),
        ("notifications.secret", "whsec_hunter2", "base64 after whsec_"),
        ("webhooks.allowed_networks", "10.0.0.0/8,hunter2", "networks"),
        ("notifications.timeout_seconds", "0", "between 1 and"),
        ("notifications.queue_size", "0", "between 1 and"),
        ("telemetry.endpoint", "http://hunter2 ", "a URL, such as http://127.0.0.1:4317"),
        ("telemetry.endpoint", "http://u:hunter2@collector", "a URL of http or https with a host and nothing else"),
        ("telemetry.headers", "hunter2", "name=value"),
        ("telemetry.headers", "x=hunter2%0a", "name=value"),
        ("telemetry.attributes", "hunter2", "name=value"),
        ("telemetry.sampling_ratio", "1.1", "between 0 and 1"),
        ("telemetry.sampling_ratio", "hunter2", "a number"),
        ("log.format", "hunter2", "pretty or json"),
        ("log.level", "hunter2=hunter2", "must be a level"),
    ] {
        let variable = format!("ACCESS_TOKENS__{}", key.to_uppercase().replace('.', "__"));
        let error = load(None, &[(&variable, value)], &[]).expect_err(key);
        assert!(error.contains(key) && error.contains(&variable) && error.contains(what), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (flags, key, what) in [
        (&["grpc.tls.certificate=c"][..], "grpc.tls.certificate", "needs grpc.tls.key"),
        (&["http.tls.key=k"], "http.tls.key", "needs http.tls.certificate"),
        (&["gateway.upstream.key=k"], "gateway.upstream.key", "needs gateway.upstream.certificate"),
        (&["http.tls.client_ca=a"], "http.tls.client_ca", "needs http.tls.certificate"),
        (&["grpc.tls.client_auth=required"], "grpc.tls.client_auth", "needs grpc.tls.client_ca"),
        (&["grpc.tls.client_auth=maybe"], "grpc.tls.client_auth", "optional or required"),
        (&["grpc.tls.identities=hunter2"], "grpc.tls.identities", "a list of {"),
        (&["grpc.tls.identities=[{subject='a',organisation='b'}]"], "grpc.tls.identities", "a list of {"),
        (
            &["grpc.tls.identities=[{subject='a',organisation='b',user='c'}]"],
            "grpc.tls.identities",
            "needs grpc.tls.client_ca",
        ),
        (&["http.tls.identities=[]"], "http.tls.identities", "is not a setting"),
        (&["telemetry.collector.key=k"], "telemetry.collector.key", "needs telemetry.collector.certificate"),
        (&["ops.tls.certificate=c"], "ops.tls.certificate", "needs ops.tls.key"),
        (&["ops.tls.client_auth=maybe"], "ops.tls.client_auth", "optional or required"),
        (&["ops.tls.identities=[]"], "ops.tls.identities", "is not a setting"),
        (&["grpc.allow_plain_text=perhaps"], "grpc.allow_plain_text", "true or false"),
    ] {
        let error = load(None, &[], flags).expect_err(key);
        assert!(error.contains(&format!("{key} (--set)")) && error.contains(what), "{error}");
    }
    let mutual = ["grpc.tls.certificate=c", "grpc.tls.key=k", "grpc.tls.client_ca=a"];
    for (list, what) in [
        ("[{subject='CN=',organisation='b',user='c'}]", "must have a subject"),
        ("[{subject='a',organisation='b',user='c'},{subject='A',organisation='b',user='d'}]", "once"),
    ] {
        let list = format!("grpc.tls.identities={list}");
        let error = load(None, &[], &[&mutual[..], &[&list]].concat()).expect_err(what);
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn identities_are_tables_in_files_and_the_same_text_elsewhere() {
    let list = "[{ organisation = \"DEMO\", subject = \"spiffe://a/b\", user = \"till\" }]";
    let file = format!(
        "[grpc.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\nclient_auth = \"required\"\nidentities = {list}"
    );
    let loaded = load(Some(&file), &[], &[]).expect("valid");
    let shown = loaded.describe();
    assert!(shown.contains(&format!("tls.identities = {list}  # ")), "{shown}");
    let tls = loaded.settings.grpc.tls;
    assert_eq!((tls.certificate.as_deref(), tls.client_auth), (Some(Path::new("c")), ClientAuth::Required));
    assert_eq!(tls.identities[0].subject, "spiffe://a/b");
    let bare = file.replace(&format!("identities = {list}"), "");
    let variable = [("ACCESS_TOKENS__GRPC__TLS__IDENTITIES", list)];
    assert_eq!(load(Some(&bare), &variable, &[]).expect("valid").settings.grpc.tls.identities, tls.identities);
    assert!(load(Some(&bare), &[], &[]).expect("valid").settings.grpc.tls.identities.is_empty());
}

#[test]
fn variables_of_opentelemetry_count_unless_there_are_ours() {
    let standard = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_SERVICE_NAME", "cards")];
    let loaded = load(Some("[telemetry]\nservice_name = \"x\""), &standard, &[]).expect("valid");
    assert_eq!(loaded.settings.telemetry.service_name, "cards");
    let shown = loaded.describe();
    assert!(shown.contains("endpoint = \"http://127.0.0.1:4317\"  # OTEL_EXPORTER_OTLP_ENDPOINT"), "{shown}");
    let ours = ("ACCESS_TOKENS__TELEMETRY__ENDPOINT", "https://collector");
    for environment in [[standard[0], ours], [ours, standard[0]]] {
        let telemetry = load(None, &environment, &[]).expect("valid").settings.telemetry;
        assert_eq!(telemetry.endpoint.map(|url| url.to_string()).as_deref(), Some("https://collector/"));
    }
    assert!(
        load(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], &[]).expect("valid").settings.telemetry.endpoint.is_none()
    );
}

#[test]
fn a_file_that_is_not_toml_is_not_shown() {
    let error = load(Some("[database]\nurl = postgres://u:hunter2@h/d\n"), &[], &[]).expect_err("refused");
    assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let environment = [
        ("ACCESS_TOKENS__DATABASE__URL", "postgres://app:hunter2@db:5432/tokens?sslmode=require&password=hunter2"),
        ("ACCESS_TOKENS__KEYS__RING", "hunter2 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("ACCESS_TOKENS__NOTIFICATIONS__SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2"),
        ("ACCESS_TOKENS__TELEMETRY__HEADERS", "x-api-key=hunter2"),
        ("ACCESS_TOKENS__NOTIFICATIONS__WEBHOOK", "http://127.0.0.1:9000/hooks/hunter2?key=hunter2"),
    ];
    let loaded = load(None, &environment, &[]).expect("valid");
    let shown = format!("{loaded:?} {:?} {}", loaded.settings, loaded.describe());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("postgres://app:***@db:5432/tokens?sslmode=require&password=***"), "{shown}");
    assert!(shown.contains("ring = \"***\""), "{shown}");
    assert!(shown.contains("secret = \"***\"") && shown.contains("\"http://127.0.0.1:9000/***\""), "{shown}");
}

#[test]
fn a_variable_may_name_a_file_with_the_value() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("uri");
    std::fs::write(&path, "postgres://u:hunter2@h/d\n").expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).expect("chmod");
    let (variable, file) = ("ACCESS_TOKENS__DATABASE__URL_FILE", path.to_str().expect("text"));
    let loaded = load(None, &[(variable, file)], &[]).expect("valid");
    assert_eq!(loaded.settings.database.url.expose(), "postgres://u:hunter2@h/d");
    let shown = loaded.describe();
    assert!(shown.contains(&format!("url = \"postgres://u:***@h/d\"  # {variable}")), "{shown}");

    let missing = load(None, &[(variable, "/nowhere/uri")], &[]).expect_err("missing");
    assert!(missing.contains(variable) && missing.contains("No such file"), "{missing}");
    let both = [(variable, file), ("ACCESS_TOKENS__DATABASE__URL", "sqlite://x")];
    for environment in [both, [both[1], both[0]]] {
        let refused = load(None, &environment, &[]).expect_err("which one counts?");
        assert!(refused.contains("database.url is set by both") && !refused.contains("hunter2"), "{refused}");
    }
    let unknown = load(None, &[("ACCESS_TOKENS__DATABASE__URI_FILE", file)], &[]).expect_err("unknown");
    assert!(unknown.contains("database.uri_file") && !unknown.contains("hunter2"), "{unknown}");
    // The value of the setting `keys.file` is the name of a file.
    let keys = load(None, &[("ACCESS_TOKENS__KEYS__FILE", file)], &[]).expect("valid");
    assert_eq!(keys.settings.keys.file, path);
}

#[test]
fn an_amount_of_memory_is_refused_with_its_range() {
    for value in ["1GiB", "0 MiB", "-1 MiB", "257", "loud"] {
        let refused = load(None, &[("ACCESS_TOKENS__HASHING__MAX_FOREIGN_MEMORY", value)], &[]).expect_err("refused");
        assert!(refused.contains("must be between 64 MiB and 256 MiB"), "{value}: {refused}");
    }
    let file = load(Some("[hashing]\nmax_foreign_memory = 128"), &[], &[]).expect_err("a number");
    assert!(file.contains("must be between 64 MiB and 256 MiB, such as 128 MiB"), "{file}");
}

#[test]
fn urls_may_name_several_hosts() {
    let list = "postgres://u:hunter2@a:1,b:2/d?target_session_attrs=read-write&connect_timeout=2";
    let replicas = "postgres://u:hunter2@a,b/d,postgres://u:hunter2@c/d";
    let given = [("ACCESS_TOKENS__DATABASE__URL", list), ("ACCESS_TOKENS__DATABASE__REPLICA_URLS", replicas)];
    let loaded = load(None, &given, &[]).expect("valid");
    let options = loaded.settings.database.options();
    assert_eq!(options.replica_urls, ["postgres://u:hunter2@a,b/d", "postgres://u:hunter2@c/d"]);
    let shown = loaded.describe();
    for expected in [
        "url = \"postgres://u:***@a:1,b:2/d?target_session_attrs=read-write&connect_timeout=2\"",
        "replica_urls = [\"postgres://u:***@a,b/d\", \"postgres://u:***@c/d\"]",
    ] {
        assert!(shown.contains(expected) && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn replicas_are_a_list_of_hidden_urls_however_they_are_written() {
    let postgres = ("ACCESS_TOKENS__DATABASE__URL", "postgres://u@h/d");
    let variable = ("ACCESS_TOKENS__DATABASE__REPLICA_URLS", "postgres://u:hunter2@a/d, postgres://u:hunter2@b/d");
    let file = "[database]\nreplica_urls = [\"postgres://u:hunter2@a/d\", \"postgres://u:hunter2@b/d\"]";
    for loaded in [load(None, &[postgres, variable], &[]), load(Some(file), &[postgres], &[])] {
        let loaded = loaded.expect("valid");
        let options = loaded.settings.database.options();
        assert_eq!(options.replica_urls, ["postgres://u:hunter2@a/d", "postgres://u:hunter2@b/d"]);
        assert_eq!(options.replica_max_lag, DatabaseOptions::new("").replica_max_lag);
        let shown = format!("{} {loaded:?} {options:?}", loaded.describe());
        assert!(shown.contains("replica_urls = [\"postgres://u:***@a/d\", \"postgres://u:***@b/d\"]"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (environment, problem) in [
        (&[variable][..], "must be empty on SQLite"),
        (&[postgres, ("ACCESS_TOKENS__DATABASE__REPLICA_URLS", "hunter2")], "must be URLs that begin with postgres://"),
        (&[postgres, ("ACCESS_TOKENS__DATABASE__REPLICA_MAX_LAG_MS", "1")], "must be between 200 and 60000"),
    ] {
        let refused = load(None, environment, &[]).expect_err(problem);
        assert!(refused.contains(problem) && !refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn the_time_zone_has_an_old_name_that_means_the_same() {
    let zone = |loaded: Result<LoadedSettings, String>| loaded.expect("valid").settings.time_zone.name();
    let (new, old) = ("ACCESS_TOKENS__TIME_ZONE", "ACCESS_TOKENS__GATEWAY__TIME_ZONE");
    assert_eq!(zone(load(None, &[], &[])), "UTC");
    assert_eq!(zone(load(None, &[(new, "Europe/Athens")], &[])), "Europe/Athens");
    assert_eq!(zone(load(None, &[(old, "Europe/Athens")], &[])), "Europe/Athens");
    assert_eq!(zone(load(Some("[gateway]\ntime_zone = \"Asia/Kolkata\""), &[], &[])), "Asia/Kolkata");
    assert_eq!(zone(load(Some("time_zone = \"Asia/Kolkata\"\n[grpc]\nidle_seconds = 9"), &[], &[])), "Asia/Kolkata");
    assert_eq!(zone(load(None, &[(old, "Asia/Kolkata"), (new, "Asia/Kolkata")], &[])), "Asia/Kolkata");
    // Layers of the same name override each other as usual.
    let file = Some("[gateway]\ntime_zone = \"Asia/Kolkata\"");
    assert_eq!(zone(load(file, &[(old, "Pacific/Apia")], &[])), "Pacific/Apia");
    assert_eq!(zone(load(file, &[(old, "Pacific/Apia")], &["gateway.time_zone=UTC"])), "UTC");
}

#[test]
fn two_time_zones_are_refused_with_both_places() {
    let (new, old) = ("ACCESS_TOKENS__TIME_ZONE", "ACCESS_TOKENS__GATEWAY__TIME_ZONE");
    for (file, environment, flags, places) in [
        (None, vec![(new, "UTC"), (old, "Europe/Athens")], vec![], [new, old]),
        (Some("[gateway]\ntime_zone = \"Asia/Kolkata\""), vec![(new, "UTC")], vec![], [new, "access-tokens.toml"]),
        (None, vec![(old, "Asia/Kolkata")], vec!["time_zone=UTC"], ["--set", old]),
    ] {
        let error = load(file, &environment, &flags).expect_err("two zones");
        assert!(error.contains("different values") && places.iter().all(|place| error.contains(place)), "{error}");
    }
    for name in [new, old] {
        let error = load(None, &[(name, "Europe/Atlantis")], &[]).expect_err("no zone");
        assert!(
            error.contains(name) && error.contains("a time zone, such as") && !error.contains("Atlantis"),
            "{error}"
        );
    }
}

#[test]
fn a_setting_outside_of_sections_stands_before_them() {
    let shown = load(None, &[("ACCESS_TOKENS__GATEWAY__TIME_ZONE", "Asia/Kolkata")], &[]).expect("valid").describe();
    assert!(
        shown.starts_with("time_zone = \"Asia/Kolkata\"  # ACCESS_TOKENS__GATEWAY__TIME_ZONE\n\n[database]\n"),
        "{shown}"
    );
}
