//! Values of cells: damage by spreadsheets, numbers, check digits.

use std::borrow::Cow;

use access_tokens_domain::card;

/// Returns a cell without leading and trailing blanks, and without the marks that keep a spreadsheet from reading a number or a formula:
/// `="0042"`, and a leading `'` before a digit or a sign. A cell that also ends with `'` has quotes of another kind, and does not change.
pub(super) fn clean(cell: &str) -> Cow<'_, str> {
    let cell = trim(cell);
    if let Some(text) = cell.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) {
        return Cow::Owned(trim(&text.replace("\"\"", "\"")).to_owned());
    }
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || "+-=@".contains(c)) && !rest.ends_with('\'') => {
            Cow::Borrowed(rest)
        }
        _ => Cow::Borrowed(cell),
    }
}

/// Returns a text without leading and trailing blanks. A no-break space and a byte order mark are blanks.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Returns whether a spreadsheet shows this in place of a value: an error in any of its languages (`#N/A`, `#WERT!`), a column that is too
/// narrow (`####`), or a number with dropped digits (`4,2E+12`).
pub(super) fn is_damaged(text: &str) -> bool {
    is_spreadsheet_error(text) || is_scientific(text)
}

/// Returns whether a text has only digits, and at least one.
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_spreadsheet_error(text: &str) -> bool {
    if let Some(number) = text.strip_prefix("Err:") {
        return number.len() == 3 && is_digits(number);
    }
    let Some(name) = text.strip_prefix('#') else { return false };
    if name.is_empty() {
        return false;
    }
    if name.chars().all(|c| c == '#') {
        return true;
    }
    let of_a_name = |c: char| c.is_uppercase() || matches!(c, '/' | '.' | '0' | '_');
    match name.strip_suffix(['!', '?']) {
        Some(name) => !name.is_empty() && name.chars().all(of_a_name),
        // Errors for missing values: #N/A, #NV, #N/D, #Δ/Υ.
        None => name == "NV" || (name.contains('/') && name.chars().all(|c| c.is_uppercase() || c == '/')),
    }
}

/// Returns whether a text is a number such as `4,2E+12` or `4.2e+12`. Programs always write the sign, so that a code such as `12E5` is not
/// one.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = ["E+", "E-", "e+", "e-"].into_iter().find_map(|sign| text.split_once(sign)) else {
        return false;
    };
    let mantissa = mantissa.trim_start_matches(['-', '+']);
    let is_number = match mantissa.split_once([',', '.']) {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(mantissa),
    };
    is_number && is_digits(exponent)
}

/// Texts that databases and programs write for a missing value. In a column of codes, they would become one code for many rows.
const PLACEHOLDERS: [&str; 9] = ["null", "(null)", "<null>", "[null]", "\\n", "nan", "undefined", "n/a", "none"];
/// Texts that reports write before the sums of their last line.
const TOTALS: [&str; 14] = [
    "total",
    "totals",
    "grand total",
    "subtotal",
    "sum",
    "summe",
    "gesamt",
    "gesamtsumme",
    "zwischensumme",
    "totale",
    "totaux",
    "suma",
    "σύνολο",
    "γενικό σύνολο",
];
/// Minimum number of digits before `.0` at which a text is a damaged number, and not a code.
const MIN_DECIMAL_DIGITS: usize = 5;

/// Returns why a text is one for a missing value, such as NULL, with the cure.
pub(super) fn is_placeholder(text: &str) -> Option<&'static str> {
    PLACEHOLDERS.contains(&text.to_lowercase().as_str()).then_some("stands for nothing: list it in empty, or in map")
}

/// Returns why a text is neither a code nor a number of an object, with the cure.
pub(super) fn is_no_name(text: &str) -> Option<&'static str> {
    let lower = text.trim_end_matches(':').to_lowercase();
    let in_quotes = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if let Some(what) = is_placeholder(text) {
        Some(what)
    } else if TOTALS.contains(&lower.as_str()) {
        Some("seems to begin the line of totals of a report: remove the row, or list the text in map")
    } else if in_quotes('\'') || in_quotes('"') {
        Some(
            "is in quotes that are not those of CSV (a double quote, without a blank before it); match can take them off",
        )
    } else if text.strip_suffix(".0").is_some_and(|digits| digits.len() >= MIN_DECIMAL_DIGITS && is_digits(digits)) {
        Some("was saved as a number with a decimal point: save the column as text, or take it off by match")
    } else {
        None
    }
}

/// Reads a number. With a decimal comma the thousands separator is a point, and otherwise a comma; a blank or an apostrophe is one in both
/// notations. A number may have only one kind of separator, between groups of three digits, so that a number in the other notation is
/// refused and not misread.
pub(super) fn number(text: &str, decimal: char) -> Option<f64> {
    let separators = [if decimal == ',' { '.' } else { ',' }, ' ', '\u{a0}', '\u{202f}', '\'', '’'];
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once(decimal).unwrap_or((unsigned, "0"));
    let thousands = whole.chars().find(|c| separators.contains(c)).unwrap_or(separators[0]);
    let mut groups = whole.split(thousands);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let grouped = rest.is_empty() || (first.len() <= 3 && rest.iter().all(|group| group.len() == 3));
    if !grouped || !is_digits(first) || !rest.iter().all(|group| is_digits(group)) || !is_digits(fraction) {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    format!("{sign}{first}{}.{fraction}", rest.concat()).parse().ok().filter(|number: &f64| number.is_finite())
}

/// Returns whether the last digit of an EAN of this length is its check digit.
pub(super) fn is_ean(text: &str, length: usize) -> bool {
    if text.len() != length || !is_digits(text) {
        return false;
    }
    let weighted = text.bytes().rev().enumerate().map(|(place, digit)| u32::from(digit - b'0') * [1, 3][place % 2]);
    weighted.sum::<u32>().is_multiple_of(10)
}

/// Returns whether a text of digits passes the Luhn check.
pub(super) fn is_luhn(text: &str) -> bool {
    if text.len() < 2 || !is_digits(text) {
        return false;
    }
    card::luhn(&text.bytes().map(|digit| digit - b'0').collect::<Vec<_>>())
}

/// Returns whether a code may be the number of a payment card: 15 or 16 digits, perhaps with blanks or dashes between them, that begin with
/// a range of payment cards and pass the Luhn check.
pub(in super::super) fn may_be_card_number(code: &str) -> bool {
    let digits: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if !matches!(digits.len(), 15 | 16) || !is_luhn(&digits) {
        return false;
    }
    let begins = |length: usize| digits.get(..length).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    begins(1) == 4 || matches!(begins(2), 34 | 37 | 51..=55) || (2_221..=2_720).contains(&begins(4))
}

/// Returns whether a code has lost digits in a spreadsheet, which keeps fifteen digits of a number: the others are zeros. One of ten codes
/// with 16 digits looks like this by chance.
pub(in super::super) fn may_have_lost_digits(code: &str) -> bool {
    code.len() > 15 && is_digits(code) && code.bytes().skip(15).all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lose_blanks_and_what_spreadsheets_add() {
        for (cell, value) in [
            (" a ", "a"),
            ("\u{a0}\u{feff}0042\u{a0}", "0042"),
            ("=\"0042\"", "0042"),
            ("=\"a\"\"b\"", "a\"b"),
            ("'0042", "0042"),
            ("'0042-AB", "0042-AB"),
            ("'tis", "'tis"),
            ("'+30 690", "+30 690"),
            ("'=1+1", "=1+1"),
            ("'0042'", "'0042'"),
            ("=0042", "=0042"),
            ("=\"", "=\""),
            ("", ""),
        ] {
            assert_eq!(clean(cell), value, "{cell:?}");
        }
    }

    #[test]
    fn damage_is_recognised_and_codes_are_not_mistaken_for_it() {
        for text in [
            "#N/A",
            "#REF!",
            "#VALUE!",
            "#DIV/0!",
            "#NAME?",
            "#NULL!",
            "#NUM!",
            "#SPILL!",
            "#WERT!",
            "#BEZUG!",
            "#NV",
            "#Δ/Υ",
            "#ΤΙΜΗ!",
            "#ΑΝΑΦ!",
            "#GETTING_DATA!",
            "####",
            "##",
            "4,2E+12",
            "4.2E+12",
            "2,00123E+12",
            "4E+12",
            "-1.5E-05",
            "Err:502",
            "4.2e+12",
            "4.00E+15",
        ] {
            assert!(is_damaged(text), "{text}");
        }
        for text in [
            "#1",
            "#",
            "#VIP",
            "#a/b",
            "12E5",
            "1E12",
            "E+12",
            "4.2e+12x",
            "A4.2E+12",
            "4.2.2E+12",
            "Err:5",
            "Err: no",
            "N/A",
            "#12/34",
        ] {
            assert!(!is_damaged(text), "{text}");
        }
    }

    #[test]
    fn numbers_follow_their_notation_and_are_never_guessed() {
        for (text, decimal, number_read) in [
            ("1.234,50", ',', Some(1_234.5)),
            ("-1.234.567,5", ',', Some(-1_234_567.5)),
            ("1,234.50", '.', Some(1_234.5)),
            ("12.5", '.', Some(12.5)),
            ("+7", '.', Some(7.0)),
            ("0012", '.', Some(12.0)),
            ("25.0000", '.', Some(25.0)),
            ("12.5", ',', None),
            ("1,5", '.', None),
            ("1,23,456", '.', None),
            ("1234,567.0", '.', None),
            (",5", ',', None),
            ("5,", ',', None),
            ("", '.', None),
            ("-", '.', None),
            ("1 234", '.', Some(1_234.0)),
            ("1\u{a0}234\u{a0}567,5", ',', Some(1_234_567.5)),
            ("1'234.50", '.', Some(1_234.5)),
            ("1’234,5", ',', Some(1_234.5)),
            ("1 23", '.', None),
            ("1 234,567.0", '.', None),
            ("12 34", ',', None),
            ("12 EUR", '.', None),
            ("1.2.3", '.', None),
            ("1e5", '.', None),
            ("NaN", '.', None),
            ("inf", '.', None),
        ] {
            assert_eq!(number(text, decimal), number_read, "{text:?} {decimal}");
        }
        assert_eq!(number(&"9".repeat(400), '.'), None);
    }

    #[test]
    fn texts_that_name_nothing() {
        for text in ["NULL", "null", "\\N", "NaN", "Total", "Summe:", "ΣΎΝΟΛΟ", "'0042'", "\"A-1\"", "12345.0"] {
            assert!(is_no_name(text).is_some(), "{text}");
        }
        for text in ["0042", "Total-7", "NULL1", "O'Neil", "'", "12.0", "1.0.0", "AB.0", "12345.01", "-"] {
            assert_eq!(is_no_name(text), None, "{text}");
        }
    }

    #[test]
    fn check_digits() {
        assert!(is_ean("0042123456784", 13) && is_ean("5200000000016", 13) && is_ean("96385074", 8));
        assert!(
            !is_ean("0042123456785", 13)
                && !is_ean("042123456784", 13)
                && !is_ean("004212345678A", 13)
                && !is_ean("96385075", 8)
        );
        assert!(
            is_luhn("4111111111111111")
                && is_luhn("18")
                && !is_luhn("4111111111111112")
                && !is_luhn("0")
                && !is_luhn("1a8")
        );
    }

    #[test]
    fn numbers_of_payment_cards() {
        for code in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "5555555555554444",
            "2221000000000009",
            "2720990000000007",
        ] {
            assert!(may_be_card_number(code), "{code}");
        }
        for code in [
            "4111111111111112",
            "6011111111111117",
            "411111111111111",
            "5000000000000009",
            "2220990000000001",
            "41111111111111110000",
            "",
            "４１１１",
        ] {
            assert!(!may_be_card_number(code), "{code}");
        }
    }

    #[test]
    fn lost_digits() {
        assert!(may_have_lost_digits("1234567890123450") && may_have_lost_digits("12345678901234500"));
        assert!(
            !may_have_lost_digits("1234567890123456")
                && !may_have_lost_digits("123456789012340")
                && !may_have_lost_digits("12345678901234510")
        );
        assert!(!may_have_lost_digits("123456789012345A"));
    }
}
