//! Secrets of access tokens by kind of fault: the changes that end them, the number of guesses, the choice of codes, and the
//! comparison.

mod chosen;
mod comparison;
mod guesses;
mod one_time_password;
