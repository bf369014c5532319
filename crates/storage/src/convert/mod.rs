//! Rows to domain and back. The only place that maps them; reading a corrupt row is a fault, never a panic.

mod directory;
mod ledger;
mod token;
mod value;

pub(crate) use directory::*;
pub(crate) use ledger::*;
pub(crate) use token::*;
pub(crate) use value::{micros, optional_time, time};
