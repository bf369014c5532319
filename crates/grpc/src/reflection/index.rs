//! The descriptors that reflection serves, by the names of what they describe.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use access_tokens_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, FileDescriptor};

/// An encoded file descriptor, with the options that are extensions.
type File = Arc<[u8]>;

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
        let mut pool = DescriptorPool::new();
        for set in [
            FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set).expect("the descriptors were compiled with this program");
        }
        Self::new(&pool)
    }

    /// The pool takes several times the memory of the index, which keeps nothing of it.
    fn new(pool: &DescriptorPool) -> Self {
        let files = pool.files().map(|file| (file.name().to_owned(), file.encode_to_vec().into()));
        let mut index = Self { files: files.collect(), ..Self::default() };
        for message in pool.all_messages() {
            let file = message.parent_file();
            index.add(message.full_name(), &file);
            message.fields().for_each(|field| index.add(field.full_name(), &file));
            message.oneofs().for_each(|oneof| index.add(oneof.full_name(), &file));
        }
        for enumeration in pool.all_enums() {
            let file = enumeration.parent_file();
            index.add(enumeration.full_name(), &file);
            enumeration.values().for_each(|value| index.add(value.full_name(), &file));
        }
        for service in pool.services() {
            let file = service.parent_file();
            index.add(service.full_name(), &file);
            service.methods().for_each(|method| index.add(method.full_name(), &file));
            index.services.push(service.full_name().to_owned());
        }
        index.services.sort();
        for extension in pool.all_extensions() {
            let file = extension.parent_file();
            index.add(extension.full_name(), &file);
            let extended = index.extensions.entry(extension.containing_message().full_name().to_owned()).or_default();
            let number = i32::try_from(extension.number()).unwrap_or_default();
            extended.insert(number, Arc::clone(&index.files[file.name()]));
        }
        index
    }

    /// Adds a symbol by its full name.
    fn add(&mut self, full_name: &str, file: &FileDescriptor) {
        self.symbols.insert(full_name.to_owned(), Arc::clone(&self.files[file.name()]));
    }

    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// Returns the file that describes a package member, or a member of one, by its full name.
    pub(super) fn symbol(&self, name: &str) -> Option<&File> {
        self.symbols.get(name)
    }

    pub(super) fn extension(&self, message: &str, number: i32) -> Option<&File> {
        self.extensions.get(message)?.get(&number)
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
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost::encoding::{decode_key, decode_varint};
    use prost_types::FileDescriptorProto;

    use super::*;

    fn name(file: &File) -> String {
        FileDescriptorProto::decode(&**file).expect("a file").name().to_owned()
    }

    /// The options of methods and fields are extensions, which a descriptor without the contract loses.
    #[test]
    fn files_are_those_that_the_compiler_wrote() {
        let index = Index::of_service();
        let written = [
            FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut count = 0;
        for set in written {
            let mut rest = set;
            while !rest.is_empty() {
                decode_key(&mut rest).expect("the field `file`");
                let length = usize::try_from(decode_varint(&mut rest).expect("a length")).expect("a length");
                let file;
                (file, rest) = rest.split_at(length);
                let name = FileDescriptorProto::decode(file).expect("a file").name().to_owned();
                assert_eq!(index.file(&name).map(|found| found.len()), Some(file.len()), "{name}");
                assert_eq!(index.file(&name).map(|found| &**found), Some(file), "{name}");
                count += 1;
            }
        }
        assert!(count > 10, "{count}");
    }

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
