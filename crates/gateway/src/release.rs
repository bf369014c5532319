//! Releases of the original API.

use std::fmt;
use std::str::FromStr;

/// A release of the original API, for example `R18.0.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Release {
    /// The first release that is documented.
    pub const FIRST: Self = Self::new(5, 0, 0);

    /// Returns a release with these numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Returns whether the release has what another release introduced. `None`: it was always there.
    pub(crate) fn has(self, available_from: Option<&str>) -> bool {
        available_from.is_none_or(|from| from.parse::<Self>().is_ok_and(|from| from <= self))
    }
}

impl Default for Release {
    /// The last release that is documented.
    fn default() -> Self {
        Self::new(18, 0, 0)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Release {
    type Err = InvalidRelease;

    /// Reads `R18.0.0`, and also `R18` and `R10.1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = [0; 3];
        let mut parts = text.strip_prefix('R').ok_or(InvalidRelease)?.split('.');
        for (position, number) in numbers.iter_mut().enumerate() {
            match parts.next() {
                Some(part) if part.bytes().all(|b| b.is_ascii_digit()) => {
                    *number = part.parse().map_err(|_| InvalidRelease)?;
                }
                None if position > 0 => {}
                _ => return Err(InvalidRelease),
            }
        }
        let [major, minor, patch] = numbers;
        parts.next().is_none().then_some(Self { major, minor, patch }).ok_or(InvalidRelease)
    }
}

/// A text that names no release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a release is written as R18.0.0")]
pub struct InvalidRelease;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        let release = |text: &str| text.parse::<Release>().expect("a release");
        assert!(release("R9.0.0") < release("R10.0.0") && release("R10") < release("R10.1.0"));
        assert_eq!(release("R18").to_string(), "R18.0.0");
        assert!(release("R10.1.0").has(Some("R10.1.0")) && !release("R10.0.9").has(Some("R10.1.0")));
        assert!(release("R1").has(None));
        for bad in ["", "R", "18", "r18", "R18.", "R18.0.0.0", "R-1", "R+1", "R18.x", "R99999"] {
            assert_eq!(bad.parse::<Release>(), Err(InvalidRelease), "{bad}");
        }
    }
}
