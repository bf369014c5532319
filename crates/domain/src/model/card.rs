//! Masked card numbers. They are shown as provided, and refused when they reveal too much of the card.

use crate::Reason;
use crate::model::text::{self, Check};

/// Refuses a complete card number and a number that reveals too much: more than the first eight and the last four
/// digits in clear, or 13 to 19 digits that pass the Luhn check (PCI DSS 3.4.1).
pub fn check(masked: &str) -> Check {
    text::written(masked)?;
    let digits: Vec<u8> = masked.chars().filter_map(|c| c.to_digit(10)).map(|d| d as u8).collect();
    let whole = (13..=19).contains(&digits.len()) && luhn(&digits);
    if whole || shows_too_much(masked, digits.len()) {
        let what = "shows more than the first 8 and the last 4 digits of a card";
        return Err((Reason::CardNumberNotMasked, what.to_owned()));
    }
    Ok(())
}

/// Returns the last four digits, when the masked number ends in four digits.
pub fn last_4_digits(masked: &str) -> Option<String> {
    let tail: Vec<char> = masked.chars().filter(|c| !c.is_whitespace() && *c != '-').rev().take(4).collect();
    (tail.len() == 4 && tail.iter().all(char::is_ascii_digit)).then(|| tail.into_iter().rev().collect())
}

/// Returns whether more digits are in clear than may be. Separators between digits do not mask.
fn shows_too_much(masked: &str, digits: usize) -> bool {
    let masking = |c: char| !c.is_ascii_digit() && !c.is_whitespace() && c != '-';
    match (masked.find(masking), masked.rfind(masking)) {
        (Some(first), Some(last)) => {
            let count = |part: &str| part.chars().filter(char::is_ascii_digit).count();
            let (head, tail) = (count(&masked[..first]), count(&masked[last..]));
            head > 8 || tail > 4 || head + tail < digits
        }
        _ => digits > 12,
    }
}

/// Returns whether the digits, as numbers from 0 to 9, pass the Luhn check.
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &d)| match (i % 2, u32::from(d)) {
            (0, d) => d,
            (_, d) if d > 4 => d * 2 - 9,
            (_, d) => d * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_numbers_pass_and_whole_ones_do_not() {
        for good in [
            "************1234",
            "411111******1111",
            "4111 11** **** 1111",
            "41111111xxxx1111",
            "XXXX-XXXX-XXXX-4242",
            "1234",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "411111111*1111",
            "4111******11111",
            "41*11*1111",
            "378282246310005",
        ] {
            assert_eq!(check(bad).expect_err(bad).0, Reason::CardNumberNotMasked);
        }
    }

    #[test]
    fn last_digits_are_derived() {
        assert_eq!(last_4_digits("411111******1111").as_deref(), Some("1111"));
        assert_eq!(last_4_digits("**** **** **** 42 42").as_deref(), Some("4242"));
        assert_eq!(last_4_digits("1111********"), None);
        assert_eq!(last_4_digits("12"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_number_that_passes_luhn_is_stored(prefix in "[0-9]{12,18}", separator in "[ -]?") {
            let digits: Vec<u8> = prefix.bytes().map(|b| b - b'0').collect();
            let check_digit = (0..10u8).find(|d| luhn(&[digits.as_slice(), &[*d]].concat())).expect("one digit fits");
            let number: Vec<String> = prefix.chars().map(String::from).chain([check_digit.to_string()]).collect();
            proptest::prop_assert!(check(&number.join(&separator)).is_err());
        }
    }
}
