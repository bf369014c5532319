//! Derived ids of records that have none.

use sha2::{Digest, Sha256};

use super::record::Kind;

/// Returns the id of an access token whose record has an authentication code, but neither id nor number.
pub(crate) fn derived_token_id(organisation: &str, authentication_code: &str) -> String {
    derived_id(organisation, Kind::AccessToken, authentication_code)
}

/// Returns an id for a record that has none. It is the same whenever the record is imported again.
pub(super) fn derived_id(organisation: &str, kind: Kind, natural_key: &str) -> String {
    let digest = Sha256::digest(format!("{organisation}/{}/{natural_key}", kind.name()));
    digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}
