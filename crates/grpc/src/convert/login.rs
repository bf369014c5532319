//! Logins and the description of a caller. A login with user name and password needs no conversion.

use access_tokens_auth::CallerDescription;
use access_tokens_domain::error::Violations;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::Session;
use access_tokens_domain::{Reason, Result};
use access_tokens_proto::v1;
use access_tokens_proto::v1::get_session_response::CredentialKind;

/// Returns the API key of a login: that of the metadata, else that of the message.
pub(crate) fn api_key(metadata: Option<Secret>, request: v1::LoginWithApiKeyRequest) -> Result<Secret> {
    let given = metadata.or_else(|| request.api_key.map(Secret::new)).filter(|key| !key.expose().is_empty());
    let mut violations = Violations::default();
    if given.is_none() {
        violations.add(Reason::RequiredFieldMissing, "api_key", "is required, here or in the metadata");
    }
    super::request::checked(given, violations)
}

/// Returns the kind of the credential of a caller, from its session, and whether it sent an API key with the call.
pub(crate) fn credential_kind(session: Option<&Session>, sent_api_key: bool) -> CredentialKind {
    match session {
        Some(Session { api_key: None, .. }) => CredentialKind::Password,
        Some(_) => CredentialKind::ApiKey,
        None if sent_api_key => CredentialKind::ApiKey,
        None => CredentialKind::Certificate,
    }
}

/// Returns the answer that describes a caller.
pub(crate) fn described(caller: CallerDescription, credential_kind: CredentialKind) -> v1::GetSessionResponse {
    v1::GetSessionResponse {
        user_id: caller.user.unwrap_or_default(),
        username: caller.username.unwrap_or_default(),
        organisation: caller.organisation,
        unit_id: caller.unit.unwrap_or_default(),
        permissions: caller.permissions.iter().map(|permission| permission.name().to_owned()).collect(),
        credential_kind: credential_kind.into(),
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::session::Permissions;
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_credential_is_that_which_opened_the_session_else_that_of_the_call() {
        let session = |api_key: Option<&str>| Session {
            id: "S".to_owned(),
            organisation: "O".to_owned(),
            user: "U".to_owned(),
            unit: None,
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            api_key: api_key.map(str::to_owned),
        };
        for (session, sent_api_key, expected) in [
            (Some(session(None)), false, CredentialKind::Password),
            (Some(session(Some("k"))), false, CredentialKind::ApiKey),
            (None, true, CredentialKind::ApiKey),
            (None, false, CredentialKind::Certificate),
        ] {
            assert_eq!(credential_kind(session.as_ref(), sent_api_key), expected, "{session:?} {sent_api_key}");
        }
    }

    #[test]
    fn permissions_are_names_in_their_order_and_what_is_absent_is_empty() {
        let caller = CallerDescription {
            user: None,
            username: None,
            organisation: "DEMO".to_owned(),
            unit: None,
            permissions: Permissions::parse("admin,access_tokens.read").expect("known"),
        };
        let expected = v1::GetSessionResponse {
            organisation: "DEMO".to_owned(),
            permissions: vec!["access_tokens.read".to_owned(), "admin".to_owned()],
            credential_kind: CredentialKind::Certificate.into(),
            ..v1::GetSessionResponse::default()
        };
        assert_eq!(described(caller, CredentialKind::Certificate), expected);
    }

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
