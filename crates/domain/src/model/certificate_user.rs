//! Whom a certificate of a client stands for.

/// The user that a certificate stands for, by the names that the settings give.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateUser {
    /// The name of the organisation.
    pub organisation: String,
    /// The name of the user.
    pub username: String,
}

impl CertificateUser {
    /// Returns what its caller is kept under. Names have no control characters in them, so no two users share a key.
    pub fn key(&self) -> String {
        format!("{}\n{}", self.organisation, self.username)
    }
}
