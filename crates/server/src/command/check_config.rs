//! `check-config`: the settings that apply. Wrong ones were refused before.

use crate::config::Loaded;

pub(super) fn run(loaded: &Loaded) {
    print!("{}", loaded.describe());
}
