//! Old names of settings. Each is accepted for one release, in files, in environment variables and with `--set`.

/// An old name of a setting.
pub(super) struct Alias {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// Whether the same value under both names is accepted, as earlier releases did.
    pub(super) accepts_equal: bool,
}

/// Every old name, with the name that replaces it. A warning names the new name.
pub(super) const ALIASES: [Alias; 11] = [
    Alias { old: "gateway.time_zone", new: "time_zone", accepts_equal: true },
    renamed("database.connections", "database.max_connections"),
    renamed("grpc.calls_at_once", "grpc.max_concurrent_requests"),
    renamed("grpc.anonymous_calls_at_once", "grpc.max_anonymous_requests"),
    renamed("grpc.anonymous_calls_per_address", "grpc.max_anonymous_requests_per_address"),
    renamed("grpc.connections", "grpc.max_connections"),
    renamed("grpc.anonymous_connections_per_address", "grpc.max_anonymous_connections_per_address"),
    renamed("grpc.connection_age_seconds", "grpc.max_connection_age_seconds"),
    renamed("http.connections", "http.max_connections"),
    renamed("http.anonymous_connections_per_address", "http.max_anonymous_connections_per_address"),
    renamed("notifications.queue", "notifications.queue_size"),
];

const fn renamed(old: &'static str, new: &'static str) -> Alias {
    Alias { old, new, accepts_equal: false }
}

/// A setting that is given under its old name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Names the setting and its place.
    pub message: String,
    /// Names what to set instead.
    pub cure: String,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::environment::variable;
    use crate::config::{ConfigError, LoadedSettings, Origin};

    /// Renamed settings: every alias but that of the time zone, whose rule is different.
    fn renamed_settings() -> impl Iterator<Item = &'static Alias> {
        ALIASES.iter().filter(|alias| !alias.accepts_equal)
    }

    fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<LoadedSettings, ConfigError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access-tokens.toml");
        std::fs::write(&path, file).expect("written");
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        LoadedSettings::load(Some(&path), environment, &flags)
    }

    /// Returns a file that sets one key to 11.
    fn file(key: &str) -> String {
        let (section, name) = key.split_once('.').expect("a section");
        format!("[{section}]\n{name} = 11\n")
    }

    /// Returns the value of a setting, where it comes from, and the warnings.
    fn shown(loaded: &LoadedSettings, key: &str) -> (String, Origin, Vec<Warning>) {
        let (value, origin) = &loaded.values[key];
        (value.to_string(), origin.clone(), loaded.warnings().to_vec())
    }

    #[test]
    fn an_old_name_sets_the_new_setting_and_the_warning_names_it() {
        for Alias { old, new, .. } in renamed_settings() {
            let (old_variable, new_variable) = (variable(old), variable(new));
            let old_file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(old_file.path(), "11\n").expect("written");
            let old_path = old_file.path().to_str().expect("text");
            let flag = format!("{old}=11");
            for (loaded, place) in [
                (load(&file(old), &[], &[]), "access-tokens.toml"),
                (load("", &[(&old_variable, "11")], &[]), old_variable.as_str()),
                (load("", &[(&format!("{old_variable}_FILE"), old_path)], &[]), old_variable.as_str()),
                (load("", &[], &[&flag]), "--set"),
            ] {
                let loaded = loaded.expect(old);
                let (value, origin, warnings) = shown(&loaded, new);
                assert_eq!(value, "11", "{old} from {place}");
                assert!(origin.to_string().contains(place), "{origin}");
                let [warning] = warnings.as_slice() else { panic!("{old} from {place}: {warnings:?}") };
                assert!(warning.message.starts_with(&format!("{old} (")), "{warning:?}");
                assert!(warning.message.contains(place) && warning.cure.contains(new), "{warning:?}");
                if place == old_variable {
                    assert!(warning.cure.contains(&new_variable), "{warning:?}");
                }
                let described = loaded.describe();
                let (_, old_name) = old.split_once('.').expect("a section");
                assert!(!described.lines().any(|line| line.starts_with(&format!("{old_name} = "))), "{described}");
            }
            let loaded = load(&file(new), &[], &[]).expect(new);
            assert!(loaded.warnings().is_empty(), "{new}: {:?}", loaded.warnings());
        }
    }

    #[test]
    fn both_names_at_once_are_an_error_that_names_both() {
        for Alias { old, new, .. } in renamed_settings() {
            let (old_variable, new_variable) = (variable(old), variable(new));
            let flag = format!("{new}=11");
            let both = [(old_variable.as_str(), "11"), (new_variable.as_str(), "12")];
            for (loaded, places) in [
                (
                    load(&format!("{}{}", file(old), file(new).lines().nth(1).expect("a line")), &[], &[]),
                    ["toml", "toml"],
                ),
                (load(&file(old), &[(&new_variable, "11")], &[]), ["toml", &new_variable]),
                (load(&file(new), &[(&old_variable, "11")], &[]), ["toml", &old_variable]),
                (load("", &both, &[]), [&old_variable, &new_variable]),
                (load("", &[(&old_variable, "11")], &[&flag]), [old_variable.as_str(), "--set"]),
            ] {
                let error = loaded.expect_err(old).to_string();
                assert!(error.contains(&format!("{new} (")) && error.contains(&format!("old name {old} (")), "{error}");
                assert!(places.iter().all(|place| error.contains(place)), "{error}");
            }
        }
    }

    #[test]
    fn a_wrong_value_under_an_old_name_is_refused_with_its_place() {
        for Alias { old, new, .. } in renamed_settings() {
            let old_variable = variable(old);
            for value in ["0", "hunter2"] {
                let error = load("", &[(&old_variable, value)], &[]).expect_err(old).to_string();
                assert!(error.starts_with(&format!("{new} ({old_variable}) must be ")), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }

    #[test]
    fn old_names_are_no_settings_of_their_own() {
        let loaded = load("", &[], &[]).expect("the defaults");
        for Alias { old, new, .. } in &ALIASES {
            assert!(!loaded.values.contains_key(*old) && loaded.values.contains_key(*new), "{old} -> {new}");
        }
    }
}
