//! Routes: every HTTP binding that the contract gives to a method.

use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::{Requirement, methods};
use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::MessageDescriptor;

use crate::Release;
use crate::response::{Plans, ResponsePlan, list_of};

/// The paths of the original API begin with this.
pub(crate) const LEGACY: &str = "/crmapi/rest/v2/";

/// Which of the two families of paths a request came by. They differ in the HTTP status of errors only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    /// `/crmapi/rest/v2/…`: errors have HTTP status 200, because clients of the original API cannot take another one.
    Legacy,
    /// Everything else: errors have the canonical HTTP status of their gRPC code.
    Canonical,
}

impl Mount {
    /// The mount of a path.
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
    /// Whether only authenticated callers get an answer.
    pub(crate) needs_session: bool,
    /// Its request.
    pub(crate) request: MessageDescriptor,
    /// The full name of the message that `fields_set` is about.
    pub(crate) item: String,
    /// How its answer is written.
    pub(crate) answer: ResponsePlan,
}

/// All routes of the contract, with the plans of their answers.
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

/// The message that the data of an answer consists of.
fn item(answer: &MessageDescriptor) -> MessageDescriptor {
    list_of(answer).and_then(|field| field.kind().as_message().cloned()).unwrap_or_else(|| answer.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_method_that_does_not_stream_has_both_routes_and_the_same_behind_them() {
        let (routes, _) = routes(Release::default());
        for method in methods().iter().filter(|method| !method.client_streaming) {
            let of_method: Vec<_> =
                routes.iter().filter(|route| route.grpc_path.as_str() == method.grpc_path).collect();
            let mounts: Vec<_> = of_method.iter().map(|route| route.mount).collect();
            assert_eq!(mounts, [Mount::Legacy, Mount::Canonical], "{}", method.grpc_path);
            let below: Vec<_> =
                of_method.iter().map(|r| r.path.trim_start_matches(LEGACY).trim_start_matches("/v1/")).collect();
            assert_eq!(below[0], below[1]);
            assert_eq!(of_method[0].verb, of_method[1].verb);
            for (route, binding) in of_method.iter().zip(&method.http) {
                assert_eq!(route.verb.as_str(), binding.verb);
            }
        }
    }

    #[test]
    fn a_path_belongs_to_one_method_and_has_no_variables() {
        let (routes, _) = routes(Release::default());
        let paths: HashSet<_> = routes.iter().map(|route| &route.path).collect();
        assert_eq!(paths.len(), routes.len());
        assert!(paths.iter().all(|path| !path.contains(['{', ':', '*']) && !path.ends_with('/')));
    }

    #[test]
    fn the_paths_are_those_of_the_documentation() {
        let (routes, _) = routes(Release::default());
        let legacy = routes.iter().filter(|route| route.mount == Mount::Legacy);
        let paths: Vec<_> = legacy.map(|r| format!("{} {}", r.verb, r.path.trim_start_matches(LEGACY))).collect();
        let documented = [
            "POST access_tokens/show",
            "GET access_tokens/list",
            "GET access_tokens/get_not_associated",
            "POST access_tokens/create",
            "POST access_tokens/update",
            "POST access_tokens/verify",
            "POST access_tokens/reset_pass_code",
            "POST access_tokens/reset_verification_code",
            "POST access_tokens/generate_otp",
            "POST access_tokens/set_as_effective",
            "POST access_tokens/set_as_not_effective",
            "GET access_tokens/configuration/classifications/list",
            "POST access_tokens/check_pass_code",
            "POST access_tokens/change_pass_code",
            "POST access_tokens/verify_otp",
            "POST access_tokens/forgot_pass_code",
            "POST access_tokens/unlock",
            "POST access_tokens/explain",
            "GET access_tokens/configuration/guess_budgets/list",
            "POST authentication/token",
            "POST authentication/web_api_key/token",
            "POST authentication/token/release",
        ];
        for path in documented {
            assert!(paths.iter().any(|known| known == path), "{path}");
        }
    }
}
