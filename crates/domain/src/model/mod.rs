//! The types of the service: tokens, owners, reference data, policies and sessions, with the rules that concern one of
//! them. Imports no other folder of this crate.

pub mod access_token;
pub mod card;
pub mod certificate_user;
pub mod credential;
pub mod directory;
pub mod error;
pub mod field_selection;
pub mod identifier;
pub mod life_cycle;
pub(crate) mod named;
pub mod page;
pub mod policy;
pub mod reference;
pub mod secret;
pub mod session;
pub mod text;
pub mod time;
