//! The rules of access tokens: types, life cycle, policies, use cases and the ports they need.
//!
//! This crate knows no transport, no database and no runtime. Each folder imports from those before it only:
//!
//! 1. [`model`]: the types, with the rules that concern one of them.
//! 2. [`policy`]: limits on guessing.
//! 3. [`ports`]: traits of what the use cases need from outside.
//! 4. [`import`]: records of an import, processed in memory.
//! 5. [`usecase`]: one use case per file.

pub mod import;
pub mod model;
pub mod policy;
pub mod ports;
pub mod usecase;

pub use model::error::{Error, FieldViolation, Reason, Result};
pub use model::{
    access_token, card, certificate_user, directory, error, field_selection, identifier, life_cycle, page, reference,
    secret, session, text, time,
};
pub use policy::{attempts, common_secrets, guess_budget, issues, login, password, rate, strength};
pub use ports::{code, notification, observer, store};
pub use usecase as service;
pub use usecase::administration;
