//! Ids of records that bring none.

use sha2::{Digest, Sha256};

use super::record::Kind;

/// The id of an access token whose record brings a code, but neither id nor number.
pub(crate) fn derived_token_id(organisation: &str, authentication_code: &str) -> String {
    derived_id(organisation, Kind::AccessToken, authentication_code)
}

/// An id for a record that has none, the same whenever the record comes again.
pub(super) fn derived_id(organisation: &str, kind: Kind, natural_key: &str) -> String {
    let digest = Sha256::digest(format!("{organisation}/{}/{natural_key}", kind.name()));
    digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}
