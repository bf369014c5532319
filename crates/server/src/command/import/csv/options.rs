//! Options for reading CSV files: the table `[csv]` of a mapping file.

use encoding_rs::Encoding;
use serde::Deserialize;

use super::date::DateForm;
use crate::command::files::find_encoding;

/// Maximum number of lines before the header.
const MAX_SKIPPED_LINES: usize = 100;

/// The table `[csv]` of a mapping file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOptions {
    encoding: Option<String>,
    delimiter: Option<String>,
    header: Option<bool>,
    skip_lines: Option<usize>,
    skip_without: Option<String>,
    decimal: Option<String>,
    date: Option<String>,
}

/// Options for reading a CSV file.
#[derive(Debug, Clone)]
pub(in super::super) struct Options {
    /// The encoding of a file without a byte order mark. None: UTF-8.
    pub(in super::super) encoding: Option<&'static Encoding>,
    pub(super) delimiter: Option<u8>,
    pub(super) header: bool,
    /// Number of lines before the header.
    pub(super) skip_lines: usize,
    pub(super) skip_without: Option<String>,
    pub(super) decimal: char,
    pub(super) date: Option<DateForm>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encoding: None,
            delimiter: None,
            header: true,
            skip_lines: 0,
            skip_without: None,
            decimal: '.',
            date: None,
        }
    }
}

impl TryFrom<RawOptions> for Options {
    type Error = String;

    fn try_from(raw: RawOptions) -> Result<Self, String> {
        let RawOptions { encoding, delimiter, header, skip_lines, skip_without, decimal, date } = raw;
        Ok(Self {
            encoding: encoding.as_deref().map(find_encoding).transpose()?,
            delimiter: delimiter.as_deref().map(read_delimiter).transpose()?,
            header: header.unwrap_or(true),
            skip_lines: read_skip_lines(skip_lines.unwrap_or(0))?,
            skip_without,
            decimal: decimal.as_deref().map_or(Ok('.'), read_decimal)?,
            date: date.as_deref().map(DateForm::parse).transpose()?,
        })
    }
}

fn read_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(format!("delimiter = {text:?} must be one ASCII character other than a quote")),
    }
}

fn read_skip_lines(count: usize) -> Result<usize, String> {
    if count > MAX_SKIPPED_LINES {
        return Err(format!("skip_lines = {count} must be at most {MAX_SKIPPED_LINES}"));
    }
    Ok(count)
}

/// Reads the decimal separator of numbers.
pub(super) fn read_decimal(text: &str) -> Result<char, String> {
    match text {
        "." => Ok('.'),
        "," => Ok(','),
        _ => Err(format!("decimal = {text:?} must be \".\" or \",\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        toml::from_str::<RawOptions>(text).map_err(|error| error.to_string())?.try_into()
    }

    #[test]
    fn every_key_has_a_meaning() {
        let text = "encoding = \"ISO-8859-7\"\ndelimiter = \"\\t\"\nheader = false\nskip_without = \"x\"\ndecimal = \",\"\ndate = \"%d.%m.%Y\"";
        let read = options(text).expect("options");
        assert_eq!(read.encoding.map(Encoding::name), Some("ISO-8859-7"));
        assert_eq!((read.delimiter, read.header, read.decimal), (Some(b'\t'), false, ','));
        for bad in [
            "encoding = \"klingon\"",
            "encoding = \"iso-2022-kr\"",
            "skip_lines = 101",
            "skip_lines = -1",
            "delimiter = \"\"",
            "delimiter = \";;\"",
            "delimiter = \"\\\"\"",
            "delimiter = \"§\"",
            "decimal = \" \"",
            "date = \"dd.mm.yyyy\"",
            "quote = \"'\"",
            "header = \"no\"",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}
