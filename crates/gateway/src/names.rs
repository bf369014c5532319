//! What a field is called in a release, and whether the release has it.

use access_tokens_proto::options::field_info;
use prost_reflect::FieldDescriptor;

use crate::Release;

/// Fields that were called something else before a release: today's name, the name then, the release that renamed.
const RENAMED: [(&str, &str, Release); 1] = [("rewards_participant", "reward_participant", Release::new(13, 0, 0))];

/// The key of a field in JSON.
pub(crate) fn key(field: &FieldDescriptor, release: Release) -> String {
    let renamed = RENAMED.iter().find(|(name, _, since)| *name == field.name() && release < *since);
    renamed.map_or(field.name(), |(_, then, _)| *then).to_owned()
}

/// Does the release have the field? What is deprecated stays.
pub(crate) fn is_present(field: &FieldDescriptor, release: Release) -> bool {
    release.has(field_info(field).available_from.as_deref())
}
