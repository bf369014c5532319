//! Messages of the contract from and to types of the domain, one file a subject. Nothing else converts.
//!
//! Inwards every field at fault is collected before a request is refused. Outwards only what `fields_set` names is built.

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
