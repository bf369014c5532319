//! Logins. A login with user name and password needs no conversion.

use access_tokens_domain::error::Violations;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::{Reason, Result};
use access_tokens_proto::v1;

/// Returns the API key of a login: that of the metadata, else that of the message.
pub(crate) fn api_key(metadata: Option<Secret>, request: v1::LoginWithApiKeyRequest) -> Result<Secret> {
    let given = metadata.or_else(|| request.api_key.map(Secret::new)).filter(|key| !key.expose().is_empty());
    let mut violations = Violations::default();
    if given.is_none() {
        violations.add(Reason::RequiredFieldMissing, "api_key", "is required, here or in the metadata");
    }
    super::request::checked(given, violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_metadata_comes_first() {
        let request = |key: &str| v1::LoginWithApiKeyRequest { api_key: Some(key.to_owned()) };
        assert_eq!(api_key(Some(Secret::new("a")), request("b")).expect("a").expose(), "a");
        assert_eq!(api_key(None, request("b")).expect("b").expose(), "b");
        for none in [request(""), v1::LoginWithApiKeyRequest::default()] {
            assert_eq!(api_key(None, none).err().expect("no key").reason(), Reason::RequiredFieldMissing);
        }
    }
}
