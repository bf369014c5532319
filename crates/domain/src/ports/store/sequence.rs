//! Sequences: the numbers that an organisation hands out.

/// The last number of a sequence: numbers have ten digits.
pub const LAST_NUMBER: i64 = 9_999_999_999;

/// The numbers that an organisation hands out. Gaps are allowed, duplicates never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// Numbers of tokens.
    TokenNumber,
    /// Authentication codes under AUTO_NUMBER.
    AuthenticationCode,
    /// Identifiers under AUTO_NUMBER.
    Identifier,
}

impl Sequence {
    /// The name under which it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenNumber => "token_number",
            Self::AuthenticationCode => "authentication_code",
            Self::Identifier => "identifier",
        }
    }
}
