//! Checks the configuration for values that are allowed and not recommended.

use std::path::Path;

use access_tokens_domain::guess_budget::DEFAULT_LIMIT;

use super::files;
use super::report::Report;
use crate::config::{LoadedSettings, Origin, Settings};

const CHECK: &str = "configuration";

pub(super) fn check(loaded: &LoadedSettings, report: &mut Report) {
    let settings = &loaded.settings;
    let (set, all) = loaded.origins().fold((0, 0), |(set, all), (_, origin)| match origin {
        Origin::Default => (set, all + 1),
        _ => (set + 1, all + 1),
    });
    report.ok(CHECK, format!("{all} settings, of which {set} are not the default"));
    for warning in loaded.warnings() {
        report.warning(CHECK, warning.message.as_str(), warning.cure.as_str());
    }
    secrets(loaded, report);
    listeners(settings, report);
    let chance = settings.policy.max_guess_chance;
    if chance > DEFAULT_LIMIT {
        let message = format!("policy.max_guess_chance is {chance}: policies may make secrets easier to guess");
        report.warning(CHECK, message, format!("lower it to {DEFAULT_LIMIT}, and make codes longer instead"));
    }
    if settings.http.listen.is_none() && settings.grpc.trusted_proxies.is_empty() {
        let message = "grpc.trusted_proxies is empty: all clients of an `access-tokens gateway` share one network, so that an \
                       unauthenticated caller can lock users out";
        report.warning(
            CHECK,
            message,
            "list the addresses of the gateway processes and load balancers, if there are any",
        );
    }
    if settings.notifications.webhook.is_some() && settings.notifications.secret.expose().is_empty() {
        let message = "notifications are not signed: their receiver cannot verify the sender";
        report.warning(CHECK, message, "set notifications.secret to 32 random characters or more");
    }
}

/// Reports a configuration file with secrets that other users can read.
fn secrets(loaded: &LoadedSettings, report: &mut Report) {
    let mut found: Vec<(&Path, &str)> = Vec::new();
    for (key, origin) in loaded.origins() {
        if let Origin::File(path) = origin
            && loaded.is_masked(key)
        {
            found.push((path, key));
        }
    }
    for (path, key) in found {
        if files::others_may_read(path) {
            let message = format!("others can read {}, which holds a secret ({key})", path.display());
            report.problem(CHECK, message, format!("chmod 600 {}", path.display()));
        }
    }
}

fn listeners(settings: &Settings, report: &mut Report) {
    for listener in settings.listeners().into_iter().filter(|listener| listener.tls.certificate.is_none()) {
        let Some(address) = listener.public_address() else { continue };
        let name = listener.section;
        let cure = format!("set {name}.tls.certificate and {name}.tls.key, or listen on 127.0.0.1");
        let message = format!("{name}.listen = {address} speaks plain text to other machines");
        if listener.allow_plain_text {
            report.warning(CHECK, message, format!("{cure}; leave it where something else encrypts, such as a mesh"));
        } else {
            let message = format!("{message}, and `serve` refuses to start");
            report.problem(
                CHECK,
                message,
                format!("{cure}; or {name}.allow_plain_text = true, where something else encrypts"),
            );
        }
    }
}
