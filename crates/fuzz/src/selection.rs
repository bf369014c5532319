//! The first byte of an input selects the use of the rest.

/// Returns one of several values, selected by the first byte of an input, and the rest of the input. Printable first bytes count
/// from `0`.
pub(crate) fn select<'t, 'd, T>(all: &'t [T], data: &'d [u8]) -> Option<(&'t T, &'d [u8])> {
    let (first, rest) = data.split_first()?;
    Some((&all[usize::from(first.wrapping_sub(b'0')) % all.len()], rest))
}
