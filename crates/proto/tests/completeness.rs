//! Tests that the contract is complete: every element has its comment and its options.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use access_tokens_proto::options::{self, Requirement};
use access_tokens_proto::{FILE_DESCRIPTOR_SET, commented_pool};
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};

const PACKAGE: &str = "accesstoken.v1";

fn contract() -> &'static DescriptorPool {
    static CONTRACT: LazyLock<DescriptorPool> = LazyLock::new(commented_pool);
    &CONTRACT
}

fn messages() -> impl Iterator<Item = MessageDescriptor> {
    contract().all_messages().filter(|message| message.package_name() == PACKAGE)
}

/// The comment of an element, without line breaks.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let source = file.file_descriptor_proto().source_code_info.as_ref().expect("descriptors have source info");
    let location = source.location.iter().find(|location| location.path == path);
    let text = location.and_then(|location| location.leading_comments.clone()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const READS: bool = true;
const WRITES: bool = false;

/// Each method of the specification: service, method, permission, whether it changes no record, and verb and path over HTTP. A path
/// without a slash at its beginning is one of the original API and has both prefixes, [`ORIGINAL`] and [`OWN`]; a method that the original
/// API does not have has the whole path here, below [`OWN`]. A method that is missing or added here changes what clients can rely on.
const METHODS: &[(&str, &str, &str, bool, &str)] = &[
    ("AccessTokenService", "ShowAccessToken", "access_tokens.read", READS, "POST access_tokens/show"),
    ("AccessTokenService", "ListAccessTokens", "access_tokens.read", READS, "GET access_tokens/list"),
    (
        "AccessTokenService",
        "GetNotAssociatedAccessTokens",
        "access_tokens.read",
        READS,
        "GET access_tokens/get_not_associated",
    ),
    ("AccessTokenService", "CreateAccessToken", "access_tokens.write", WRITES, "POST access_tokens/create"),
    ("AccessTokenService", "UpdateAccessToken", "access_tokens.write", WRITES, "POST access_tokens/update"),
    ("AccessTokenService", "VerifyAccessToken", "access_tokens.write", WRITES, "POST access_tokens/verify"),
    ("AccessTokenService", "ResetPassCode", "access_tokens.secrets", WRITES, "POST access_tokens/reset_pass_code"),
    (
        "AccessTokenService",
        "ResetVerificationCode",
        "access_tokens.secrets",
        WRITES,
        "POST access_tokens/reset_verification_code",
    ),
    ("AccessTokenService", "GenerateOtp", "access_tokens.secrets", WRITES, "POST access_tokens/generate_otp"),
    ("AccessTokenService", "SetAsEffective", "access_tokens.write", WRITES, "POST access_tokens/set_as_effective"),
    (
        "AccessTokenService",
        "SetAsNotEffective",
        "access_tokens.write",
        WRITES,
        "POST access_tokens/set_as_not_effective",
    ),
    (
        "AccessTokenService",
        "ListClassifications",
        "access_tokens.read",
        READS,
        "GET access_tokens/configuration/classifications/list",
    ),
    ("AccessTokenService", "CheckPassCode", "access_tokens.read", WRITES, "POST access_tokens/check_pass_code"),
    ("AccessTokenService", "ChangePassCode", "access_tokens.write", WRITES, "POST access_tokens/change_pass_code"),
    ("AccessTokenService", "VerifyOtp", "access_tokens.write", WRITES, "POST access_tokens/verify_otp"),
    ("AccessTokenService", "ForgotPassCode", "access_tokens.write", WRITES, "POST access_tokens/forgot_pass_code"),
    ("AccessTokenService", "UnlockAccessToken", "access_tokens.write", WRITES, "POST access_tokens/unlock"),
    ("AccessTokenService", "ExplainAccessToken", "access_tokens.read", READS, "POST access_tokens/explain"),
    (
        "AccessTokenService",
        "ListGuessBudgets",
        "access_tokens.read",
        READS,
        "GET access_tokens/configuration/guess_budgets/list",
    ),
    ("AuthenticationService", "Login", "none", WRITES, "POST authentication/token"),
    ("AuthenticationService", "LoginWithApiKey", "none", WRITES, "POST authentication/web_api_key/token"),
    ("AuthenticationService", "ReleaseToken", "session", WRITES, "POST authentication/token/release"),
    ("AuthenticationService", "GetSession", "session", READS, "GET /v1/authentication/session"),
    ("DirectoryService", "ImportDirectory", "directory.write", WRITES, ""),
];

/// Prefix of the paths of the original API.
const ORIGINAL: &str = "/crmapi/rest/v2/";
/// Prefix of the paths of this service.
const OWN: &str = "/v1/";

#[test]
fn methods_are_those_of_the_specification() {
    let expected: BTreeSet<_> = METHODS
        .iter()
        .map(|(service, method, permission, reads, path)| {
            let http = match path.split_once(' ') {
                Some((verb, path)) if path.starts_with(OWN) => vec![format!("{verb} {path}")],
                Some((verb, path)) => [ORIGINAL, OWN].map(|prefix| format!("{verb} {prefix}{path}")).to_vec(),
                None => Vec::new(),
            };
            (format!("/{PACKAGE}.{service}/{method}"), (*permission).to_owned(), *reads, http)
        })
        .collect();
    let found: BTreeSet<_> = options::methods()
        .iter()
        .map(|method| {
            let permission = method.requirement.as_ref().map_or("", Requirement::name).to_owned();
            let http = method.http.iter().map(|binding| format!("{} {}", binding.verb, binding.path)).collect();
            (method.grpc_path.clone(), permission, method.reads, http)
        })
        .collect();
    assert_eq!(found, expected);
}

/// A method with the permission to read reads, except for `CheckPassCode`, which counts attempts that later calls depend on. Of the
/// methods that need only a session, `GetSession` reads.
#[test]
fn methods_that_read_are_those_with_the_permission_to_read() {
    for method in options::methods() {
        let path = &method.grpc_path;
        let expected = match method.requirement.as_ref().map(Requirement::name) {
            Some("access_tokens.read") => !path.ends_with("/CheckPassCode"),
            Some("session") => path.ends_with("/GetSession"),
            _ => false,
        };
        assert_eq!(method.reads, expected, "{path}: the option `reads` and the permission do not go together");
        let gets = method.http.iter().any(|binding| binding.verb == "GET");
        assert!(method.reads || !gets, "{path}: HTTP clients repeat GET, and the method may write");
    }
}

#[test]
fn every_unary_method_has_a_path_and_no_path_stands_twice() {
    let mut paths = BTreeSet::new();
    for method in options::methods() {
        assert_eq!(method.http.is_empty(), method.client_streaming, "{}", method.grpc_path);
        for binding in &method.http {
            assert_eq!(binding.body, binding.verb == "POST", "{}", binding.path);
            assert!(paths.insert(binding.path.clone()), "{} twice", binding.path);
        }
    }
}

#[test]
fn every_element_has_a_comment() {
    let mut silent = Vec::new();
    let mut check = |file: &FileDescriptor, path: &[i32], name: &str| {
        if comment(file, path).is_empty() {
            silent.push(name.to_owned());
        }
    };
    for message in messages() {
        check(&message.parent_file(), message.path(), message.full_name());
        for field in message.fields() {
            check(&message.parent_file(), field.path(), field.full_name());
        }
    }
    for service in contract().services().filter(|service| service.package_name() == PACKAGE) {
        check(&service.parent_file(), service.path(), service.full_name());
        for method in service.methods() {
            check(&service.parent_file(), method.path(), method.full_name());
        }
    }
    for enumeration in contract().all_enums().filter(|enumeration| enumeration.package_name() == PACKAGE) {
        check(&enumeration.parent_file(), enumeration.path(), enumeration.full_name());
        for value in enumeration.values() {
            check(&enumeration.parent_file(), value.path(), value.full_name());
        }
    }
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}

/// The first word of a field's comment agrees with its `google.api.field_behavior`.
#[test]
fn field_comments_state_the_behaviour() {
    let behaviour = contract().get_extension_by_name("google.api.field_behavior").expect("is vendored");
    for field in messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let in_real_oneof = field.containing_oneof().is_some() && !field.field_descriptor_proto().proto3_optional();
        if in_real_oneof {
            continue;
        }
        let options = field.options();
        let numbers = options.get_extension(&behaviour);
        let numbers: Vec<_> = numbers.as_list().expect("repeated").iter().filter_map(|n| n.as_enum_number()).collect();
        let word = match numbers.as_slice() {
            [1] => "Optional. ",
            [2] => "Required. ",
            [3] => "Output only. ",
            other => panic!("{} has behaviours {other:?}", field.full_name()),
        };
        let text = comment(&field.parent_message().parent_file(), field.path());
        assert!(text.starts_with(word), "{}: {text}", field.full_name());
    }
}

/// A oneof that may be left out marks its alternatives as OPTIONAL. All others mark none. The gateway depends on it.
#[test]
fn choices_say_whether_one_must_be_made() {
    let mut optional = Vec::new();
    for message in messages() {
        let file = message.parent_file();
        let choices =
            message.oneofs().filter(|oneof| oneof.fields().all(|f| !f.field_descriptor_proto().proto3_optional()));
        for choice in choices {
            let marked: BTreeSet<_> = choice.fields().map(|field| options::is_optional(&field)).collect();
            let marked: Vec<_> = marked.into_iter().collect();
            let [marked] = marked.as_slice() else { panic!("{} marks only some", choice.full_name()) };
            let text = comment(&file, choice.path());
            assert_eq!(*marked, text.starts_with("Optional. "), "{}: {text}", choice.full_name());
            if *marked {
                optional.push(choice.full_name().to_owned());
            }
        }
    }
    assert_eq!(optional, ["accesstoken.v1.ChangePassCodeRequest.proof"]);
}

/// Clients depend on these names and numbers, so the list only grows at its end.
#[test]
fn error_reasons_are_documented_and_in_order() {
    let reasons = contract().get_enum_by_name("accesstoken.v1.ErrorReason").expect("exists");
    let codes = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "INTERNAL",
        "UNAVAILABLE",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
        "DEADLINE_EXCEEDED",
    ];
    // Gaps in the numbers belong to reasons of a later release.
    let mut before = -1;
    for reason in reasons.values() {
        assert!(reason.number() > before, "{}", reason.name());
        before = reason.number();
        if reason.number() == 0 {
            continue;
        }
        let text = comment(&reasons.parent_file(), reason.path());
        let (_, code) = text.split_once("gRPC code ").expect("names its gRPC code");
        let (code, _) = code.split_once('.').expect("ends the sentence");
        assert!(codes.contains(&code), "{}: {code}", reason.name());
        let (_, example) = text.split_once("Example: `").expect("has an example");
        let example: serde_json::Value = serde_json::from_str(example.trim_end_matches('`')).expect("is JSON");
        assert_eq!(example["reason"], reason.name());
        assert_eq!(example["domain"], access_tokens_proto::ERROR_DOMAIN);
        assert!(example["metadata"].is_object(), "{}", reason.name());
    }
}

#[test]
fn reasons_named_in_comments_exist() {
    let reasons = contract().get_enum_by_name("accesstoken.v1.ErrorReason").expect("exists");
    let endings = ["_NOT_FOUND", "_ALREADY_EXISTS", "_REQUIRED", "_MISSING", "_MISMATCH", "_TERMINATED", "_VIOLATION"];
    for service in contract().services().filter(|service| service.package_name() == PACKAGE) {
        for method in service.methods() {
            let text = comment(&service.parent_file(), method.path());
            let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
            for word in
                words.filter(|word| word.starts_with("INVALID_") || endings.iter().any(|end| word.ends_with(end)))
            {
                assert!(reasons.get_value_by_name(word).is_some(), "{}: {word}", method.full_name());
            }
        }
    }
}

/// The assumptions of `json` and `field_mask_from_str`.
#[test]
fn types_and_names_are_those_the_json_mapping_knows() {
    for field in messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let name = field.full_name();
        assert!(!field.is_map(), "{name}");
        match field.kind() {
            Kind::String | Kind::Bool | Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Enum(_) => {}
            Kind::Message(message) => match message.package_name() {
                PACKAGE => {}
                _ => assert!(["Timestamp", "FieldMask"].contains(&message.name()), "{name}"),
            },
            other => panic!("{name} is {other:?}"),
        }
        let letters: Vec<char> = field.name().chars().collect();
        let glued = letters.windows(2).any(|pair| pair[0].is_ascii_alphabetic() && pair[1].is_ascii_digit());
        assert!(!glued, "{name}: a digit must begin a word");
    }
}

#[test]
fn every_secret_is_marked() {
    let secret = ["authentication_code", "verification_code", "pass_code", "pass_code_hash", "random_pass_code"];
    let more = ["new_pass_code", "one_time_password", "password", "password_hash", "token", "api_key"];
    let secret = [&secret[..], &more].concat();
    for field in messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let text = matches!(field.kind(), Kind::String);
        assert_eq!(options::field_info(&field).secret, text && secret.contains(&field.name()), "{}", field.full_name());
    }
}

/// Reflection clients and `options` read the custom options from these bytes.
#[test]
fn the_embedded_descriptors_keep_custom_options() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("valid descriptors");
    let permission = pool.get_extension_by_name("accesstoken.v1.permission").expect("is declared");
    let service = pool.get_service_by_name("accesstoken.v1.AccessTokenService").expect("exists");
    for method in service.methods() {
        assert!(method.options().has_extension(&permission), "{}", method.full_name());
    }
    assert!(pool.get_file_by_name("google/protobuf/descriptor.proto").is_some(), "the set is self-contained");
}
