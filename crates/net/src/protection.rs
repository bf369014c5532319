//! Protections that a chaos scenario switches off, to show that it fails without them. Only debug builds have the
//! switch.

use std::sync::LazyLock;

/// Environment variable with the name of the protection that is off.
const VARIABLE: &str = "ACCESS_TOKENS_WITHOUT_GUARD";

/// A protection that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// A call gets its permit after its message is complete, from the share of its limit key.
    Admission,
    /// Anonymous connections are displaced by others, and streams of probes end.
    Connections,
    /// Unfinished handshakes are bounded per address.
    Handshakes,
    /// Control frames of a connection are bounded.
    ControlFrames,
}

impl Protection {
    /// Returns whether the protection is switched off. Always false in a release.
    pub fn is_off(self) -> bool {
        static OFF: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(VARIABLE).ok());
        cfg!(debug_assertions) && OFF.as_deref() == Some(self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::ControlFrames => "control_frames",
        }
    }
}
