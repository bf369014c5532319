//! The contract: messages, clients and servers of `proto/`, and its options as data. This crate imports no other crate
//! of the workspace.
//!
//! - [`v1`] is generated from package `accesstoken.v1`.
//! - [`health`] is generated from package `grpc.health.v1`.
//! - [`options`] reads the options of methods and fields: permissions, HTTP paths, releases.
//! - [`fields`] checks and applies field masks.
//! - [`json`] writes messages as JSON and reads them.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

mod bytes_codec;
mod field_violation;
pub mod fields;
mod generated;
pub mod json;
pub mod options;

pub use bytes_codec::BytesCodec;
pub use field_violation::FieldViolation;
pub use generated::{health, v1};

/// The descriptors that reflection serves: the contract with comments and custom options, health, and the details of
/// errors (`google.rpc`).
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` of this service.
pub const ERROR_DOMAIN: &str = "access-tokens";

const UNCOMMENTED_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/uncommented.bin"));

/// Returns the descriptors of the contract, which are decoded once.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| decode(UNCOMMENTED_DESCRIPTORS));
    &POOL
}

/// Decodes the descriptors with comments. They need three times as much memory, so the caller should drop them after
/// use.
pub fn commented_pool() -> DescriptorPool {
    decode(FILE_DESCRIPTOR_SET)
}

fn decode(descriptors: &[u8]) -> DescriptorPool {
    DescriptorPool::decode(descriptors).expect("build.rs wrote valid descriptors")
}

fn descriptor_of<M: Name>() -> MessageDescriptor {
    descriptor_pool().get_message_by_name(&M::full_name()).expect("every generated message is in the descriptors")
}

fn to_dynamic<M: Message + Name>(message: &M) -> DynamicMessage {
    transcode(descriptor_of::<M>(), message)
}

fn transcode<M: Message>(descriptor: MessageDescriptor, message: &M) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).expect("code and descriptors come from the same contract");
    dynamic
}

fn from_dynamic<M: Message + Default>(dynamic: &DynamicMessage) -> M {
    dynamic.transcode_to().expect("code and descriptors come from the same contract")
}
