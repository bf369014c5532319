//! The comments of the contract.

use std::collections::HashMap;

use access_tokens_proto::commented_pool;
use prost_reflect::{EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor};

/// Words at the beginning of a field's comment that its schema says too.
const BEHAVIOURS: [&str; 3] = ["Optional. ", "Required. ", "Output only. "];

/// All comments, by file and position.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(super) fn read() -> Self {
        let pool = commented_pool();
        let files = pool.files().filter(|file| file.package_name() == "accesstoken.v1");
        let comments = files.flat_map(|file| {
            let proto = file.file_descriptor_proto();
            let locations = proto.source_code_info.iter().flat_map(|info| &info.location);
            let commented =
                locations.filter_map(|location| Some((location.path.clone(), location.leading_comments.as_ref()?)));
            let name = file.name().to_owned();
            commented.map(|(path, comment)| ((name.clone(), path), unwrapped(comment))).collect::<Vec<_>>()
        });
        Self(comments.collect())
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn of_method(&self, method: &MethodDescriptor) -> &str {
        self.at(&method.parent_service().parent_file(), method.path())
    }

    pub(super) fn of_message(&self, message: &MessageDescriptor) -> &str {
        self.at(&message.parent_file(), message.path())
    }

    pub(super) fn of_value(&self, value: &EnumValueDescriptor) -> &str {
        self.at(&value.parent_enum().parent_file(), value.path())
    }

    pub(super) fn of_field(&self, field: &FieldDescriptor) -> &str {
        let comment = self.at(&field.parent_file(), field.path());
        BEHAVIOURS.iter().find_map(|behaviour| comment.strip_prefix(behaviour)).unwrap_or(comment)
    }
}

/// Returns a comment without the line breaks that only wrap its text. Paragraphs and list items keep theirs.
fn unwrapped(comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines().map(str::trim) {
        match line {
            "" => text.push_str("\n\n"),
            item if item.starts_with("- ") => {
                text.push('\n');
                text.push_str(item);
            }
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    // This part is for readers who change the contract, not for its users.
    let text = text.split_once("\n\nNext field number").map_or(text.as_str(), |(text, _)| text);
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::descriptor_pool;

    use super::*;

    #[test]
    fn lines_become_paragraphs() {
        assert_eq!(unwrapped(" One\n two.\n\n Three:\n - a\n   b\n"), "One two.\n\nThree:\n- a b");
        assert_eq!(unwrapped(" One.\n\n Next field number: 31.\n"), "One.");
    }

    #[test]
    fn everything_that_is_shown_has_a_comment() {
        let comments = Comments::read();
        for message in descriptor_pool().all_messages().filter(|message| message.package_name() == "accesstoken.v1") {
            assert!(!comments.of_message(&message).is_empty(), "{}", message.full_name());
            for field in message.fields() {
                let comment = comments.of_field(&field);
                assert!(!comment.is_empty() && !comment.starts_with("Optional"), "{}", field.full_name());
            }
        }
    }
}
