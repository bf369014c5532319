//! Rows to domain and back. The only place that maps them; reading a corrupt row is a fault, never a panic.

mod cell;
mod directory;
mod ledger;
mod token;

pub(crate) use cell::{micros, optional_time, time};
pub(crate) use directory::*;
pub(crate) use ledger::*;
pub(crate) use token::*;
