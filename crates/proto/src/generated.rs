//! The generated code. It is in modules of its own, since it does not conform to our lints.

/// Messages, clients and servers of package `accesstoken.v1`.
///
/// `Debug` of a message shows no field that the contract marks `debug_redact`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod v1 {
    use super::hidden;

    include!(concat!(env!("OUT_DIR"), "/accesstoken.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/debug.rs"));
}

/// Messages, client and server of health, as gRPC defines it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// Returns the text that `Debug` shows in place of a secret. It reveals only whether there is one.
fn hidden<T: Default + PartialEq>(secret: &T) -> &'static str {
    if *secret == T::default() { "" } else { "<hidden>" }
}
