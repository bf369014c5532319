//! Identifiers: the alternatives by which a caller names a token, an owner or a classification.

use crate::model::secret::{Secret, SecretKind};

/// Identifier of an access token.
#[derive(Clone)]
pub enum AccessTokenIdentifier {
    /// Code that a reader scans or a person types.
    AuthenticationCode(String),
    /// Login name. With a secret, the secret is checked. Without one, the caller needs the permission
    /// `access_tokens.lookup`, unless the request has the secret in a field of its own.
    Credential {
        /// The login name.
        identifier: String,
        /// Secret that proves that the token is the presenter's.
        proof: Option<Proof>,
    },
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

/// A secret that proves that the token is the presenter's.
#[derive(Clone)]
pub enum Proof {
    /// The pass code.
    PassCode(Secret),
    /// A one-time password. The check consumes it.
    OneTimePassword(Secret),
}

impl Proof {
    /// The kind of secret.
    pub fn kind(&self) -> SecretKind {
        match self {
            Self::PassCode(_) => SecretKind::PassCode,
            Self::OneTimePassword(_) => SecretKind::OneTimePassword,
        }
    }

    /// The secret.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::PassCode(secret) | Self::OneTimePassword(secret) => secret,
        }
    }
}

/// Identifier of a token in the two reset methods. It has no pass code, since that is what was lost.
#[derive(Debug, Clone)]
pub enum ResetIdentifier {
    /// Code that a reader scans or a person types.
    AuthenticationCode(String),
    /// The login name.
    Identifier(String),
}

/// Identifier of an accounts receivable.
#[derive(Debug, Clone)]
pub enum AccountsReceivableIdentifier {
    /// The id.
    Id(String),
    /// The number.
    Number(String),
    /// The name. An error when several accounts have it.
    Name(String),
}

/// Identifier of a rewards participant.
#[derive(Debug, Clone)]
pub enum RewardsParticipantIdentifier {
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

/// Identifier of the owner whose tokens are listed.
#[derive(Debug, Clone)]
pub enum OwnerIdentifier {
    /// An accounts receivable.
    AccountsReceivable(AccountsReceivableIdentifier),
    /// A rewards participant.
    RewardsParticipant(RewardsParticipantIdentifier),
}

/// Identifier of a classification.
#[derive(Debug, Clone)]
pub enum ClassificationIdentifier {
    /// The id.
    Id(String),
    /// The name. An error when several classifications have it.
    Name(String),
    /// The alternative code. An error when several classifications have it.
    AlternativeCode(String),
}

/// A unique column of a token with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKey<'a> {
    /// The id.
    Id(&'a str),
    /// The number.
    Number(&'a str),
    /// The authentication code.
    AuthenticationCode(&'a str),
    /// The identifier.
    Identifier(&'a str),
}

impl<'a> TokenKey<'a> {
    /// Returns the value.
    pub fn text(self) -> &'a str {
        let (Self::Id(text) | Self::Number(text) | Self::AuthenticationCode(text) | Self::Identifier(text)) = self;
        text
    }

    /// Returns the same column with another value.
    pub fn with_text<'b>(self, text: &'b str) -> TokenKey<'b> {
        match self {
            Self::Id(_) => TokenKey::Id(text),
            Self::Number(_) => TokenKey::Number(text),
            Self::AuthenticationCode(_) => TokenKey::AuthenticationCode(text),
            Self::Identifier(_) => TokenKey::Identifier(text),
        }
    }
}

impl AccessTokenIdentifier {
    /// Returns the column and the value of the identifier.
    pub fn key(&self) -> TokenKey<'_> {
        match self {
            Self::AuthenticationCode(code) => TokenKey::AuthenticationCode(code),
            Self::Credential { identifier, .. } => TokenKey::Identifier(identifier),
            Self::Id(id) => TokenKey::Id(id),
            Self::Number(number) => TokenKey::Number(number),
        }
    }
}

impl ResetIdentifier {
    /// Returns the name of the field that holds the identifier.
    pub fn field(&self) -> &'static str {
        match self {
            Self::AuthenticationCode(_) => "authentication_code",
            Self::Identifier(_) => "identifier",
        }
    }

    /// Returns the column and the value of the identifier.
    pub fn key(&self) -> TokenKey<'_> {
        match self {
            Self::AuthenticationCode(code) => TokenKey::AuthenticationCode(code),
            Self::Identifier(identifier) => TokenKey::Identifier(identifier),
        }
    }
}
