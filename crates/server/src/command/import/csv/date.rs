//! Dates in a form that a mapping file states. They are converted to ISO 8601, which the import reads in the configured time zone.

use chrono::{NaiveDate, NaiveTime};

/// The form of a date, such as `%d.%m.%Y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DateForm {
    /// The form as the mapping file states it.
    pub(super) text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One or two digits: day, month, hour, minute or second. The index is the position among these numbers.
    Number(usize),
    /// Four digits.
    Year,
    /// Two digits: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068.
    ShortYear,
    /// `Z`, `+0200` or `+02:00`.
    Offset,
    Literal(char),
}

const DAY: usize = 0;
const MONTH: usize = 1;
const HOUR: usize = 2;
const MINUTE: usize = 3;
const SECOND: usize = 4;

impl DateForm {
    /// Reads a form. The error describes what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '%' => match characters.next() {
                    Some('d') => Part::Number(DAY),
                    Some('m') => Part::Number(MONTH),
                    Some('H') => Part::Number(HOUR),
                    Some('M') => Part::Number(MINUTE),
                    Some('S') => Part::Number(SECOND),
                    Some('Y') => Part::Year,
                    Some('y') => Part::ShortYear,
                    Some('z') => Part::Offset,
                    _ => return Err(format!("date = {text:?} has an unknown part; known are %d %m %Y %y %H %M %S %z")),
                },
                literal => Part::Literal(literal),
            });
        }
        let count = |part: &Part| parts.iter().filter(|one| *one == part).count();
        let years = count(&Part::Year) + count(&Part::ShortYear);
        let numbers: Vec<usize> = (DAY..=SECOND).map(|number| count(&Part::Number(number))).collect();
        if years != 1 || numbers[DAY] != 1 || numbers[MONTH] != 1 {
            return Err(format!("date = {text:?} must have %d, %m and one of %Y and %y, each once"));
        }
        let has_time = numbers[HOUR] == 1;
        let repeated = numbers.iter().any(|count| *count > 1) || count(&Part::Offset) > 1;
        let without_hour = !has_time && (numbers[MINUTE] + numbers[SECOND] + count(&Part::Offset) > 0);
        if repeated || without_hour || numbers[SECOND] > numbers[MINUTE] {
            return Err(format!("date = {text:?} must have %M after %H, %S after %M, %z only with a time, each once"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Returns the date in ISO 8601, without a time if the form has none. None for a text of another form, or a date that does not exist.
    pub(super) fn to_iso(&self, text: &str) -> Option<String> {
        let (mut rest, mut numbers, mut year, mut offset) = (text, [0; 5], 0, "");
        let mut has_time = false;
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rest = rest.strip_prefix(*literal)?,
                Part::Number(place) => {
                    has_time |= *place == HOUR;
                    (numbers[*place], rest) = digits(rest, 1, 2)?;
                }
                Part::Year => {
                    let (number, after) = digits(rest, 4, 4)?;
                    (year, rest) = (i32::try_from(number).ok()?, after);
                }
                Part::ShortYear => {
                    let (number, after) = digits(rest, 2, 2)?;
                    let century = if number > 68 { 1_900 } else { 2_000 };
                    (year, rest) = (century + i32::try_from(number).ok()?, after);
                }
                Part::Offset => {
                    let length =
                        rest.find(|c: char| !matches!(c, 'Z' | '+' | '-' | ':' | '0'..='9')).unwrap_or(rest.len());
                    (offset, rest) = rest.split_at(length);
                    // A wrong offset is refused when the ISO form is read.
                    if offset.is_empty() {
                        return None;
                    }
                }
            }
        }
        let [day, month, hour, minute, second] = numbers;
        let date = NaiveDate::from_ymd_opt(year, month, day).filter(|_| rest.is_empty())?;
        let time = NaiveTime::from_hms_opt(hour, minute, second)?;
        Some(if has_time { format!("{date}T{time}{offset}") } else { date.to_string() })
    }
}

/// Reads a number of `min` to `max` digits. Returns it with the rest of the text.
fn digits(text: &str, min: usize, max: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    (length >= min).then(|| digits.parse().ok().map(|number| (number, rest)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_iso() {
        for (form, text, iso) in [
            ("%d.%m.%Y", "31.12.2027", Some("2027-12-31")),
            ("%d.%m.%Y", "1.2.2027", Some("2027-02-01")),
            ("%m/%d/%Y", "03/31/2027", Some("2027-03-31")),
            ("%d/%m/%y", "31/12/68", Some("2068-12-31")),
            ("%d/%m/%y", "31/12/69", Some("1969-12-31")),
            ("%Y%m%d", "20271231", Some("2027-12-31")),
            ("%d.%m.%Y %H:%M", "31.12.2027 7:05", Some("2027-12-31T07:05:00")),
            ("%d.%m.%Y %H:%M:%S %z", "31.12.2027 07:05:09 +0200", Some("2027-12-31T07:05:09+0200")),
            ("%H:%M Uhr am %d.%m.%Y", "07:05 Uhr am 31.12.2027", Some("2027-12-31T07:05:00")),
            ("%m/%d/%Y", "31/03/2027", None),
            ("%d.%m.%Y", "30.02.2027", None),
            ("%d.%m.%Y", "31.12.27", None),
            ("%d.%m.%Y", "31.12.20270", None),
            ("%d.%m.%Y", "2027-12-31", None),
            ("%d.%m.%Y", " 31.12.2027", None),
            ("%d.%m.%Y", "", None),
            ("%d.%m.%Y", "٣١.12.2027", None),
            ("%d.%m.%Y %H:%M", "31.12.2027 24:00", None),
            ("%d.%m.%Y %H:%M %z", "31.12.2027 10:00 EET", None),
        ] {
            let form = DateForm::parse(form).expect("a form");
            assert_eq!(form.to_iso(text).as_deref(), iso, "{text}");
        }
    }

    #[test]
    fn a_form_names_one_day() {
        for form in [
            "",
            "%d.%m",
            "%d.%m.%Y.%y",
            "%d.%d.%Y",
            "%d.%m.%Y %M",
            "%d.%m.%Y %H:%S",
            "%d.%m.%Y%z",
            "%x",
            "%d.%m.%Y%",
            "%d %B %Y",
        ] {
            assert!(DateForm::parse(form).is_err(), "{form}");
        }
    }
}
