//! The descriptors that reflection serves, by the names of what they describe.

use std::collections::{BTreeMap, HashMap};

use access_tokens_proto::FILE_DESCRIPTOR_SET;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{DecodeError, Message};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// A file descriptor in the encoding of the compiler. Decoding and encoding it again would lose the options that are extensions.
type File = &'static [u8];

/// Field `file` of a `FileDescriptorSet`.
const FILE: u32 = 1;

/// All files of the service.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: HashMap<String, File>,
    symbols: HashMap<String, File>,
    /// Files of extensions, by the full name of the extended message and the number of the field.
    extensions: HashMap<String, BTreeMap<i32, File>>,
    services: Vec<String>,
}

impl Index {
    /// Returns the index of the contract, health, the details of errors, and reflection itself.
    pub(super) fn of_service() -> Self {
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut index = Self::default();
        for set in sets {
            index.add_set(set).expect("the descriptors were compiled with this program");
        }
        index.services.sort();
        index
    }

    pub(super) fn file(&self, name: &str) -> Option<File> {
        self.files.get(name).copied()
    }

    /// Returns the file that describes a package member, or a member of one, by its full name.
    pub(super) fn symbol(&self, name: &str) -> Option<File> {
        self.symbols.get(name).copied()
    }

    pub(super) fn extension(&self, message: &str, number: i32) -> Option<File> {
        self.extensions.get(message)?.get(&number).copied()
    }

    /// Returns the numbers of all extensions of a message, ascending. `None`: the message is unknown.
    pub(super) fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        match self.extensions.get(message) {
            Some(extensions) => Some(extensions.keys().copied().collect()),
            None => self.symbols.contains_key(message).then(Vec::new),
        }
    }

    pub(super) fn services(&self) -> &[String] {
        &self.services
    }

    fn add_set(&mut self, mut set: &'static [u8]) -> Result<(), DecodeError> {
        while !set.is_empty() {
            let (field, kind) = decode_key(&mut set)?;
            if (field, kind) != (FILE, WireType::LengthDelimited) {
                prost::encoding::skip_field(kind, field, &mut set, prost::encoding::DecodeContext::default())?;
                continue;
            }
            let length = usize::try_from(decode_varint(&mut set)?).unwrap_or(usize::MAX);
            let (file, rest) = set.split_at_checked(length).unwrap_or((set, &[]));
            set = rest;
            self.add_file(file)?;
        }
        Ok(())
    }

    fn add_file(&mut self, file: File) -> Result<(), DecodeError> {
        let decoded = FileDescriptorProto::decode(file)?;
        if self.files.insert(decoded.name().to_owned(), file).is_some() {
            // Several sets contain the files that all of them import.
            return Ok(());
        }
        let package = decoded.package();
        for message in &decoded.message_type {
            self.add_message(package, message, file);
        }
        for enumeration in &decoded.enum_type {
            self.add_enum(package, enumeration, file);
        }
        for extension in &decoded.extension {
            self.add_extension(package, extension, file);
        }
        for service in &decoded.service {
            let name = self.add(package, service.name(), file);
            for method in &service.method {
                self.add(&name, method.name(), file);
            }
            self.services.push(name);
        }
        Ok(())
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, file: File) {
        let name = self.add(scope, message.name(), file);
        for field in &message.field {
            self.add(&name, field.name(), file);
        }
        for oneof in &message.oneof_decl {
            self.add(&name, oneof.name(), file);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, file);
        }
        for enumeration in &message.enum_type {
            self.add_enum(&name, enumeration, file);
        }
        for extension in &message.extension {
            self.add_extension(&name, extension, file);
        }
    }

    /// Adds an enum and its values. In protobuf the values are siblings of the enum.
    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto, file: File) {
        self.add(scope, enumeration.name(), file);
        for value in &enumeration.value {
            self.add(scope, value.name(), file);
        }
    }

    fn add_extension(&mut self, scope: &str, extension: &FieldDescriptorProto, file: File) {
        self.add(scope, extension.name(), file);
        // The compiler writes full names with a leading dot.
        let extended = extension.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(extended).or_default().insert(extension.number(), file);
    }

    /// Adds a symbol. Returns its full name.
    fn add(&mut self, scope: &str, name: &str, file: File) -> String {
        let full_name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.insert(full_name.clone(), file);
        full_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(file: File) -> String {
        FileDescriptorProto::decode(file).expect("a file").name().to_owned()
    }

    /// The index against a library that reads descriptors in another way.
    #[test]
    fn every_name_of_the_contract_is_found_in_its_file() {
        let index = Index::of_service();
        let pool = access_tokens_proto::commented_pool();
        let mut names = Vec::new();
        for message in pool.all_messages() {
            let file = message.parent_file().name().to_owned();
            names.push((message.full_name().to_owned(), file.clone()));
            names.extend(message.fields().map(|field| (field.full_name().to_owned(), file.clone())));
            names.extend(message.oneofs().map(|oneof| (oneof.full_name().to_owned(), file.clone())));
        }
        for enumeration in pool.all_enums() {
            let file = enumeration.parent_file().name().to_owned();
            names.push((enumeration.full_name().to_owned(), file.clone()));
            names.extend(enumeration.values().map(|value| (value.full_name().to_owned(), file.clone())));
        }
        for service in pool.services() {
            let file = service.parent_file().name().to_owned();
            names.push((service.full_name().to_owned(), file.clone()));
            names.extend(service.methods().map(|method| (method.full_name().to_owned(), file.clone())));
        }
        for extension in pool.all_extensions() {
            let file = extension.parent_file().name().to_owned();
            names.push((extension.full_name().to_owned(), file.clone()));
            let extended = extension.containing_message();
            let number = i32::try_from(extension.number()).expect("a number");
            let found = index.extension(extended.full_name(), number).map(name);
            assert_eq!(found.as_ref(), Some(&file), "{}", extension.full_name());
            let numbers = index.extension_numbers(extended.full_name()).expect("extended");
            assert!(numbers.contains(&number) && numbers.is_sorted(), "{numbers:?}");
        }
        assert!(names.len() > 500, "{}", names.len());
        for (symbol, file) in names {
            assert_eq!(index.symbol(&symbol).map(name), Some(file), "{symbol}");
        }
        for file in pool.files() {
            assert_eq!(index.file(file.name()).map(name).as_deref(), Some(file.name()));
        }
    }

    #[test]
    fn what_a_foreign_client_needs_is_there() {
        let index = Index::of_service();
        for file in ["google/rpc/status.proto", "google/rpc/error_details.proto", "google/rpc/code.proto"] {
            assert!(index.file(file).is_some(), "{file}");
        }
        for symbol in ["google.rpc.ErrorInfo", "google.rpc.BadRequest.FieldViolation", "google.rpc.INVALID_ARGUMENT"] {
            assert!(index.symbol(symbol).is_some(), "{symbol}");
        }
        let services = [
            "accesstoken.v1.AccessTokenService",
            "accesstoken.v1.AuthenticationService",
            "accesstoken.v1.DirectoryService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ];
        assert_eq!(index.services(), services);
        assert_eq!(index.extension_numbers("accesstoken.v1.AccessToken"), Some(Vec::new()));
        assert_eq!(index.extension_numbers("accesstoken.v1.Nonsense"), None);
        for unknown in
            ["", ".", "accesstoken", "accesstoken.v1", ".accesstoken.v1.AccessToken", "accesstoken.v1.AccessToken."]
        {
            assert!(index.symbol(unknown).is_none() && index.file(unknown).is_none(), "{unknown}");
        }
        assert!(index.extension("google.protobuf.FieldOptions", -1).is_none());
    }
}
