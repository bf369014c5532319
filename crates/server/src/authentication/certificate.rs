//! Certificates of clients: each stands for a user, as the settings say.

/// The user that a certificate stands for, by the names of both. Whether there is such a user is found out with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateUser {
    /// The name of the organisation.
    pub organisation: String,
    /// The name of the user.
    pub username: String,
}

impl CertificateUser {
    /// What its caller is kept under. Names have no control characters in them, so no two users share a key.
    pub(super) fn key(&self) -> String {
        format!("{}\n{}", self.organisation, self.username)
    }
}
