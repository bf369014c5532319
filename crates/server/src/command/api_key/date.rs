//! Dates of the command line.

use access_tokens_domain::time::Timestamp;

/// Formats a date for the output of a command.
pub(super) fn shown(date: Timestamp) -> String {
    date.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads a date of the command line: `2027-01-31`, which is midnight UTC, or a form of import files.
pub(super) fn date(text: &str) -> Result<Timestamp, String> {
    access_tokens_domain::time::parse(text)
        .ok_or_else(|| "is not a date such as 2027-01-31, 2027-01-31T12:00:00Z or 2027-01-31T12:00:00+02:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_command_line() {
        let midnight = date("2027-01-31").expect("a date");
        assert_eq!(shown(midnight), "2027-01-31T00:00:00Z");
        assert_eq!(date("2027-01-31T02:00:00+02:00"), Ok(midnight));
        for bad in ["", "tomorrow", "2027-02-30", "31.1.2027"] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }
}
