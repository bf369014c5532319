//! Guards that a chaos scenario switches off, to see that it fails without them. Only builds for development have the switch.

use std::sync::LazyLock;

/// Variable with the name of the guard that is off.
const VARIABLE: &str = "ACCESS_TOKENS_WITHOUT_GUARD";

/// A guard that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// A call gets its permit after its message is complete, from the share of its party.
    Admission,
    /// Connections of strangers give way to others, and streams of probes end.
    Connections,
    /// Unfinished handshakes are bounded per address.
    Handshakes,
    /// Control frames of a connection are bounded.
    ControlFrames,
}

impl Protection {
    /// Returns whether the guard is switched off. Always false in a release.
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
