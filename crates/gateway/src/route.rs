//! Routes: every HTTP binding that the contract gives to a method.

use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::{Requirement, methods};
use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::MessageDescriptor;

use crate::Release;
use crate::response::{Plans, ResponsePlan, list_of};

/// The beginning of the paths of the original API.
pub(crate) const LEGACY: &str = "/crmapi/rest/v2/";

/// The two families of paths. They differ in the HTTP status of errors only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    /// `/crmapi/rest/v2/…`: errors have HTTP status 200, because clients of the original API cannot take another one.
    Legacy,
    /// All other paths: errors have the canonical HTTP status of their gRPC code.
    Canonical,
}

impl Mount {
    /// Returns the mount of a path.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with(LEGACY) { Self::Legacy } else { Self::Canonical }
    }
}

/// One HTTP path of one method.
#[derive(Debug)]
pub(crate) struct Route {
    /// The path, without a slash at its end.
    pub(crate) path: String,
    /// The mount that it belongs to.
    pub(crate) mount: Mount,
    /// `GET` or `POST`.
    pub(crate) verb: Method,
    /// The method of the service.
    pub(crate) grpc_path: PathAndQuery,
    /// Whether only authenticated callers receive a result.
    pub(crate) needs_session: bool,
    /// The type of its request.
    pub(crate) request: MessageDescriptor,
    /// The full name of the message that `fields_set` is about.
    pub(crate) item: String,
    /// The plan of its response.
    pub(crate) answer: ResponsePlan,
}

/// Returns all routes of the contract, with the plans of their responses.
pub(crate) fn routes(release: Release) -> (Vec<Route>, Plans) {
    let mut plans = Plans::default();
    let mut routes = Vec::new();
    let message =
        |name: &str| descriptor_pool().get_message_by_name(name).expect("a method has a request and an answer");
    for method in methods().iter().filter(|method| !method.client_streaming) {
        let answer = message(&method.output);
        for binding in &method.http {
            routes.push(Route {
                path: binding.path.clone(),
                mount: Mount::of(&binding.path),
                verb: if binding.body { Method::POST } else { Method::GET },
                grpc_path: PathAndQuery::try_from(&method.grpc_path)
                    .expect("the path of a method is the path of a URI"),
                needs_session: method.requirement != Some(Requirement::None),
                request: message(&method.input),
                item: item(&answer).full_name().to_owned(),
                answer: ResponsePlan::new(&answer, &mut plans, release),
            });
        }
    }
    (routes, plans)
}

/// Returns the message that the data of a response consists of.
fn item(answer: &MessageDescriptor) -> MessageDescriptor {
    list_of(answer).and_then(|field| field.kind().as_message().cloned()).unwrap_or_else(|| answer.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_binding_of_the_contract_is_a_route_of_its_mount() {
        let (routes, _) = routes(Release::default());
        let found: Vec<_> =
            routes.iter().map(|r| (r.grpc_path.as_str(), r.verb.as_str(), r.path.as_str(), r.mount)).collect();
        let bindings = methods().iter().flat_map(|method| method.http.iter().map(move |binding| (method, binding)));
        let expected: Vec<_> = bindings
            .map(|(method, binding)| {
                let mount = if binding.path.starts_with("/v1/") { Mount::Canonical } else { Mount::Legacy };
                (method.grpc_path.as_str(), binding.verb, binding.path.as_str(), mount)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_belongs_to_one_method_and_has_no_variables() {
        let (routes, _) = routes(Release::default());
        let paths: HashSet<_> = routes.iter().map(|route| &route.path).collect();
        assert_eq!(paths.len(), routes.len());
        assert!(paths.iter().all(|path| !path.contains(['{', ':', '*']) && !path.ends_with('/')));
    }
}
