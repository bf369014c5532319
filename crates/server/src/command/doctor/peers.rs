//! Checks whether the webhook and the collector can be reached. Nothing is sent to them.

use std::io::ErrorKind;
use std::time::Duration;

use access_tokens_host::url::is_local;
use access_tokens_net::tls::{Trust, UpstreamConnector};
use http::Uri;
use http::uri::Scheme;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::report::Report;
use crate::config::Settings;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn check(settings: &Settings, report: &mut Report) {
    if let Some(webhook) = &settings.notifications.webhook {
        let reached = connect(webhook.uri()).await.map_err(|error| (error, "notifications.webhook"));
        report_peer("webhook", &webhook.to_string(), reached, report);
    }
    let telemetry = &settings.telemetry;
    if let Some(endpoint) = &telemetry.endpoint {
        let shown = endpoint.to_string();
        let way = &telemetry.collector;
        if endpoint.scheme() != Some(&Scheme::HTTPS) {
            if !is_local(endpoint) && !way.allow_plain_text {
                let message = format!("{shown} is on another machine, and `serve` refuses plain text to it");
                let cure = "write https in telemetry.endpoint; or telemetry.collector.allow_plain_text = true, where something \
                            else encrypts";
                return report.problem("collector", message, cure);
            }
            let reached = connect(endpoint).await.map_err(|error| (error, "telemetry.endpoint"));
            return report_peer("collector", &shown, reached, report);
        }
        let reached = match UpstreamConnector::new(endpoint, Trust::Authorities, way, "telemetry.collector") {
            Ok(link) => link.probe().await,
            Err(error) => Err(format!("{error:#}")),
        };
        match reached {
            Ok(()) => report.ok("collector", format!("{shown} can be reached")),
            Err(error) => {
                let cure = "start it, or mend telemetry.endpoint; its certificate has to bear its host, and an authority of \
                            telemetry.collector.ca, or a public one, has to have signed it";
                report.problem("collector", format!("{shown} cannot be reached: {error}"), cure);
            }
        }
    }
}

fn report_peer(check: &'static str, shown: &str, reached: Result<(), (Failure, &str)>, report: &mut Report) {
    match reached {
        Ok(()) => report.ok(check, format!("{shown} can be reached")),
        Err((Failure { message, cure }, setting)) => {
            report.problem(check, format!("{shown} cannot be reached: {message}"), cure.replace("SETTING", setting));
        }
    }
}

struct Failure {
    message: String,
    cure: &'static str,
}

/// Opens a connection to the host of a URL, and closes it.
async fn connect(url: &Uri) -> Result<(), Failure> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(80);
    match timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let cure = match error.kind() {
                ErrorKind::ConnectionRefused => "start the program that listens there, or mend SETTING",
                _ if error.to_string().contains("lookup address") => {
                    "mend the host in SETTING, or the name service here"
                }
                _ => "look at SETTING, and at firewalls and network policies",
            };
            Err(Failure { message: error.to_string(), cure })
        }
        Err(_) => {
            let message = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
            Err(Failure { message, cure: "look at SETTING, and at firewalls and network policies" })
        }
    }
}
