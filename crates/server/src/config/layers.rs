//! Defaults, file, environment and flags, laid over each other. Remembers for each setting where it comes from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};

use super::{DEFAULTS, Settings};

/// The environment variable that names the file. One underscore: it is no setting.
pub const ENVIRONMENT_FILE: &str = "ACCESS_TOKENS_CONFIG";

const PREFIX: &str = "ACCESS_TOKENS__";

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// `--set`.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// What is wrong with the configuration. Names keys and places, never values: a value may be a password in the wrong
/// place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The settings that apply.
pub struct Loaded {
    /// As types.
    pub settings: Settings,
    pub(super) values: BTreeMap<String, (Value, Origin)>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

impl Loaded {
    /// Lays the layers over each other. `environment` is that of the process; `flags` are `key=value`.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        let (mut variables, mut named) = (Vec::new(), None);
        for (name, value) in environment {
            if name == ENVIRONMENT_FILE && !value.is_empty() {
                named = Some(PathBuf::from(&value));
            }
            variables.push((name, value));
        }
        if let Some(path) = file.map(Path::to_owned).or(named) {
            layers.lay_file(&path)?;
        }
        for (name, value) in &variables {
            layers.lay_variable(name, value);
        }
        for flag in flags {
            layers.lay_flag(flag);
        }
        layers.finish()
    }
}

struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
    problems: Vec<String>,
}

impl Layers {
    fn new() -> Self {
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml).collect().expect("the defaults are TOML");
        let values = flatten(defaults).into_iter().map(|(key, value)| (key, (value, Origin::Default))).collect();
        Self { values, problems: Vec::new() }
    }

    fn lay(&mut self, key: &str, value: Value, origin: Origin) {
        match self.values.get_mut(key) {
            Some(known) => {
                // Variables and flags are texts. What is a number by default is one here too, if it can be.
                let number = match (&known.0.kind, &value.kind) {
                    (ValueKind::I64(_), ValueKind::String(text)) => text.parse::<i64>().ok(),
                    _ => None,
                };
                *known = (number.map_or(value, Value::from), origin);
            }
            None => {
                let section = key.split('.').next().unwrap_or_default();
                let mut near: Vec<&str> =
                    self.values.keys().map(String::as_str).filter(|k| k.split('.').next() == Some(section)).collect();
                if near.is_empty() {
                    near = self.values.keys().map(String::as_str).collect();
                }
                self.problems.push(format!("{key} ({origin}) is not a setting; known are {}", near.join(", ")));
            }
        }
    }

    fn lay_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("the configuration file {}: {error}", path.display())))?;
        let table = File::from_str(&text, FileFormat::Toml).collect().map_err(|error| {
            // The first line says where; those after it show the text, which may be a password.
            let error = error.to_string();
            let place = error.lines().next().unwrap_or_default();
            ConfigError(format!("the configuration file {} is not TOML: {place}", path.display()))
        })?;
        for (key, value) in flatten(table) {
            self.lay(&key, value, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn lay_variable(&mut self, name: &OsStr, value: &OsStr) {
        let Some(name) = name.to_str() else { return };
        let Some(key) = name.strip_prefix(PREFIX) else { return };
        // An empty variable is one that a template left empty.
        match value.to_str() {
            Some("") => {}
            Some(value) => {
                let key = key.to_lowercase().replace("__", ".");
                self.lay(&key, Value::from(value), Origin::Environment(name.to_owned()));
            }
            None => self.problems.push(format!("{name} is not UTF-8")),
        }
    }

    fn lay_flag(&mut self, flag: &str) {
        match flag.split_once('=') {
            Some((key, value)) => self.lay(key.trim(), Value::from(value), Origin::Flag),
            None => self.problems.push("--set takes key=value, such as grpc.listen=0.0.0.0:50051".to_owned()),
        }
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        if self.problems.is_empty() {
            match self.typed() {
                Ok(settings) => {
                    for (key, what) in settings.out_of_range() {
                        self.problems.push(format!("{key} ({}) {what}", self.origin(key)));
                    }
                    if self.problems.is_empty() {
                        return Ok(Loaded { settings, values: self.values });
                    }
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        Err(ConfigError(self.problems.join("; ")))
    }

    fn origin(&self, key: &str) -> &Origin {
        self.values.get(key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// One setting at a time, so that the message can name it instead of repeating its value.
    fn typed(&self) -> Result<Settings, String> {
        let whole = |values: &BTreeMap<String, (Value, Origin)>| {
            let mut builder = Config::builder();
            for (key, (value, _)) in values {
                builder = builder.set_override(key, value.clone())?;
            }
            builder.build()?.try_deserialize::<Settings>()
        };
        whole(&self.values).map_err(|_| {
            let mut defaults = Self::new().values;
            for (key, (value, origin)) in &self.values {
                let default = defaults.insert(key.clone(), (value.clone(), origin.clone()));
                if whole(&defaults).is_err() {
                    let kind = default.map_or("something else", |(value, _)| expected(key, &value));
                    return format!("{key} ({origin}) must be {kind}");
                }
            }
            // Cannot be: the whole is wrong only if one setting is.
            "the configuration is not valid".to_owned()
        })
    }
}

fn expected(key: &str, default: &Value) -> &'static str {
    match (key, &default.kind) {
        ("log.format", _) => "pretty or json",
        ("grpc.listen", _) => "an address and a port, such as 0.0.0.0:50051 or [::]:50051",
        ("http.listen", _) => "an address and a port, such as 0.0.0.0:8080, or empty",
        ("gateway.release", _) => "a release, such as R18.0.0",
        ("gateway.time_zone", _) => "a time zone, such as UTC or Europe/Athens",
        ("gateway.trusted_proxies", _) => "networks, such as 10.0.0.0/8",
        (_, ValueKind::I64(_) | ValueKind::U64(_)) => "a whole number, not negative",
        _ => "a text",
    }
}

fn flatten(table: Map<String, Value>) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        match value.kind {
            ValueKind::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            _ => {
                flat.insert(key, value);
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use access_tokens_gateway::GatewayConfig;
    use access_tokens_storage::DatabaseOptions;

    use super::*;
    use crate::config::LogFormat;

    fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access-tokens.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).expect("written");
        }
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Loaded::load(file.map(|_| path.as_path()), environment, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_the_documented_ones() {
        let settings = load(None, &[("HOME", "/root")], &[]).expect("valid").settings;
        assert_eq!(settings.database.url.expose(), "sqlite://access-tokens.db");
        assert_eq!(settings.grpc.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(settings.keys.file, Path::new("access-tokens.keys"));
        assert_eq!(settings.log.format, LogFormat::Pretty);
        assert_eq!(settings.http.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(settings.gateway.config(), GatewayConfig::default());
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
        let file = "[grpc]\nlisten = \"1.1.1.1:1\"\ncalls_at_once = 1\nconnections = 1\n[log]\nformat = \"json\"";
        let environment = [("ACCESS_TOKENS__GRPC__CALLS_AT_ONCE", "2"), ("ACCESS_TOKENS__GRPC__CONNECTIONS", "2")];
        let loaded = load(Some(file), &environment, &["grpc.connections=3"]).expect("valid");
        let grpc = &loaded.settings.grpc;
        assert_eq!((grpc.listen.to_string().as_str(), grpc.calls_at_once, grpc.connections), ("1.1.1.1:1", 2, 3));
        assert_eq!(loaded.settings.log.format, LogFormat::Json);
        let shown = loaded.describe();
        assert!(shown.contains("calls_at_once = 2  # ACCESS_TOKENS__GRPC__CALLS_AT_ONCE"), "{shown}");
        assert!(shown.contains("connection_age_seconds = 1800  # default"), "{shown}");
        assert!(shown.contains("connections = 3  # --set"), "{shown}");
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
            ("ACCESS_TOKENS_GRPC_LISTEN", "not ours: one underscore"),
        ];
        let error = load(Some("[grpcc]\nlisten = 1\n[log]\nlevel.x = 1"), &environment, &["nonsense=1", "x"]);
        let error = error.expect_err("refused");
        for expected in [
            "grpcc.listen (",
            "log.level.x (",
            "grpc.lisen (ACCESS_TOKENS__GRPC__LISEN) is not a setting; known are grpc.calls_at_once,",
            "grpc (ACCESS_TOKENS__GRPC)",
            "nonsense (--set)",
            "--set takes key=value",
        ] {
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
        assert!(!error.contains("ACCESS_TOKENS_GRPC_LISTEN"), "{error}");
    }

    #[test]
    fn wrong_values_are_named_and_not_repeated() {
        for (key, value, what) in [
            ("grpc.listen", "localhost-hunter2", "an address and a port"),
            ("grpc.calls_at_once", "hunter2", "a whole number"),
            ("grpc.calls_at_once", "-1", "a whole number"),
            ("grpc.calls_at_once", "0", "between 1 and"),
            ("database.connections", "1", "between 2 and 100"),
            ("database.url", "mysql://root:hunter2@host/x", "must begin with sqlite:// or postgres://"),
            ("http.listen", "hunter2", "an address and a port"),
            ("http.connections", "0", "between 1 and"),
            ("gateway.release", "hunter2", "a release"),
            ("gateway.time_zone", "hunter2", "a time zone"),
            ("gateway.timeout_ms", "0", "between 1 and"),
            ("gateway.trusted_proxies", "10.0.0.0/8,hunter2", "networks"),
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
    fn a_file_that_is_not_toml_is_not_shown() {
        let error = load(Some("[database]\nurl = postgres://u:hunter2@h/d\n"), &[], &[]).expect_err("refused");
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let environment = [
            ("ACCESS_TOKENS__DATABASE__URL", "postgres://app:hunter2@db:5432/tokens?sslmode=require&password=hunter2"),
            ("ACCESS_TOKENS__KEYS__RING", "a hunter2"),
        ];
        let loaded = load(None, &environment, &[]).expect("valid");
        let shown = format!("{loaded:?} {:?} {}", loaded.settings, loaded.describe());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("postgres://app:***@db:5432/tokens?sslmode=require&password=***"), "{shown}");
        assert!(shown.contains("ring = \"***\""), "{shown}");
    }
}
