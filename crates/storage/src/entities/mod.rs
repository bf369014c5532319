//! Entities, one file for each table. Timestamps are microseconds since the epoch on both databases.
//!
//! `number_sequence` has no entity, because only the statements in [`crate::sequence`] use it.
// The derive macros require `pub`, although no entity leaves the crate.
#![allow(unreachable_pub)]

pub(crate) mod access_token;
pub(crate) mod accounts_receivable;
pub(crate) mod api_key;
pub(crate) mod app_user;
pub(crate) mod business_unit;
pub(crate) mod classification;
pub(crate) mod code_issue;
pub(crate) mod contact_information;
pub(crate) mod country;
pub(crate) mod credential_attempt;
pub(crate) mod industry;
pub(crate) mod industry_sector;
pub(crate) mod organisation;
pub(crate) mod rewards_participant;
pub(crate) mod unit;
pub(crate) mod user_credential;
