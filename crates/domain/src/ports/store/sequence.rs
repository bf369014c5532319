//! Sequences of numbers of an organisation.

use crate::model::named::named;

/// Last number of a sequence, since numbers have ten digits.
pub const LAST_NUMBER: i64 = 9_999_999_999;

named! {
    /// A sequence of numbers of an organisation. Gaps are allowed, duplicates never. The names are stored.
    Sequence {
        /// Numbers of tokens.
        TokenNumber = "token_number",
        /// Authentication codes under AUTO_NUMBER.
        AuthenticationCode = "authentication_code",
        /// Identifiers under AUTO_NUMBER.
        Identifier = "identifier",
    }
}
