//! Errors of a store.

use std::future::Future;

use crate::{Error, Reason};

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique index refused the write.
    #[error("duplicate {0}")]
    Duplicate(Unique),
    /// The database cannot be reached, or did not answer in time. Nothing was written, except that after a failed
    /// commit the result is unknown.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A deadlock or a serialisation failure. The same call may succeed when it is repeated.
    #[error("concurrent change")]
    Conflict(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Any other failure.
    #[error("storage fault")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The unique index that refused a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unique {
    /// The id of a token.
    #[error("token id")]
    TokenId,
    /// The number of a token.
    #[error("token number")]
    TokenNumber,
    /// The authentication code of a token.
    #[error("authentication code")]
    AuthenticationCode,
    /// The identifier of a token.
    #[error("identifier")]
    Identifier,
    /// Another index, by its name.
    #[error("key of the index {0}")]
    Other(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let taken = |reason, field| Error::field(reason, field, "is already used by another access token");
        match error {
            StoreError::Duplicate(Unique::AuthenticationCode) => {
                taken(Reason::AuthenticationCodeAlreadyExists, "authentication_code")
            }
            StoreError::Duplicate(Unique::Identifier) => taken(Reason::IdentifierAlreadyExists, "identifier"),
            StoreError::Duplicate(Unique::TokenId | Unique::TokenNumber) => {
                taken(Reason::NumberAlreadyExists, "number")
            }
            StoreError::Duplicate(Unique::Other(_)) => {
                Error::new(Reason::RecordAlreadyExists, "another record has the same key").caused_by(error)
            }
            StoreError::Unavailable(_) => Error::new(Reason::DatabaseUnavailable, "the database is not available")
                .retry_after(std::time::Duration::from_secs(1))
                .caused_by(error),
            StoreError::Conflict(_) => {
                Error::new(Reason::Conflict, "another caller changed the same record; try again").caused_by(error)
            }
            StoreError::Fault(_) => Error::internal(error),
        }
    }
}

/// The result of a method of a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// The future of a method of a store.
pub trait StoreFuture<T>: Future<Output = StoreResult<T>> + Send {}

impl<T, F: Future<Output = StoreResult<T>> + Send> StoreFuture<T> for F {}
