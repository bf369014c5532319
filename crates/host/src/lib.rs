//! What the operating system and the operator give to the process: files, values of settings, the clock and random bytes.
//!
//! Nothing else reads them. It knows no service, no network and no database.

pub mod file_watcher;
pub mod files;
mod secret_setting;
pub mod system;
pub mod url;
pub mod value;

pub use secret_setting::SecretSetting;
pub use system::{SystemClock, SystemRandom};
