//! URLs of PostgreSQL databases.

use sea_orm::sqlx::postgres::PgSslMode;

use super::host_list::{self, HostList, parameter_names};
use super::servers::{Servers, UrlUse};
use super::ssl_mode::is_local;
use crate::options::{DatabaseOptions, SetupError};

/// Parameters of a URL that the driver knows.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Reports whether this is a PostgreSQL URL.
pub(crate) fn accepts(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Refuses URLs with which no database can be opened. Refuses unencrypted connections to another machine.
pub(crate) fn check_url(options: &DatabaseOptions, url_use: UrlUse) -> Result<(), SetupError> {
    for server in Servers::parse(&options.url, url_use)?.iter() {
        if is_local(&server.options) || options.allow_plain_text {
            continue;
        }
        match server.options.get_ssl_mode() {
            PgSslMode::Disable => return Err(SetupError::PlainText("disable")),
            PgSslMode::Allow => return Err(SetupError::PlainText("allow")),
            PgSslMode::Prefer => return Err(SetupError::PlainText("prefer")),
            PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => {}
        }
    }
    Ok(())
}

/// Returns the number of hosts of a URL. 0: the URL is not valid, or not one of PostgreSQL.
pub(crate) fn host_count(url: &str) -> usize {
    if accepts(url) { HostList::parse(url).map_or(0, |list| list.urls.len()) } else { 0 }
}

/// Warns of parameters that the driver ignores.
pub(crate) fn warn_of_ignored_parameters(url: &str) {
    let ignored = ignored_parameters(url);
    if ignored > 0 {
        // The names of the ignored parameters are not logged: the text after a `?` may be the rest of a password.
        let known: Vec<_> = PARAMETERS.iter().chain(&host_list::PARAMETERS).copied().collect();
        let known = known.join(", ");
        tracing::warn!(ignored, known, "the database URL has parameters that are ignored");
    }
}

/// Returns the number of parameters that the driver ignores. The driver's own warning contains their values, so the log
/// does not accept it.
fn ignored_parameters(url: &str) -> usize {
    let is_known = |name: &&str| PARAMETERS.contains(name) || host_list::PARAMETERS.contains(name);
    parameter_names(url).filter(|name| !is_known(name) && !name.starts_with("options[")).count()
}

/// Warns of a connection that is encrypted without a check of the server's certificate.
pub(crate) fn warn_of_unverified_server(url: &str, url_use: UrlUse) {
    let Ok(servers) = Servers::parse(url, url_use) else { return };
    let verifies = |mode| matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let mut others = servers.iter().map(|server| &server.options).filter(|options| !is_local(options));
    if let Some(options) = others.find(|options| !verifies(options.get_ssl_mode())) {
        let mode = options.get_ssl_mode();
        tracing::warn!(
            ?mode,
            "the certificate of the database is not verified: sslmode=verify-full in its URL asks for it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::ssl_mode::ssl_mode;
    use super::*;

    fn checked(url: &str, allow_plain_text: bool) -> Result<(), String> {
        let options = DatabaseOptions { allow_plain_text, ..DatabaseOptions::new(url) };
        check_url(&options, UrlUse::Primary).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_text_to_another_machine_is_refused_unless_it_is_allowed() {
        for mode in ["disable", "allow", "prefer", "PREFER"] {
            for host in ["192.0.2.1", "[2001:db8::1]", "db", "localhost.example.com"] {
                let url = format!("postgres://u:hunter2@{host}/d?sslmode={mode}");
                let refused = checked(&url, false).expect_err(&url);
                assert!(refused.contains("database.allow_plain_text") && !refused.contains("hunter2"), "{refused}");
                checked(&url, true).expect("allowed");
            }
            for host in ["127.0.0.1", "[::1]", "localhost", "%2Fvar%2Frun"] {
                checked(&format!("postgres://u@{host}/d?ssl-mode={mode}"), false).expect(host);
            }
            let elsewhere = format!("postgres://u@127.0.0.1/d?host=db&sslmode={mode}");
            checked(&elsewhere, false).expect_err("the parameter counts");
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            checked(&format!("postgres://u@db/d?sslmode={mode}"), false).expect(mode);
        }
    }

    #[test]
    fn where_the_url_says_nothing_another_machine_must_prove_itself() {
        let mode = |url: &str| format!("{:?}", ssl_mode(url, &url.parse().expect("a URL")));
        for url in ["postgres://db/d", "postgres://192.0.2.1/d?application_name=sslmode", "postgres:///d?host=db"] {
            assert_eq!(mode(url), "VerifyFull", "{url}");
            checked(url, false).expect("encrypted");
        }
        assert_eq!(mode("postgres://db/d?sslmode=require"), "Require");
        assert_ne!(mode("postgres://127.0.0.1/d"), "VerifyFull");
    }

    #[test]
    fn parameters_that_the_driver_ignores_are_counted() {
        for (url, count) in [
            ("postgres://u:p@h/d", 0),
            ("postgres://u:p@h/d?", 0),
            ("postgres://u:p@h/d?sslmode=require&application_name=x&options[a]=b", 0),
            ("postgres://u:p@h/d?sslmod=require", 1),
            ("postgres://h/d?user=u&pwd=hunter2&x", 2),
        ] {
            assert_eq!(ignored_parameters(url), count, "{url}");
        }
    }
}
