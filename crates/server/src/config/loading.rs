//! Merges defaults, file, environment variables and flags, and keeps the origin of each setting.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use access_tokens_host::files::{self, Access};
use serde::Deserialize;
use toml::{Table, Value};

use super::aliases::{ALIASES, Alias, Warning};
use super::environment::{PREFIX, variable};
use super::hashing::MEMORY_RANGE;
use super::{DEFAULTS, Settings, unknown_variables};

/// The environment variable that names the configuration file. It has one underscore, because it is not a setting.
pub const ENVIRONMENT_FILE: &str = "ACCESS_TOKENS_CONFIG";

/// Variables of OpenTelemetry that set one of our settings. Our own variables override them.
const OTEL_VARIABLES: [(&str, &str); 2] =
    [("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.endpoint"), ("OTEL_SERVICE_NAME", "telemetry.service_name")];

/// Suffix of a variable whose value names a file. The file has the value of the setting.
const FILE_SUFFIX: &str = "_file";

/// The origin of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No layer sets it.
    Default,
    /// The configuration file.
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

/// Problems of the configuration. The messages name keys and origins, and never values: a value may be a password in the wrong place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// Returns the problems one by one.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// The merged settings.
pub struct LoadedSettings {
    /// The settings with their types.
    pub settings: Settings,
    pub(super) values: BTreeMap<String, (Value, Origin)>,
    warnings: Vec<Warning>,
}

impl fmt::Debug for LoadedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

impl LoadedSettings {
    /// Merges the layers. `environment` has the variables of the process; `flags` are texts of the form `key=value`.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layers = SettingsBuilder::new();
        let variables: Vec<_> = environment.into_iter().collect();
        let named = variables.iter().find(|(name, value)| name == ENVIRONMENT_FILE && !value.is_empty());
        if let Some(path) = file.or(named.map(|(_, value)| Path::new(value))) {
            layers.add_file(path)?;
        }
        for (name, value) in &variables {
            layers.add_otel_variable(name, value);
        }
        for (name, value) in &variables {
            layers.add_variable(name, value);
        }
        for flag in flags {
            layers.add_flag(flag);
        }
        layers.build()
    }

    /// Refuses two listeners with the same port, and names both settings. The `gateway` has no gRPC listener. It starts without
    /// `ops.listen` if that port is taken and is only the default.
    pub fn with_distinct_ports(self, gateway: bool) -> Result<Self, ConfigError> {
        let used: &[&str] = match gateway {
            false => &["grpc.listen", "http.listen", "ops.listen"],
            true if self.is_default("ops.listen") => &[],
            true => &["http.listen", "ops.listen"],
        };
        let origin = |key: &str| self.values.get(key).map_or(&Origin::Default, |(_, origin)| origin);
        let shared = self.settings.shared_ports(used);
        let problem = |(key, other): &(&'static str, &'static str)| {
            format!(
                "{key} ({}) and {other} ({}) are the same port: set {key} to another one",
                origin(key),
                origin(other)
            )
        };
        let problems: Vec<_> = shared.iter().map(problem).collect();
        if problems.is_empty() { Ok(self) } else { Err(ConfigError(problems)) }
    }

    /// Returns a warning for each setting that has its old name.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns whether no layer sets a setting.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some((_, Origin::Default)))
    }
}

struct SettingsBuilder {
    values: BTreeMap<String, (Value, Origin)>,
    /// Values under old names.
    aliases: BTreeMap<&'static str, (Value, Origin)>,
    problems: Vec<String>,
    warnings: Vec<Warning>,
}

impl SettingsBuilder {
    fn new() -> Self {
        let values = defaults().into_iter().map(|(key, value)| (key, (value, Origin::Default))).collect();
        Self { values, aliases: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let alias = ALIASES.iter().find(|alias| alias.old == key);
        match self.values.get_mut(alias.map_or(key, |alias| alias.new)) {
            Some(known) => {
                // Variables and flags are texts. A text is converted to a number where the default is one.
                let number = match (&known.0, &value) {
                    (Value::Integer(_), Value::String(text)) => text.parse().ok().map(Value::Integer),
                    (Value::Float(_), Value::String(text)) => text.parse().ok().map(Value::Float),
                    _ => None,
                };
                let value = number.unwrap_or(value);
                match alias {
                    Some(alias) => drop(self.aliases.insert(alias.old, (value, origin))),
                    None => *known = (value, origin),
                }
            }
            None => {
                let section = key.split('.').next().unwrap_or_default();
                if let Some(similar) = unknown_variables::similar_key(key, self.values.keys().map(String::as_str)) {
                    self.problems.push(format!("{key} ({origin}) is not a setting; did you mean {similar}?"));
                    return;
                }
                let mut near: Vec<&str> =
                    self.values.keys().map(String::as_str).filter(|k| k.split('.').next() == Some(section)).collect();
                if near.is_empty() {
                    near = self.values.keys().map(String::as_str).collect();
                }
                self.problems.push(format!("{key} ({origin}) is not a setting; known are {}", near.join(", ")));
            }
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = files::read(path, Access::Any)
            .map_err(|error| ConfigError(vec![format!("the configuration file {}: {error}", path.display())]))?;
        let table = toml::from_str(&text).map_err(|error: toml::de::Error| {
            // The first line names the place. The lines after it quote the file, which may contain a password.
            let error = error.to_string();
            let place = error.lines().next().unwrap_or_default();
            ConfigError(vec![format!("the configuration file {} is not TOML: {place}", path.display())])
        })?;
        for (key, value) in flatten(table) {
            self.set(&key, value, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn add_otel_variable(&mut self, name: &OsStr, value: &OsStr) {
        let known = OTEL_VARIABLES.into_iter().find(|(standard, _)| name == *standard);
        if let (Some((name, key)), Some(value)) = (known, value.to_str().filter(|value| !value.is_empty())) {
            self.set(key, Value::from(value), Origin::Environment(name.to_owned()));
        }
    }

    fn add_variable(&mut self, name: &OsStr, value: &OsStr) {
        // A name that is not UTF-8 is not a setting, and may be a mistyped one.
        let name = &*name.to_string_lossy();
        if !value.is_empty() && unknown_variables::looks_like_setting(name, &value.to_string_lossy()) {
            let cure = match unknown_variables::similar_key(name, self.values.keys().map(String::as_str)) {
                Some(key) => format!("; {key} is {}", variable(key)),
                None => format!("; settings begin with {PREFIX}, and `access-tokens check-config` lists them"),
            };
            self.problems.push(format!("the variable {name} is not a setting{cure}"));
        }
        let Some(key) = name.strip_prefix(PREFIX) else { return };
        let Some(value) = value.to_str() else {
            self.problems.push(format!("{name} is not UTF-8"));
            return;
        };
        // Templates leave variables empty, so that an empty variable sets nothing.
        if value.is_empty() {
            return;
        }
        let key = key.to_lowercase().replace("__", ".");
        match key.strip_suffix(FILE_SUFFIX) {
            Some(setting) if self.is_known(setting) => match files::read(Path::new(value), Access::OwnerOnly) {
                // An editor ends the file with a line break, which is not a part of the secret.
                Ok(text) => self.set_from_variable(setting, text.trim_end_matches(['\r', '\n']), name),
                Err(error) => self.problems.push(format!("{setting}: the file that {name} names: {error}")),
            },
            _ => self.set_from_variable(&key, value, name),
        }
    }

    /// Sets a setting from a variable, or from the file that a variable names. Two variables for one setting are a problem, because they
    /// have no order.
    fn set_from_variable(&mut self, key: &str, text: &str, variable: &str) {
        if let Some((_, Origin::Environment(other))) = self.aliases.get(key).or_else(|| self.values.get(key))
            && other.starts_with(PREFIX)
        {
            self.problems.push(format!("{key} is set by both {other} and {variable}"));
        }
        self.set(key, Value::from(text), Origin::Environment(variable.to_owned()));
    }

    fn add_flag(&mut self, flag: &str) {
        match flag.split_once('=') {
            Some((key, value)) => self.set(key.trim(), Value::from(value), Origin::Flag),
            None => self.problems.push("--set takes key=value, such as grpc.listen=0.0.0.0:50051".to_owned()),
        }
    }

    fn is_known(&self, key: &str) -> bool {
        self.values.contains_key(key) || ALIASES.iter().any(|alias| alias.old == key)
    }

    /// Moves values under old names to the new names. A value under both names is a problem.
    fn resolve_aliases(&mut self) {
        for Alias { old, new, accepts_equal } in &ALIASES {
            let (Some((value, origin)), Some(own)) = (self.aliases.remove(old), self.values.get_mut(*new)) else {
                continue;
            };
            self.warnings.push(Warning {
                message: format!("{old} ({origin}) is an old name of a setting: a later release refuses it"),
                cure: match &origin {
                    Origin::Environment(_) => format!("set {new} ({}) instead", variable(new)),
                    _ => format!("set {new} instead"),
                },
            });
            if own.1 == Origin::Default {
                *own = (value, origin);
            } else if !accepts_equal {
                let both = format!("{new} ({}) and its old name {old} ({origin}) are both set: remove {old}", own.1);
                self.problems.push(both);
            } else if own.0 != value {
                self.problems.push(format!(
                    "{new} ({}) and its old name {old} ({origin}) have different values: set one of them",
                    own.1
                ));
            }
        }
    }

    fn build(mut self) -> Result<LoadedSettings, ConfigError> {
        self.resolve_aliases();
        let settings = self.deserialize_each();
        for (key, what) in settings.problems() {
            self.problems.push(format!("{key} ({}) {what}", self.origin(&key)));
        }
        if self.problems.is_empty() {
            return Ok(LoadedSettings { settings, values: self.values, warnings: self.warnings });
        }
        Err(ConfigError(self.problems))
    }

    fn origin(&self, key: &str) -> &Origin {
        self.values.get(key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// Returns the settings as types. Each value is read by itself, so that a message can name its key instead of repeating the value.
    /// A value that cannot be read is a problem, and its setting keeps the default, so that the other settings are checked too.
    fn deserialize_each(&mut self) -> Settings {
        let mut good = defaults();
        let mut settings = deserialize(&good).expect("the defaults are valid");
        for (key, (value, origin)) in &self.values {
            let Some(default) = good.get(key).filter(|_| *origin != Origin::Default).cloned() else { continue };
            let read = typed(&default, value).and_then(|value| {
                good.insert(key.clone(), value);
                deserialize(&good).ok()
            });
            match read {
                Some(read) => settings = read,
                None => {
                    self.problems.push(format!("{key} ({origin}) must be {}", expected_value(key, &default)));
                    good.insert(key.clone(), default);
                }
            }
        }
        settings
    }
}

fn defaults() -> BTreeMap<String, Value> {
    flatten(toml::from_str(DEFAULTS).expect("the defaults are TOML"))
}

/// Deserializes settings from keys with sections, such as `grpc.listen`.
fn deserialize(values: &BTreeMap<String, Value>) -> Result<Settings, toml::de::Error> {
    let mut root = Table::new();
    for (key, value) in values {
        let mut table = &mut root;
        let mut sections: Vec<_> = key.split('.').collect();
        let name = sections.pop().unwrap_or_default();
        for section in sections {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            table = inner.as_table_mut().expect("no setting has the name of a section");
        }
        table.insert(name.to_owned(), value.clone());
    }
    Settings::deserialize(root)
}

/// Returns a value with the type of its default. None where it has another type.
fn typed(default: &Value, value: &Value) -> Option<Value> {
    match (default, value) {
        (Value::Float(_), Value::Integer(_)) | (Value::Array(_), Value::String(_)) => {}
        // Variables and flags are texts.
        (Value::Boolean(_), Value::String(text)) => {
            return match text.to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Some(Value::Boolean(true)),
                "false" | "off" | "no" | "0" => Some(Value::Boolean(false)),
                _ => None,
            };
        }
        (default, value) if default.same_type(value) => {}
        _ => return None,
    }
    Some(value.clone())
}

fn expected_value(key: &str, default: &Value) -> &'static str {
    match (key, default) {
        ("hashing.max_foreign_memory", _) => MEMORY_RANGE,
        ("log.format", _) => "pretty or json",
        ("grpc.listen", _) => "an address and a port, such as 0.0.0.0:50051 or [::]:50051",
        ("http.listen", _) => "an address and a port, such as 0.0.0.0:8080, or empty",
        ("ops.listen", _) => "an address and a port, such as 0.0.0.0:9090, or empty",
        ("gateway.release", _) => "a release, such as R18.0.0",
        ("time_zone", _) => "a time zone, such as UTC or Europe/Athens",
        ("grpc.tls.client_auth" | "http.tls.client_auth" | "ops.tls.client_auth", _) => "optional or required",
        ("grpc.tls.identities", _) => "a list of { subject = \"...\", organisation = \"...\", user = \"...\" }",
        ("database.replica_urls", _) => "a list of postgres:// URLs",
        ("gateway.trusted_proxies" | "grpc.trusted_proxies" | "webhooks.allowed_networks", _) => {
            "networks, such as 10.0.0.0/8"
        }
        ("telemetry.endpoint", _) => "a URL, such as http://127.0.0.1:4317, or empty",
        ("notifications.webhook", _) => "a URL, such as http://127.0.0.1:9000/notifications, or empty",
        (_, Value::Integer(_)) => "a whole number, not negative",
        (_, Value::Float(_)) => "a number",
        (_, Value::Boolean(_)) => "true or false",
        _ => "a text",
    }
}

/// Returns the values of a table by key, such as `grpc.listen`. Dates become texts.
fn flatten(table: Table) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            Value::Datetime(date) => _ = flat.insert(key, Value::String(date.to_string())),
            value => _ = flat.insert(key, value),
        }
    }
    flat
}
