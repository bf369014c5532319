//! Can the ports be listened on, or does this service listen there already?

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::report::Report;
use crate::command::healthcheck;
use crate::config::Settings;

const CHECK: &str = "ports";

pub(super) async fn check(settings: &Settings, report: &mut Report) {
    let all = [
        ("grpc.listen", Some(settings.grpc.listen)),
        ("http.listen", settings.http.listen),
        ("ops.listen", settings.ops.listen),
    ];
    let all: Vec<_> = all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect();
    let mut served = false;
    let mut free = Vec::new();
    for (index, (name, address)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..index].iter().find(|(_, other)| meet(*other, *address)) {
            let message = format!("{name} and {other} are the same port, {}", address.port());
            report.problem(CHECK, message, format!("set {name} to another port"));
            continue;
        }
        match TcpListener::bind(address).await {
            Ok(_) => free.push(address.to_string()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // Where this service answers on the port of gRPC, the others are its own.
                served = served || (*name == "grpc.listen" && healthcheck::lives(settings).await);
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
        report.well(CHECK, "the service listens on them now");
    } else if free.len() == all.len() {
        report.well(CHECK, format!("free: {}", free.join(", ")));
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

/// Would one of two listeners be refused because of the other?
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let same = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_meet_on_one_port_of_one_address() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let address = |text: &str| text.parse().expect("an address");
            assert_eq!(meet(address(one), address(other)), expected, "{one} {other}");
        }
    }
}
