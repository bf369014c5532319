//! The description of the HTTP API as OpenAPI 3.1, built from the contract like the API itself.
//!
//! The description contains the paths below `/v1/`. Each of them names the corresponding path of the original API as `x-original-path`. The
//! paths of the original API are not described themselves: their errors have HTTP status 200, so a program that reads a description could
//! not recognise an error.

mod comments;
mod schema;

use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::{MethodInfo, Requirement, method};
use http::Method;
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use crate::Release;
use crate::route::{Mount, Route};
use comments::Comments;
use schema::{Schemas, reference};

const ACCESS_TOKEN: &str = "accesstoken.v1.AccessToken";
const ACCESS_TOKEN_IDENTIFIER: &str = "access_token_identifier";

const INTRODUCTION: &str = "\
Access tokens are what customers present to be recognised: loyalty cards, mobile-app logins, till codes.

Every answer is an envelope of `data` and `status`; `status.code` is `OK` or the name of an exception. The header \
`x-error-reason` names the reason of an error for programs. The same methods are served below `/v1/`, where errors have the \
HTTP status of their kind, and below `/crmapi/rest/v2/`, the paths of the original API, where the errors of a method have HTTP \
status 200 and nothing else differs.

A session token comes from `authentication/token`. It goes into the `Authorization` header as `Bearer`, into the body as `token`, \
or, for `GET`, into the query as `token`. An API key goes into HTTP Basic as the user name, with an empty password.";

/// Returns the description as JSON.
pub(crate) fn document(routes: &[Route], release: Release) -> Value {
    let comments = Comments::read();
    let mut schemas = Schemas::new(&comments, release);
    let mut paths = Map::new();
    let mut order = Vec::new();
    for route in routes.iter().filter(|route| route.mount == Mount::Canonical) {
        if let Some(known) = Known::of(route) {
            let operation = known.operation(&mut schemas, routes);
            order.push(known.id());
            paths.insert(route.path.clone(), json!({ route.verb.as_str().to_lowercase(): operation }));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "access-tokens",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "x-release": release.to_string(),
        },
        "servers": [{ "url": "/" }],
        "tags": [{ "name": "AuthenticationService" }, { "name": "AccessTokenService" }],
        "paths": paths,
        // JSON objects have no order. The page uses the order of the contract.
        "x-order": order,
        "components": {
            "schemas": components(schemas),
            "headers": headers(),
            "responses": { "Error": error_response() },
            "securitySchemes": {
                "session": { "type": "http", "scheme": "bearer", "description": "A session token." },
                "parameter": { "type": "apiKey", "in": "query", "name": "token", "description": "A session token." },
                "key": { "type": "http", "scheme": "basic", "description": "An API key as the user name, with an empty password." },
            },
        },
    })
}

/// Returns the description of a route, with the parts that the contract says of its method.
struct Known<'a> {
    route: &'a Route,
    method: MethodDescriptor,
    info: &'static MethodInfo,
}

impl<'a> Known<'a> {
    fn of(route: &'a Route) -> Option<Self> {
        let info = method(route.grpc_path.as_str())?;
        let (service, name) = info.grpc_path.trim_start_matches('/').split_once('/')?;
        let method = descriptor_pool().get_service_by_name(service)?.methods().find(|method| method.name() == name)?;
        Some(Self { route, method, info })
    }

    fn id(&self) -> String {
        self.method.name().to_owned()
    }

    fn operation(&self, schemas: &mut Schemas<'_>, routes: &[Route]) -> Value {
        let comment = schemas.comments.of_method(&self.method);
        let summary =
            comment.split_once(". ").map_or(comment, |(first, _)| first).split("\n\n").next().unwrap_or_default();
        let mut operation = json!({
            "operationId": self.id(),
            "tags": [self.method.parent_service().name()],
            "summary": summary.trim_end_matches('.'),
            "description": comment,
            "responses": self.responses(schemas, routes),
            "security": self.security(),
        });
        if self.route.verb == Method::GET {
            operation["parameters"] = schemas.parameters(&self.route.request).into();
        } else {
            let schema = schemas.request(&self.route.request, self.needs_session());
            let required = schemas.named[self.route.request.name()].get("required").is_some();
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        }
        let original =
            routes.iter().find(|route| route.mount == Mount::Legacy && route.grpc_path == self.route.grpc_path);
        if let Some(original) = original {
            operation["x-original-path"] = original.path.as_str().into();
        }
        if let Some(requirement) = &self.info.requirement {
            operation["x-permission"] = requirement.name().into();
        }
        if let Some(from) = &self.info.available_from {
            operation["x-available-from"] = from.as_str().into();
        }
        if let Some(from) = &self.info.deprecated_from {
            operation["x-deprecated-from"] = from.as_str().into();
        }
        operation
    }

    fn needs_session(&self) -> bool {
        self.info.requirement != Some(Requirement::None)
    }

    fn security(&self) -> Value {
        match (self.needs_session(), self.route.verb == Method::GET) {
            (false, _) if self.info.grpc_path.ends_with("/LoginWithApiKey") => json!([{}, { "key": [] }]),
            (false, _) => json!([]),
            (true, true) => json!([{ "session": [] }, { "parameter": [] }, { "key": [] }]),
            (true, false) => json!([{ "session": [] }, { "key": [] }, {}]),
        }
    }

    fn responses(&self, schemas: &mut Schemas<'_>, routes: &[Route]) -> Value {
        let mut properties = json!({ "status": reference("Success") });
        let mut required = vec!["status"];
        if !self.route.answer.is_empty() {
            let item = descriptor_pool().get_message_by_name(&self.route.item).map(|item| schemas.answer(&item));
            let item = item.unwrap_or_default();
            properties["data"] =
                if self.route.answer.is_list() { json!({ "type": "array", "items": item }) } else { item };
            required.insert(0, "data");
        }
        let envelope = json!({ "type": "object", "required": required, "properties": properties });
        let mut ok = json!({
            "description": "The answer.",
            "headers": { "x-request-id": { "$ref": "#/components/headers/x-request-id" } },
        });
        if self.route.answer.is_list() {
            ok["headers"]["x-next-page-token"] = json!({ "$ref": "#/components/headers/x-next-page-token" });
        }
        let links = self.links(routes);
        if !links.is_empty() {
            ok["links"] = links.into();
        }
        let error = json!({ "$ref": "#/components/responses/Error" });
        ok["content"] = json!({ "application/json": { "schema": envelope } });
        json!({ "200": ok, "4XX": error, "5XX": error })
    }

    /// Returns links from a created access token to all methods that take one.
    fn links(&self, routes: &[Route]) -> Map<String, Value> {
        let created = self.info.output == ACCESS_TOKEN && !asks_for_access_token(self.route);
        let targets =
            routes.iter().filter(|route| created && route.mount == self.route.mount && asks_for_access_token(route));
        let links = targets.filter_map(Known::of).map(|target| {
            let body = json!({ ACCESS_TOKEN_IDENTIFIER: { "number": "$response.body#/data/number" } });
            (target.method.name().to_owned(), json!({ "operationId": target.id(), "requestBody": body }))
        });
        links.collect()
    }
}

fn asks_for_access_token(route: &Route) -> bool {
    route.request.get_field_by_name(ACCESS_TOKEN_IDENTIFIER).is_some()
}

/// Returns the schemas of the contract and of the envelope.
fn components(schemas: Schemas<'_>) -> Value {
    let reasons = descriptor_pool().get_enum_by_name("accesstoken.v1.ErrorReason");
    let reasons: Vec<_> =
        reasons.iter().flat_map(|reasons| reasons.values()).filter(|value| value.number() != 0).collect();
    let names: Vec<_> = reasons.iter().map(|value| value.name()).collect();
    let explained: Map<String, Value> =
        reasons.iter().map(|value| (value.name().to_owned(), schemas.comments.of_value(value).into())).collect();
    let mut all: Map<String, Value> = schemas.named.into_iter().collect();
    all.insert(
        "ErrorReason".to_owned(),
        json!({
            "type": "string",
            "enum": names,
            "description": "Why a call was refused.",
            "x-enum-descriptions": explained,
        }),
    );
    let status = |code: Value| {
        json!({
            "type": "object",
            "required": ["code", "description", "message"],
            "properties": {
                "code": code,
                "description": { "type": "string", "description": "The fields at fault, as `field: what; field: what`." },
                "message": { "type": "string", "description": "What went wrong, for people." },
            },
        })
    };
    all.insert("Success".to_owned(), status(json!({ "const": "OK" })));
    all.insert(
        "Failure".to_owned(),
        status(json!({
            "type": "string",
            "pattern": r"^COM\.CRM\.EXCEPTION\.",
            "description": "`COM.CRM.EXCEPTION.ACCESSTOKENS.`, the reason without underscores, and `EXCEPTION`; \
                            `COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION` for a session that is not valid (any more).",
        })),
    );
    all.insert(
        "ErrorEnvelope".to_owned(),
        json!({
            "type": "object",
            "required": ["status"],
            "properties": { "status": reference("Failure") },
            "additionalProperties": false,
        }),
    );
    all.into()
}

fn headers() -> Value {
    json!({
        "x-request-id": { "description": "The id of the call, as in the log.", "schema": { "type": "string" } },
        "x-error-reason": { "description": "The reason of an error.", "schema": reference("ErrorReason") },
        "x-next-page-token": {
            "description": "The `page_token` of the next page. Absent on the last one.",
            "schema": { "type": "string" },
        },
        "Retry-After": { "description": "After how many seconds to try again.", "schema": { "type": "integer" } },
    })
}

fn error_response() -> Value {
    json!({
        "description": "An error: the envelope without `data`.",
        "headers": {
            "x-error-reason": { "$ref": "#/components/headers/x-error-reason" },
            "Retry-After": { "$ref": "#/components/headers/Retry-After" },
        },
        "content": { "application/json": { "schema": reference("ErrorEnvelope") } },
    })
}

#[cfg(test)]
mod tests;
