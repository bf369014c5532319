//! Compiles the contract in `proto/` for `crates/proto`, without a `protoc` on the machine.
//!
//! Writes five files to `OUT_DIR`: the Rust code (`accesstoken.v1.rs`, and `grpc.health.v1.rs` for health), the
//! descriptors with comments and custom options (`descriptors.bin`), the descriptors without comments
//! (`uncommented.bin`), and a `Debug` that hides secrets for every message that has any (`debug.rs`).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, OneofDescriptor, Value};

const PACKAGE: &str = "accesstoken.v1";

/// Folders whose files are compiled together with their imports: the contract, health, and the details of errors.
/// Clients that use only reflection need all of them.
const PROTO_FOLDERS: [&str; 3] = ["accesstoken", "google/rpc", "grpc"];

/// Fields whose messages are boxed. A response is moved several times before it is encoded, and without the boxes it
/// would have five kilobytes.
const BOXED_FIELDS: [&str; 8] = [
    "AccessToken.verified_by_user",
    "AccessToken.accounts_receivable",
    "AccessToken.rewards_participant",
    "AccessToken.log_information",
    "AccountsReceivable.account_owner",
    "RewardsParticipant.accounts_receivable",
    "ContactInformation.demographics",
    "ContactInformation.company_profile",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    println!("cargo::rerun-if-changed=../../build.rs");
    let mut files = Vec::new();
    visit(&root, &mut files)?;
    files.retain(|file| PROTO_FOLDERS.iter().any(|folder| file.starts_with(root.join(folder))));

    let compiled = |comments| -> Result<protox::Compiler, Box<dyn Error>> {
        let mut compiler = protox::Compiler::new([&root])?;
        compiler.include_source_info(comments).include_imports(true);
        compiler.open_files(&files)?;
        Ok(compiler)
    };
    let compiler = compiled(true)?;
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out.join("uncommented.bin"), compiled(false)?.encode_file_descriptor_set())?;

    let secrets = RedactedTypes::of(&compiler.descriptor_pool());
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    config.skip_debug(secrets.paths());
    for field in BOXED_FIELDS {
        config.boxed(format!(".{PACKAGE}.{field}"));
    }
    // `skip_debug` also applies to enums that are nested in a message.
    for nested in secrets.messages.iter().flat_map(MessageDescriptor::child_enums) {
        config.enum_attribute(format!(".{}", nested.full_name()), "#[derive(Debug)]");
    }
    tonic_prost_build::configure().compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    fs::write(out.join("debug.rs"), secrets.debug())?;
    Ok(())
}

/// Collects the proto files below `folder`, and asks cargo to watch all of them and their folders.
fn visit(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// The types with a field that is marked `debug_redact`. A derived `Debug` would show the secret.
struct RedactedTypes {
    messages: Vec<MessageDescriptor>,
    oneofs: Vec<OneofDescriptor>,
}

impl RedactedTypes {
    fn of(pool: &DescriptorPool) -> Self {
        let mut messages: Vec<_> = pool.all_messages().filter(|message| message.package_name() == PACKAGE).collect();
        let oneofs = messages.iter().flat_map(MessageDescriptor::oneofs).filter(|oneof| !is_optional(oneof));
        let oneofs = oneofs.filter(|oneof| oneof.fields().any(|field| is_secret(&field))).collect();
        messages.retain(|message| message.fields().any(|field| is_secret(&field)));
        Self { messages, oneofs }
    }

    /// Returns the paths, in the form of prost, of the types that get no derived `Debug`.
    fn paths(&self) -> Vec<String> {
        let messages = self.messages.iter().map(|message| message.full_name());
        let oneofs = self.oneofs.iter().map(|oneof| oneof.full_name());
        messages.chain(oneofs).map(|name| format!(".{name}")).collect()
    }

    /// Returns the code of their `Debug` implementations.
    fn debug(&self) -> String {
        let messages = self.messages.iter().map(debug_of_message);
        messages.chain(self.oneofs.iter().map(debug_of_oneof)).collect()
    }
}

fn debug_of_message(message: &MessageDescriptor) -> String {
    let mut body = format!("f.debug_struct(\"{}\")", message.name());
    for field in message.fields().filter(|field| field.containing_oneof().is_none_or(|oneof| is_optional(&oneof))) {
        let name = field.name();
        let value = if is_secret(&field) { format!("hidden(&self.{name})") } else { format!("self.{name}") };
        body += &format!(".field(\"{name}\", &{value})");
    }
    for oneof in message.oneofs().filter(|oneof| !is_optional(oneof)) {
        body += &format!(".field(\"{0}\", &self.{0})", oneof.name());
    }
    debug(&rust_path(message), &format!("{body}.finish()"))
}

fn debug_of_oneof(oneof: &OneofDescriptor) -> String {
    let arms = oneof.fields().map(|field| {
        let name = upper_camel_case(field.name());
        let value = if is_secret(&field) { "&hidden(value)" } else { "value" };
        format!("Self::{name}(value) => f.debug_tuple(\"{name}\").field({value}).finish(),")
    });
    let parent = snake_case(&rust_path(oneof.parent_message()));
    let path = format!("{parent}::{}", upper_camel_case(oneof.name()));
    debug(&path, &format!("match self {{ {} }}", arms.collect::<String>()))
}

fn debug(path: &str, body: &str) -> String {
    format!(
        "impl ::core::fmt::Debug for {path} {{\n\
         fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{ {body} }}\n}}\n"
    )
}

fn is_secret(field: &FieldDescriptor) -> bool {
    field.options().get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
}

/// Returns whether the oneof is that of an `optional` field, which only the descriptors have.
fn is_optional(oneof: &OneofDescriptor) -> bool {
    oneof.fields().all(|field| field.field_descriptor_proto().proto3_optional())
}

/// Returns the path of a message in the generated module: that of `AccessTokenIdentifier.Credential` is
/// `access_token_identifier::Credential`.
fn rust_path(message: &MessageDescriptor) -> String {
    match message.parent_message() {
        Some(parent) => format!("{}::{}", snake_case(&rust_path(&parent)), message.name()),
        None => message.name().to_owned(),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn upper_camel_case(name: &str) -> String {
    let words = name.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    words.collect()
}
