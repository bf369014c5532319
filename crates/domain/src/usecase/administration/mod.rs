//! Use cases of administration: API keys and users.
//!
//! Each takes the caller first. A caller needs the permission `admin`, and can grant only permissions that it holds. The
//! command line holds all of them, since it holds the keys and the database.

mod api_keys;
mod grants;
mod users;

pub use api_keys::{MAX_OVERLAP, NewKey};
pub use grants::Administration;
