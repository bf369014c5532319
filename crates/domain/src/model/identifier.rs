//! Naming one thing: the alternatives by which a caller may point at a token, an owner or a classification.

use crate::model::secret::{Secret, SecretKind};

/// How a caller names one access token. Exactly one alternative.
#[derive(Clone)]
pub enum AccessTokenIdentifier {
    /// What is scanned or typed.
    AuthenticationCode(String),
    /// A login. With a secret it is a check; without one it needs the permission `access_tokens.lookup`, unless the
    /// call brings the secret in a field of its own.
    Credential {
        /// The login name.
        identifier: String,
        /// What proves it.
        proof: Option<Proof>,
    },
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

/// What a caller presents to prove that a token is theirs.
#[derive(Clone)]
pub enum Proof {
    /// The pass code.
    PassCode(Secret),
    /// A one-time password, which is used up by it.
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

/// How a caller names whose tokens are to be listed.
#[derive(Debug, Clone)]
pub enum OwnerIdentifier {
    /// An accounts receivable's.
    AccountsReceivable(AccountsReceivableIdentifier),
    /// A rewards participant's.
    RewardsParticipant(RewardsParticipantIdentifier),
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

impl<'a> TokenKey<'a> {
    /// The value to look for.
    pub fn text(self) -> &'a str {
        let (Self::Id(text) | Self::Number(text) | Self::AuthenticationCode(text) | Self::Identifier(text)) = self;
        text
    }

    /// The same column with another value.
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
    /// The field in which it is given.
    pub fn field(&self) -> &'static str {
        match self {
            Self::AuthenticationCode(_) => "authentication_code",
            Self::Identifier(_) => "identifier",
        }
    }

    /// The column to look in.
    pub fn key(&self) -> TokenKey<'_> {
        match self {
            Self::AuthenticationCode(code) => TokenKey::AuthenticationCode(code),
            Self::Identifier(identifier) => TokenKey::Identifier(identifier),
        }
    }
}
