//! The first byte of an input chooses what the rest is for.

/// One of several by the first byte of an input, and the rest of it. Printable first bytes count from `0`.
pub(crate) fn select<'t, 'd, T>(all: &'t [T], data: &'d [u8]) -> Option<(&'t T, &'d [u8])> {
    let (first, rest) = data.split_first()?;
    Some((&all[usize::from(first.wrapping_sub(b'0')) % all.len()], rest))
}
