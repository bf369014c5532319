//! Conversion between rows and domain types, in this place only. A corrupt row is a fault, never a panic.

mod directory;
mod ledger;
mod token;
mod value;

pub(crate) use directory::*;
pub(crate) use ledger::*;
pub(crate) use token::*;
pub(crate) use value::{micros, optional_time, time};
