//! Settings of telemetry: the form of the log, and the destination of spans and metrics.

use access_tokens_host::SecretSetting;
use access_tokens_host::url::has_good_port;
use access_tokens_host::value::{number, unless_empty};
use access_tokens_net::tls::UpstreamSettings;
use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Text or JSON.
    pub format: LogFormat,
    /// Minimum level of log messages, or a list of parts of the program with their levels.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text.
    Pretty,
    /// JSON.
    Json,
}

/// Export of spans and metrics to a collector. The metrics on the port for operators do not depend on it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The collector. None: nothing is exported.
    #[serde(deserialize_with = "unless_empty")]
    pub endpoint: Option<Uri>,
    /// Metadata of exports, such as a key for the collector.
    pub headers: SecretSetting,
    /// The name of this service. Empty: the default name.
    pub service_name: String,
    /// Further attributes of the resource.
    pub attributes: String,
    /// Fraction of new traces that is exported, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub sampling_ratio: f64,
    /// TLS of the connection to the collector.
    pub collector: UpstreamSettings,
}

impl TelemetrySettings {
    /// Returns the settings with invalid values, as (key, requirement).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = self.collector.problems("telemetry.collector");
        let mut add = |name: &str, what: &str| found.push((format!("telemetry.{name}"), what.to_owned()));
        if self.endpoint.as_ref().is_some_and(|endpoint| !is_collector(endpoint)) {
            add(
                "endpoint",
                "must be a URL of http or https with a host and nothing else, such as http://127.0.0.1:4317",
            );
        }
        let as_header = |(name, value): (String, String)| {
            let name = http::HeaderName::try_from(name).is_ok_and(|name| !name.as_str().ends_with("-bin"));
            name && http::HeaderValue::try_from(value).is_ok()
        };
        if !pairs(self.headers.expose()).is_some_and(|pairs| pairs.into_iter().all(as_header)) {
            add("headers", "must be name=value, with commas between several");
        }
        if pairs(&self.attributes).is_none() {
            add("attributes", "must be name=value, with commas between several");
        }
        if !(0.0..=1.0).contains(&self.sampling_ratio) {
            add("sampling_ratio", "must be between 0 and 1");
        }
        found
    }
}

/// Returns whether a URL can be that of a collector. A URL with a user and a password is refused: the exporter would
/// not send them, but the commands that print the settings would show them.
fn is_collector(url: &Uri) -> bool {
    let known = [Scheme::HTTP, Scheme::HTTPS].iter().any(|scheme| url.scheme() == Some(scheme));
    let user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    known
        && !user
        && has_good_port(url)
        && url.host().is_some_and(|host| !host.is_empty())
        && url.path() == "/"
        && url.query().is_none()
}

/// Parses `name=value` with commas between, and with percent-encoded values, as in the variables of OpenTelemetry. None
/// if it is malformed.
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let texts = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let pair = |one: &str| {
        let (name, value) = one.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
    };
    texts.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_those_of_the_variables_of_opentelemetry() {
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(""), Some(vec![]));
        assert_eq!(
            pairs("authorization=Basic%20a2V5, x=a=b,"),
            Some(vec![of("authorization", "Basic a2V5"), of("x", "a=b")])
        );
        for bad in ["x", "=y", "x=%ff"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_collector_is_a_host_and_nothing_else() {
        for (url, good) in [
            ("http://127.0.0.1:4317", true),
            ("https://collector.example.com/", true),
            ("http://u:p@collector", false),
            ("ftp://collector", false),
            ("collector:4317", false),
            ("http://collector/v1/traces", false),
            ("http://collector?key=x", false),
        ] {
            assert_eq!(url.parse::<Uri>().is_ok_and(|url| is_collector(&url)), good, "{url}");
        }
    }
}
