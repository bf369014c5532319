//! Access to the operating system and to what the operator provides: files, values of settings, the clock and random
//! bytes.
//!
//! No other crate reads these. This crate knows no service, no network and no database.

pub mod file_watcher;
pub mod files;
mod secret_setting;
pub mod system;
pub mod url;
pub mod value;

pub use secret_setting::SecretSetting;
pub use system::{SystemClock, SystemRandom};
