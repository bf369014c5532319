//! Sessions: identifies callers, and decides whether their credentials are still valid. This crate knows neither the
//! contract nor the transport nor the database: it reads accounts through ports of the domain.
//!
//! A session token is signed, so reading one needs no database; its signature is verified once ([`verified_tokens`]). Whether the
//! session was released ([`revocation_list`]) and what its user may do ([`caller_cache`]) is looked up and kept for less than a second.

mod api_key;
mod authenticator;
mod caller_cache;
mod certificate_bindings;
mod former_servers;
mod key_uses;
mod login;
mod login_rate;
mod revocation_list;
mod session_token;
#[cfg(test)]
mod tests;
mod verified_tokens;

pub use api_key::NewApiKey;
pub use api_key::public_part;
pub use authenticator::Authenticator;
pub use authenticator::SESSION_LIFETIME;
pub use authenticator::describe::CallerDescription;
pub use login::Login;
pub use login_rate::LoginLimits;
pub use session_token::{ClaimForm, ClaimNames, SessionTokens};
