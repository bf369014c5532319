//! Conversions between messages of the contract and types of the domain, one file for each subject. No other module converts.
//!
//! Requests: every faulty field is collected before a request is refused. Responses: only the fields of `fields_set` are built.

pub(crate) mod changes;
mod contact;
pub(crate) mod credential;
pub(crate) mod explanation;
pub(crate) mod fields;
pub(crate) mod identifier;
pub(crate) mod login;
pub(crate) mod mask;
mod owner;
pub(crate) mod record;
mod reference;
pub(crate) mod request;
#[cfg(test)]
mod tests;
mod time;
pub(crate) mod token;
