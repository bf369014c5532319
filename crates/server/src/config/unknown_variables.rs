//! Finds environment variables that look like settings and are not.

use std::net::IpAddr;

/// Prefix of every variable of the project. Settings have a second underscore.
const PROJECT_PREFIX: &str = "ACCESS_TOKENS_";

/// Variables of the project that are not settings: the name of the configuration file, and those of tests.
const KNOWN_VARIABLES: [&str; 4] =
    ["ACCESS_TOKENS_CONFIG", "ACCESS_TOKENS_WITHOUT_GUARD", "ACCESS_TOKENS_PREVIOUS", "ACCESS_TOKENS_WRITE_SCHEMA"];
const TEST_PREFIX: &str = "ACCESS_TOKENS_TEST_";

/// Returns whether a variable looks like a setting that the service would ignore. Such a variable has the prefix of the project in upper or
/// lower case, does not have the form of settings, and is set by neither the project nor Kubernetes.
pub(super) fn looks_like_setting(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let setting = name.starts_with(super::environment::PREFIX);
    upper.starts_with(PROJECT_PREFIX)
        && !setting
        && !KNOWN_VARIABLES.contains(&name)
        && !name.starts_with(TEST_PREFIX)
        && !is_of_kubernetes(name, value)
}

/// Returns whether Kubernetes sets such a variable in every pod, for a Service such as `access-tokens` or `access-tokens-gateway`. The form
/// of the value counts too: `ACCESS_TOKENS_GRPC_PORT=50051` is a mistake.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") {
        return value.parse::<IpAddr>().is_ok();
    }
    if name.contains("_SERVICE_PORT") {
        return is_number(value);
    }
    // `..._PORT`, `..._PORT_50051_TCP`, and the latter with `_PROTO`, `_PORT` or `_ADDR`.
    let Some((service, part)) = name.split_once("_PORT_") else { return name.ends_with("_PORT") && is_url };
    let mut words = part.split('_');
    let port = words.next().is_some_and(is_number);
    let protocol = words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word));
    let rest = words.next().is_none_or(|word| ["PROTO", "PORT", "ADDR"].contains(&word));
    service.starts_with("ACCESS_TOKENS") && port && protocol && rest && words.next().is_none()
}

/// Returns the key among `keys` that has the same letters and digits as a name, such as `grpc.listen` for `GRPC_LISTEN`.
pub(super) fn similar_key<'a>(name: &str, keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    let upper = name.to_ascii_uppercase();
    let name = letters(upper.strip_prefix(PROJECT_PREFIX).unwrap_or(&upper));
    keys.into_iter().find(|key| letters(key) == name || format!("{}file", letters(key)) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_and_of_the_project_are_accepted() {
        for (name, value) in [
            ("ACCESS_TOKENS_CONFIG", "a.toml"),
            ("ACCESS_TOKENS_WITHOUT_GUARD", "1"),
            ("ACCESS_TOKENS_TEST_ROUNDS", "5"),
            ("ACCESS_TOKENS__GRPC__LISTEN", "x"),
            ("ACCESS_TOKENS_SERVICE_HOST", "10.0.0.1"),
            ("ACCESS_TOKENS_SERVICE_HOST", "fd00::1"),
            ("ACCESS_TOKENS_SERVICE_PORT", "50051"),
            ("ACCESS_TOKENS_SERVICE_PORT_GRPC", "50051"),
            ("ACCESS_TOKENS_PORT", "tcp://10.0.0.1:50051"),
            ("ACCESS_TOKENS_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
            ("ACCESS_TOKENS_PORT_50051_TCP_PROTO", "tcp"),
            ("ACCESS_TOKENS_PORT_50051_TCP_PORT", "50051"),
            ("ACCESS_TOKENS_PORT_50051_TCP_ADDR", "10.0.0.1"),
            ("ACCESS_TOKENS_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("ACCESS_TOKENS_GATEWAY_SERVICE_PORT_HTTP", "80"),
            ("ACCESS_TOKENS_GATEWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("ACCESS_TOKEN", "another program"),
            ("HOME", "/root"),
        ] {
            assert!(!looks_like_setting(name, value), "{name}");
        }
        for (name, value) in [
            ("ACCESS_TOKENS_GRPC__LISTEN", "x"),
            ("ACCESS_TOKENS_GRPC_LISTEN", "x"),
            ("access_tokens__grpc__listen", "x"),
            ("Access_Tokens__Grpc__Listen", "x"),
            ("ACCESS_TOKENS_GRPC_PORT", "50051"),
            ("ACCESS_TOKENS_PORT", "50051"),
            ("ACCESS_TOKENS_SERVICE_HOST", "localhost"),
            ("ACCESS_TOKENS_SERVICE_PORT", "x"),
            ("ACCESS_TOKENS_PORT_X_TCP", "x"),
            ("ACCESS_TOKENS_PORT_1_TCP_NAME", "x"),
            ("ACCESS_TOKENS_CONFIGS", "x"),
            ("ACCESS_TOKENS_", "x"),
        ] {
            assert!(looks_like_setting(name, value), "{name}");
        }
    }
}
