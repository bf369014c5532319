//! Requests: converts parameters and JSON of a client to the bytes of a message.

mod query;
mod read;
mod scalar;

use access_tokens_proto::FieldViolation;
use access_tokens_proto::fields::{shown, validate_path};
use access_tokens_proto::v1::ErrorReason;
use bytes::Bytes;
use http::{Method, StatusCode};
use prost_reflect::prost::Message;

use crate::error::ApiError;
use crate::json::{self, JsonValue};
use crate::response::{self, Plans, Selection};
use crate::route::{Mount, Route};
use crate::{GatewayConfig, Release};

pub(crate) use read::{FIELDS_SET, KeyTarget, UPDATE_MASK, is_choice, is_object, keys};
use read::{Reader, Tolerance};

/// The member that carries the session token.
pub(crate) const TOKEN: &str = "token";

/// A request that has been read.
pub(crate) struct Request {
    /// The message.
    pub(crate) message: Bytes,
    /// The session token among the parameters.
    pub(crate) token: Option<String>,
    /// The keys that the response shows.
    pub(crate) selection: Selection,
}

/// Reads a request: the parameters of its query together with the members of its body. No name may occur twice.
pub(crate) fn read(
    route: &Route,
    plans: &Plans,
    config: &GatewayConfig,
    query: Option<&str>,
    body: &[u8],
) -> Result<Request, ApiError> {
    let legacy = route.mount == Mount::Legacy;
    let tolerance = Tolerance {
        empty_is_absent: legacy && route.request.get_field_by_name(UPDATE_MASK).is_none(),
        array_is_object: legacy,
    };
    let mut members = members(route, tolerance, query, body)?;
    let token = take(&mut members, TOKEN).map(scalar::token).transpose()?.flatten();
    let wanted =
        route.request.get_field_by_name(FIELDS_SET).and_then(|field| Some((field, take(&mut members, FIELDS_SET)?)));

    let mut reader = Reader { zone: config.time_zone, tolerance, violations: Vec::new() };
    let mut message = reader.request(&route.request, &members);
    let mut selection = Selection::All;
    if let Some((field, node)) = wanted {
        match scalar::comma_separated(&node) {
            Ok(paths) => {
                let (wanted, paths) = fields_set(route, plans, config.release, &paths, &mut reader.violations);
                selection = wanted;
                read::set_mask(&mut message, &field, paths.into_iter());
            }
            Err(what) => reader.violations.push(FieldViolation::invalid(FIELDS_SET, what)),
        }
    }
    if !reader.violations.is_empty() {
        return Err(ApiError::from_violations(reader.violations));
    }
    Ok(Request { message: message.encode_to_vec().into(), token, selection })
}

/// Returns the fields that `fields_set` asks for: the keys of the response, and the paths for the service. An unknown path is passed on, so
/// that the service reports it together with all other violations. Only a field that this release does not have is refused here.
fn fields_set(
    route: &Route,
    plans: &Plans,
    release: Release,
    paths: &[String],
    violations: &mut Vec<FieldViolation>,
) -> (Selection, Vec<String>) {
    if paths.iter().any(|path| path == "*") {
        return (Selection::All, Vec::new());
    }
    let mut found = Vec::new();
    let mut names = Vec::new();
    for path in paths {
        if let Some(path) = response::find(plans, route.answer.item, path) {
            names.push(path.name.clone());
            found.push(path);
        } else if validate_path(&route.item, path).is_ok() {
            let known = response::known(plans, route.answer.item);
            let what = format!("unknown field `{}` in release {release}; known: {known}", shown(path));
            violations.push(FieldViolation::new(ErrorReason::UnknownField, FIELDS_SET, what));
        } else {
            names.push(path.clone());
        }
    }
    (response::select(&found), names)
}

/// Returns the parameters of the query and the members of the body, in this order.
fn members(
    route: &Route,
    tolerance: Tolerance,
    query: Option<&str>,
    body: &[u8],
) -> Result<Vec<(String, JsonValue)>, ApiError> {
    let mut members = query::parse(query.unwrap_or_default())?;
    credentials_outside(route, &members)?;
    members.extend(body_members(body, tolerance)?);
    let mut seen = std::collections::HashSet::new();
    let twice = members.iter().find(|(key, _)| !seen.insert(key.as_str()));
    match twice {
        Some((key, _)) => Err(FieldViolation::invalid(json::join("", key), "stands twice").into()),
        None => Ok(members),
    }
}

/// Refuses parameters of a log-in in the query, because proxies and servers log queries. A log-in does not read a session token there.
fn credentials_outside(route: &Route, parameters: &[(String, JsonValue)]) -> Result<(), ApiError> {
    if route.needs_session || route.verb != Method::POST {
        return Ok(());
    }
    let outside = parameters.iter().filter(|(key, _)| key != TOKEN);
    let violations: Vec<_> = outside
        .map(|(key, _)| {
            FieldViolation::invalid(json::join("", key), "must be in the body: queries are logged on the way")
        })
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(ApiError::from_violations(violations)) }
}

/// Returns the members of the object in the body. An empty body has none.
fn body_members(body: &[u8], tolerance: Tolerance) -> Result<Vec<(String, JsonValue)>, ApiError> {
    let bad = |message: &str| ApiError::new(ErrorReason::InvalidFieldValue, StatusCode::BAD_REQUEST, message);
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match json::parse(text, "")? {
        JsonValue::Object(members) => Ok(members),
        JsonValue::List(items) if items.is_empty() && tolerance.array_is_object => Ok(Vec::new()),
        _ => Err(bad("the body must be one JSON object")),
    }
}

fn take(members: &mut Vec<(String, JsonValue)>, key: &str) -> Option<JsonValue> {
    let position = members.iter().position(|(name, _)| name == key)?;
    Some(members.remove(position).1)
}

#[cfg(test)]
mod tests;
