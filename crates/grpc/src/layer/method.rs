//! The catalogue of methods: access, limits and kind of each, known before a call.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use access_tokens_domain::session::Permission;
use access_tokens_proto::descriptor_pool;
use access_tokens_proto::health::health_server::SERVICE_NAME as HEALTH;
use access_tokens_proto::options::{self, MethodInfo, Requirement};
use prost_reflect::{DescriptorPool, MethodDescriptor};

/// Maximum size of a request message in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Maximum size of one message of an import in bytes.
pub(crate) const MAX_RECORD_BYTES: usize = access_tokens_domain::import::MAX_RECORD_BYTES;

/// Maximum time for one unary call.
const UNARY_LIMIT: Duration = Duration::from_secs(30);
/// Maximum time for a call that streams its request: thousands of records, some with a password to hash.
const STREAMING_LIMIT: Duration = Duration::from_secs(300);

/// The access to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every caller, without a credential.
    Open,
    /// Callers with a session, an API key or a certificate.
    Session,
    /// Callers with this permission.
    Permission(Permission),
    /// No caller, because the contract declares no permission.
    Denied,
}

/// One method.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// The path of a call, for example `/accesstoken.v1.AccessTokenService/ShowAccessToken`.
    pub path: String,
    /// The callers that are allowed.
    pub(crate) access: Access,
    /// Whether the contract declares that the method changes no record, so that a call may still be refused when its response is ready.
    /// `false` for probes, which are served at any load.
    pub(crate) reads: bool,
    /// Whether it belongs to health or reflection. These calls are neither counted nor logged, and are served when all others are refused.
    pub(crate) probe: bool,
    /// Whether its request is a stream of messages.
    pub(crate) client_streaming: bool,
    /// Whether it is a probe whose answer is a stream without an end of its own.
    pub(crate) long_lived: bool,
    /// Maximum time for one call.
    pub(crate) time_limit: Duration,
    /// Maximum size of a request message in bytes.
    pub(crate) size_limit: usize,
}

/// Returns the name under which a call is counted. `None` for probes, which are not counted.
pub(super) fn counted(path: &str) -> Option<&'static str> {
    match find(path) {
        Some(method) if method.probe => None,
        Some(method) => Some(method.path.trim_start_matches('/')),
        // An unknown path is arbitrary text from a caller. Each would be a series of its own.
        None => Some("unknown"),
    }
}

/// Returns the path of a method as the contract has it. `None` if nothing is served at this path.
pub fn name(path: &str) -> Option<&'static str> {
    find(path).map(|method| method.path.as_str())
}

/// Returns the method of a path. `None` if nothing is served there.
pub fn find(path: &str) -> Option<&'static Method> {
    static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
        let all = options::methods().iter().map(of_contract).chain(probes());
        all.map(|method| (method.path.clone(), method)).collect()
    });
    METHODS.get(path)
}

fn of_contract(method: &MethodInfo) -> Method {
    let (time_limit, size_limit) =
        if method.client_streaming { (STREAMING_LIMIT, MAX_RECORD_BYTES) } else { (UNARY_LIMIT, MAX_REQUEST_BYTES) };
    Method {
        path: method.grpc_path.clone(),
        access: access(method.requirement.as_ref()),
        reads: method.reads,
        probe: false,
        client_streaming: method.client_streaming,
        long_lived: false,
        time_limit,
        size_limit,
    }
}

fn access(requirement: Option<&Requirement>) -> Access {
    match requirement {
        None => Access::Denied,
        Some(Requirement::None) => Access::Open,
        Some(Requirement::Session) => Access::Session,
        Some(Requirement::Permission(name)) => Permission::from_name(name).map_or(Access::Denied, Access::Permission),
    }
}

/// Returns the methods of health and reflection, which need no session.
fn probes() -> Vec<Method> {
    let sets = [tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET];
    let reflection = sets.map(|set| DescriptorPool::decode(set).expect("it was compiled with this program"));
    let services = descriptor_pool().get_service_by_name(HEALTH).into_iter();
    let services = services.chain(reflection.iter().flat_map(DescriptorPool::services));
    services.flat_map(|service| service.methods().map(|method| probe(&method)).collect::<Vec<_>>()).collect()
}

fn probe(method: &MethodDescriptor) -> Method {
    Method {
        path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        access: Access::Open,
        reads: false,
        probe: true,
        client_streaming: method.is_client_streaming(),
        long_lived: method.is_server_streaming(),
        time_limit: UNARY_LIMIT,
        size_limit: MAX_REQUEST_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_says_who_may_call_it() {
        for method in options::methods() {
            let found = find(&method.grpc_path).expect("known");
            assert_ne!(found.access, Access::Denied, "{}", method.grpc_path);
        }
    }

    #[test]
    fn a_method_that_does_not_say_is_for_nobody() {
        assert_eq!(access(None), Access::Denied);
        for unknown in ["", "admins", "ADMIN", "access_tokens.*", "None"] {
            assert_eq!(access(Some(&Requirement::from(unknown.to_owned()))), Access::Denied, "{unknown}");
        }
    }

    #[test]
    fn the_contract_names_permissions_of_the_domain_only() {
        for permission in Permission::ALL {
            let requirement = Requirement::from(permission.name().to_owned());
            assert_eq!(access(Some(&requirement)), Access::Permission(permission));
        }
        let names = options::methods().iter().filter_map(|method| method.requirement.as_ref());
        for requirement in names {
            if let Requirement::Permission(name) = requirement {
                assert!(Permission::from_name(name).is_some(), "{name} is no permission");
            }
        }
        let source = include_str!("../../../../proto/accesstoken/v1/options.proto");
        let (_, listed) = source.split_once("any valid session.\n").expect("the comment lists the permissions");
        let (listed, _) = listed.split_once("optional string permission").expect("the option");
        let listed: Vec<_> = listed.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, Permission::ALL.map(Permission::name));
    }

    #[test]
    fn only_logins_and_probes_are_open() {
        let open = options::methods().iter().filter(|m| find(&m.grpc_path).is_some_and(|m| m.access == Access::Open));
        let names: Vec<_> = open.map(|m| m.grpc_path.as_str()).collect();
        let service = "/accesstoken.v1.AuthenticationService";
        assert_eq!(names, [format!("{service}/Login"), format!("{service}/LoginWithApiKey")]);
        for probe in [
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/List",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(find(probe).is_some_and(|method| method.probe && method.access == Access::Open), "{probe}");
            let streams = probe.ends_with("Watch") || probe.ends_with("Info");
            assert!(find(probe).is_some_and(|method| method.long_lived == streams), "{probe}");
        }
        assert!(find("/accesstoken.v1.AccessTokenService/Nonsense").is_none());
    }
}
