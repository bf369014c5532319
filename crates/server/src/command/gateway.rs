//! `gateway`: serves the HTTP API for a service elsewhere.

use http::Uri;
use http::uri::Scheme;

use super::serve;
use crate::config::Settings;
use crate::process;

/// Runs the gateway. With `default_ops`, ops.listen has its default, which a `serve` on the same machine may have too; if that port is
/// taken, the gateway starts without it.
pub(super) async fn run(mut settings: Settings, upstream: Uri, default_ops: bool) -> anyhow::Result<()> {
    if default_ops {
        serve::without_taken_ops(&mut settings).await;
    }
    process::gateway(&settings, upstream).await
}

/// Reads the URL of a service.
pub(super) fn upstream(text: &str) -> Result<Uri, String> {
    let wrong = || "it is written as https://host:50051".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let known = [Scheme::HTTP, Scheme::HTTPS].iter().any(|scheme| uri.scheme() == Some(scheme));
    if !known || uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_and_nothing_else() {
        for good in ["http://127.0.0.1:50051", "https://tokens.example.com/", "https://[::1]:1"] {
            assert!(upstream(good).is_ok(), "{good}");
        }
        for bad in ["", "host:1", "http://", "ftp://host", "http://host/path", "http://host?x", "http://u:p@host", "/x"]
        {
            assert!(upstream(bad).is_err(), "{bad}");
        }
    }
}
