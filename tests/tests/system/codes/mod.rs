//! Secrets of access tokens by kind of fault: what ends them, how often they may be guessed, which may be chosen, how
//! they are compared.

mod chosen;
mod comparison;
mod guesses;
mod one_time_password;
