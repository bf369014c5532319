//! Names of fields in a release of the original API, and whether the release has a field.

use access_tokens_proto::options::field_info;
use prost_reflect::FieldDescriptor;

use crate::Release;

/// Renamed fields: present name, previous name, and the release that renamed the field.
const RENAMED: [(&str, &str, Release); 1] = [("rewards_participant", "reward_participant", Release::new(13, 0, 0))];

/// Returns the key of a field in JSON.
pub(crate) fn key(field: &FieldDescriptor, release: Release) -> String {
    let renamed = RENAMED.iter().find(|(name, _, since)| *name == field.name() && release < *since);
    renamed.map_or(field.name(), |(_, then, _)| *then).to_owned()
}

/// Returns whether the release has the field. A deprecated field is present.
pub(crate) fn is_present(field: &FieldDescriptor, release: Release) -> bool {
    release.has(field_info(field).available_from.as_deref())
}
