//! The options of the contract as data: authorisation, HTTP paths and releases of methods, and properties of fields.

use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, Value};

use crate::descriptor_pool;

/// The authorisation that a method requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// No session.
    None,
    /// A valid session, with any permissions.
    Session,
    /// A valid session with the permission of this name. The contract does not say which names exist: a name that the service does not
    /// know must be refused.
    Permission(String),
}

impl Requirement {
    /// Returns the value of the option `permission`.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Session => "session",
            Self::Permission(name) => name,
        }
    }
}

impl From<String> for Requirement {
    fn from(name: String) -> Self {
        match name.as_str() {
            "none" => Self::None,
            "session" => Self::Session,
            _ => Self::Permission(name),
        }
    }
}

/// One HTTP path of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpBinding {
    /// The HTTP method: `GET` or `POST`.
    pub verb: &'static str,
    /// The path, for example `/v1/access_tokens/show`.
    pub path: String,
    /// Whether the request is JSON in the body. Otherwise it is in the query.
    pub body: bool,
}

/// A method of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodInfo {
    /// Path of the call, for example `/accesstoken.v1.AccessTokenService/ShowAccessToken`.
    pub grpc_path: String,
    /// Full name of the request message.
    pub input: String,
    /// Full name of the response message.
    pub output: String,
    /// Whether the request is a stream.
    pub client_streaming: bool,
    /// The authorisation that the method requires. `None`: the contract does not say, and every call must be refused.
    pub requirement: Option<Requirement>,
    /// Whether the method changes no record. Every other method may write.
    pub reads: bool,
    /// HTTP paths, that of the original API first. A streaming method has none.
    pub http: Vec<HttpBinding>,
    /// First release of the original API that has the method.
    pub available_from: Option<String>,
    /// First release of the original API that deprecates the method.
    pub deprecated_from: Option<String>,
}

/// The options of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// First release of the original API that has the field.
    pub available_from: Option<String>,
    /// First release of the original API that deprecates the field.
    pub deprecated_from: Option<String>,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// Returns every method of the contract. This is the only list of methods; all others follow from it.
pub fn methods() -> &'static [MethodInfo] {
    static METHODS: LazyLock<Vec<MethodInfo>> = LazyLock::new(|| {
        let services = descriptor_pool().services().filter(|service| service.package_name() == "accesstoken.v1");
        services.flat_map(|service| service.methods().map(|method| method_info(&method)).collect::<Vec<_>>()).collect()
    });
    &METHODS
}

/// Returns the method with a path such as `/accesstoken.v1.AccessTokenService/ShowAccessToken`.
pub fn method(grpc_path: &str) -> Option<&'static MethodInfo> {
    methods().iter().find(|method| method.grpc_path == grpc_path)
}

/// Returns the options of a field, such as `udf_date_1` of `accesstoken.v1.AccessToken`.
pub fn field(message_full_name: &str, field: &str) -> Option<FieldInfo> {
    let field = descriptor_pool().get_message_by_name(message_full_name)?.get_field_by_name(field)?;
    Some(field_info(&field))
}

/// Returns the options of a field, given its descriptor.
pub fn field_info(field: &FieldDescriptor) -> FieldInfo {
    let options = field.options();
    FieldInfo {
        available_from: text(&options, "accesstoken.v1.available_from"),
        deprecated_from: text(&options, "accesstoken.v1.deprecated_from"),
        secret: options.get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true)),
    }
}

/// Returns whether the field is marked as REQUIRED.
pub fn is_required(field: &FieldDescriptor) -> bool {
    behaviours(field).contains(&2)
}

/// Returns whether the field is marked as OPTIONAL. The alternatives of a oneof are marked only if none of them need be
/// given.
pub fn is_optional(field: &FieldDescriptor) -> bool {
    behaviours(field).contains(&1)
}

/// Returns the numbers of `google.api.field_behavior`: 1 is OPTIONAL, 2 is REQUIRED, 3 is OUTPUT_ONLY.
fn behaviours(field: &FieldDescriptor) -> Vec<i32> {
    let Some(values) = extension(&field.options(), "google.api.field_behavior") else { return Vec::new() };
    values.as_list().into_iter().flatten().filter_map(Value::as_enum_number).collect()
}

fn method_info(method: &MethodDescriptor) -> MethodInfo {
    let options = method.options();
    MethodInfo {
        grpc_path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        input: method.input().full_name().to_owned(),
        output: method.output().full_name().to_owned(),
        client_streaming: method.is_client_streaming(),
        requirement: text(&options, "accesstoken.v1.permission").map(Requirement::from),
        reads: extension(&options, "accesstoken.v1.reads").is_some_and(|value| value.as_bool() == Some(true)),
        http: extension(&options, "google.api.http").map(|rule| bindings(&rule)).unwrap_or_default(),
        available_from: text(&options, "accesstoken.v1.method_available_from"),
        deprecated_from: text(&options, "accesstoken.v1.method_deprecated_from"),
    }
}

/// Returns the binding of a `google.api.HttpRule`, followed by its additional ones.
fn bindings(rule: &Value) -> Vec<HttpBinding> {
    let Some(rule) = rule.as_message() else { return Vec::new() };
    let own = ["get", "post"].into_iter().find(|verb| rule.has_field_by_name(verb)).and_then(|verb| {
        Some(HttpBinding {
            verb: if verb == "get" { "GET" } else { "POST" },
            path: rule.get_field_by_name(verb)?.as_str()?.to_owned(),
            body: rule.get_field_by_name("body")?.as_str()? == "*",
        })
    });
    let more = rule.get_field_by_name("additional_bindings");
    let more = more.iter().filter_map(|value| value.as_list()).flatten().flat_map(bindings);
    own.into_iter().chain(more).collect()
}

fn text(options: &DynamicMessage, name: &str) -> Option<String> {
    extension(options, name)?.as_str().map(str::to_owned)
}

fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = descriptor_pool().get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}
