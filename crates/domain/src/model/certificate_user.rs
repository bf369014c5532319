//! The user that a client certificate identifies.

/// The user that a client certificate identifies, by the names that the settings give.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateUser {
    /// The name of the organisation.
    pub organisation: String,
    /// The name of the user.
    pub username: String,
}

impl CertificateUser {
    /// Returns the key of the caller in a cache. Names contain no control characters, so no two users share a key.
    pub fn key(&self) -> String {
        format!("{}\n{}", self.organisation, self.username)
    }
}
