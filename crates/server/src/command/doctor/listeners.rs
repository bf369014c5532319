//! Checks whether the ports are free, or this service listens on them.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use super::report::Report;
use crate::command::healthcheck;
use crate::config::Settings;

const CHECK: &str = "ports";

pub(super) async fn check(settings: &Settings, report: &mut Report) {
    let listeners = settings.listeners();
    let all: Vec<_> = listeners.iter().filter_map(|one| Some((one.listen, one.address?))).collect();
    let mut served = false;
    let mut free = Vec::new();
    for (name, address) in &all {
        match TcpListener::bind(address).await {
            Ok(_) => free.push(address.to_string()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // If this service answers on the gRPC port, the other ports are its own too.
                served = served || (*name == "grpc.listen" && healthcheck::is_alive(settings).await);
                if !served {
                    let message = format!("another program listens on {address} ({name})");
                    report.problem(CHECK, message, format!("stop it, or set {name} to another port"));
                }
            }
            Err(error) => {
                let message = format!("nothing can listen on {address} ({name}): {error}");
                report.problem(CHECK, message, cure(name, error.kind()));
            }
        }
    }
    if served {
        report.ok(CHECK, "the service listens on them now");
    } else if free.len() == all.len() {
        report.ok(CHECK, format!("free: {}", free.join(", ")));
    }
}

fn cure(name: &str, kind: ErrorKind) -> String {
    match kind {
        ErrorKind::PermissionDenied => {
            format!("set {name} to a port from 1024 on, or give the service the right to this one")
        }
        ErrorKind::AddrNotAvailable => {
            format!("set {name} to an address of this machine, such as 127.0.0.1 or 0.0.0.0")
        }
        _ => format!("set {name} to another address or port"),
    }
}
