//! Naming one thing: the alternatives by which a caller may point at a token, an owner or a classification.

use crate::secret::Secret;

/// How a caller names one access token. Exactly one alternative.
#[derive(Debug, Clone)]
pub enum AccessTokenIdentifier {
    /// What is scanned or typed.
    AuthenticationCode(String),
    /// A login. With a pass code it is a check; without one it needs the permission `access_tokens.lookup`.
    Credential {
        /// The login name.
        identifier: String,
        /// The pass code, which is verified.
        pass_code: Option<Secret>,
    },
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

/// How the two reset methods name a token: without a pass code, since that is what is lost.
#[derive(Debug, Clone)]
pub enum ResetIdentifier {
    /// What is scanned or typed.
    AuthenticationCode(String),
    /// The login name.
    Identifier(String),
}

/// How a caller names an accounts receivable.
#[derive(Debug, Clone)]
pub enum AccountsReceivableIdentifier {
    /// The id.
    Id(String),
    /// The number.
    Number(String),
    /// The name; an error when several have it.
    Name(String),
}

/// How a caller names a rewards participant.
#[derive(Debug, Clone)]
pub enum RewardsParticipantIdentifier {
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

/// How a caller names a classification.
#[derive(Debug, Clone)]
pub enum ClassificationIdentifier {
    /// The id.
    Id(String),
    /// The name; an error when several have it.
    Name(String),
    /// The alternative code; an error when several have it.
    AlternativeCode(String),
}

/// One unique column of a token, and the value to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKey<'a> {
    /// By id.
    Id(&'a str),
    /// By number.
    Number(&'a str),
    /// By authentication code.
    AuthenticationCode(&'a str),
    /// By identifier.
    Identifier(&'a str),
}

impl AccessTokenIdentifier {
    /// The column to look in.
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
    /// The column to look in.
    pub fn key(&self) -> TokenKey<'_> {
        match self {
            Self::AuthenticationCode(code) => TokenKey::AuthenticationCode(code),
            Self::Identifier(identifier) => TokenKey::Identifier(identifier),
        }
    }
}
