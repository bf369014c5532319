//! The circles of files that are not cut yet. This file only shrinks, and goes with its last entry.

/// Uses that close a circle: the first file uses the second one.
pub(crate) const FILES: &[(&str, &str)] = &[];
