use std::io::{Cursor, Read};

use serde_json::{Value, json};

use super::*;
use crate::command::files;

/// Returns the rows of a file: the line of each, and its record or its error.
fn rows(bytes: &[u8], mapping: &str) -> anyhow::Result<Vec<(usize, Result<Value, String>)>> {
    let mapping = Mapping::read(Some(mapping), &[]).map_err(|what| anyhow!(what))?;
    let text = files::text(Cursor::new(bytes.to_vec()), mapping.options.encoding)?;
    let Some(mut rows) = Rows::open(text, &mapping)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let record = row.record.map(|record| Value::Object(record.object));
        found.push((row.line, record.map_err(|error| error.message().to_owned())));
    }
    Ok(found)
}

const CODES: &str = "[access_token]\nauthentication_code = \"code\"\nudf_string_1 = \"text\"";

fn code(line: usize, code: &str, text: &str) -> (usize, Result<Value, String>) {
    (line, Ok(json!({"authentication_code": code, "udf_string_1": text})))
}

#[test]
fn delimiters_are_recognised_stated_or_set() {
    for (text, first) in [
        ("code,text\n1,a\n", 2),
        ("code;text\n1;a\n", 2),
        ("code\ttext\n1\ta\n", 2),
        ("code|text\n1|a\n", 2),
        ("\"code\";\"text\";\"a,b,c,d\"\n1;a\n", 2),
        ("sep=;\ncode;text\n1;a\n", 3),
        ("sep=#\r\ncode#text\r\n1#a\r\n", 3),
        ("SEP=,\rcode,text\r1,a\r", 3),
        ("\u{feff}sep=\t\ncode\ttext\n1\ta\n", 3),
        ("\n\nsep=;\n\ncode;text\n1;a\n", 6),
        ("\r\rcode;text\r1;a\r", 4),
    ] {
        assert_eq!(rows(text.as_bytes(), CODES).expect("read"), [code(first, "1", "a")], "{text:?}");
    }
    let set = format!("[csv]\ndelimiter = \"/\"\n{CODES}");
    assert_eq!(rows(b"code/text\n1/a,b;c\n", &set).expect("read"), [code(2, "1", "a,b;c")]);
    assert!(rows("sep=ä\na\n".as_bytes(), CODES).is_err());
}

#[test]
fn quoted_line_breaks_and_short_rows() {
    let text = "text;code\n\"Line 1\r\nLine 2; \"\"quoted\"\"\";1\n\n;;\n;2\n;3;4\n";
    let found =
        rows(text.as_bytes(), &CODES.replace("\"text\"", "{ column = \"text\", default = \"-\" }")).expect("read");
    assert_eq!(found[0], code(2, "1", "Line 1\r\nLine 2; \"quoted\""));
    assert_eq!(found[1], code(6, "2", "-"), "an empty row is skipped");
    assert!(found[2].0 == 7 && found[2].1.as_ref().is_err_and(|what| what.contains("3 cells")), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn encodings_are_stated_and_never_guessed() {
    let greek = "code;text\n1;Μαρία Ρίου\n";
    for (name, encoding) in [("windows-1253", encoding_rs::WINDOWS_1253), ("iso-8859-7", encoding_rs::ISO_8859_7)] {
        let (bytes, ..) = encoding.encode(greek);
        let stated = format!("[csv]\nencoding = \"{name}\"\n{CODES}");
        assert_eq!(rows(&bytes, &stated).expect("read"), [code(2, "1", "Μαρία Ρίου")]);
        let error = rows(&bytes, CODES).expect_err("not UTF-8").to_string();
        let expected = ["line 2", "column \"text\"", "\\xcc", "windows-1252, windows-1253 or iso-8859-7"];
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        // The error does not repeat the text of a code.
        let (bytes, ..) = encoding.encode("code;text\nΜΥΣΤΙΚΟ;x\n");
        let error = rows(&bytes, CODES).expect_err("not UTF-8").to_string();
        assert!(error.contains("line 2") && !error.contains("\\x"), "{error}");
    }
    // A byte without a character in windows-1253.
    let stated = format!("[csv]\nencoding = \"windows-1253\"\n{CODES}");
    let found = rows(b"code;text\n1;a\xaa\n2;b\n", &stated).expect("read");
    assert!(found[0].1.as_ref().is_err_and(|what| what.contains("windows-1253")), "{found:?}");
    assert_eq!(found[1], code(3, "2", "b"));
    let error = rows("code;Größe\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice(), CODES);
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("not UTF-8") || error.contains("utf-16le"), "{error}");
    let error = rows("code;text\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice(), CODES);
    assert!(error.expect_err("refused").to_string().contains("utf-16le"));
}

#[test]
fn an_error_about_the_mapping_lists_the_columns() {
    let mapping = Mapping::read(Some("[access_token]\nnumber = \"No\""), &[]).expect("a mapping");
    let text = files::text(Cursor::new(b"Karten-Nr.;Status\n".to_vec()), None).expect("a text");
    let error = Rows::open(text, &mapping).err().expect("refused").to_string();
    assert!(
        error.contains("no column \"No\"") && error.ends_with("columns of the file: \"Karten-Nr.\", \"Status\""),
        "{error}"
    );
    let many: String = (0..3_000).map(|i| format!("column {i},")).collect();
    let text = files::text(Cursor::new(many.into_bytes()), None).expect("a text");
    let error = Rows::open(text, &mapping).err().expect("refused").to_string();
    assert!(error.ends_with("and 2901 more") && error.len() < 10_000, "{error}");
}

#[test]
fn a_row_whose_quotes_do_not_pair_is_refused() {
    let found = rows(b"code,text\nRA1,a\nRA2,\"b\nRA3,c\nRA4,d\n", CODES).expect("read");
    assert_eq!((found.len(), &found[0]), (2, &code(2, "RA1", "a")));
    let open = "the quote that opens on line 3 is not closed";
    assert!(found[1].0 == 3 && found[1].1.as_ref().is_err_and(|what| what.contains(open)), "{found:?}");
    let found = rows(b"code,text\n\"M1\",\"6\\\" pipe\"\n\"q\"tail,b\n3,c\n", CODES).expect("read");
    for (row, line) in found.iter().zip([2, 3]) {
        let after = format!("line {line} has text after the closing quote of a cell that opens on line {line}");
        assert!(row.0 == line && row.1.as_ref().is_err_and(|what| what.contains(&after)), "{row:?}");
        assert!(row.1.as_ref().is_err_and(|what| !what.contains("pipe") && !what.contains("tail")), "{row:?}");
    }
    assert_eq!(found[2..], [code(4, "3", "c")]);
    // A row that would be skipped is not, because it may contain the text of other rows.
    let skip = format!("[csv]\nskip_without = \"code\"\n{CODES}");
    assert!(rows(b"code,text\n,\"a\n2,b\n", &skip).expect("read")[0].1.is_err());
    assert!(rows(b"code,text\n,\"", CODES).expect("read")[0].1.is_err());
    let error = rows(b"\"code\"s,text\n1,a\n", CODES).expect_err("refused").to_string();
    assert!(error.starts_with("line 1 has text after the closing quote"), "{error}");
}

#[test]
fn a_header_below_a_title_is_skipped_to_and_found() {
    let title = "Customer cards;as of 31.01.2026\n\nVienna\ncode;text\n1;a\n";
    let error = rows(title.as_bytes(), CODES).expect_err("refused").to_string();
    assert!(error.contains("line 4 has the columns: set skip_lines = 2"), "{error}");
    let skipping = |count: usize| format!("[csv]\nskip_lines = {count}\n{CODES}");
    assert_eq!(rows(title.as_bytes(), &skipping(2)).expect("read"), [code(5, "1", "a")]);
    // A title without a delimiter, and the line that a spreadsheet writes before it.
    for text in [
        "Customer cards\ncode;text\n1;a\n",
        "sep=;\r\nCustomer cards\r\ncode;text\r\n1;a\r\n",
        "Customer cards\rcode\ttext\r1\ta\r",
    ] {
        let error = rows(text.as_bytes(), CODES).expect_err("refused").to_string();
        assert!(error.contains("set skip_lines = 1"), "{text:?}: {error}");
        let line = 3 + usize::from(text.starts_with("sep"));
        assert_eq!(rows(text.as_bytes(), &skipping(1)).expect("read"), [code(line, "1", "a")], "{text:?}");
    }
    assert!(rows(b"a\n", &skipping(3)).expect("read").is_empty());
    let twice = rows(b"code;code;text\n1;2;a\n", CODES).expect_err("refused").to_string();
    assert!(twice.contains("more than one column \"code\"") && twice.contains("skip_lines"), "{twice}");
    let bare =
        "[csv]\nheader = false\nskip_lines = 1\n[access_token]\nauthentication_code = \"2\"\nudf_string_1 = \"3\"";
    assert_eq!(rows(b"code;code;text\n1;2;a\n", bare).expect("read"), [code(2, "2", "a")]);
}

#[test]
fn rows_without_a_header_and_rows_to_skip() {
    let bare =
        "[csv]\nheader = false\n[access_token]\nauthentication_code = { column = \"1\", pad = 13, check = \"ean13\" }";
    let found = rows(b"42123456784\n2001234567893\n1\n", bare).expect("read");
    assert_eq!(found[0], (1, Ok(json!({"authentication_code": "0042123456784"}))));
    assert!(found[1].1.is_ok() && found[2].1.as_ref().is_err_and(|what| what.contains("EAN-13")));
    let skip = format!("[csv]\nskip_without = \"code\"\n{CODES}");
    assert_eq!(rows(b"code,text\n1,a\n,b\n \xc2\xa0,c\n", &skip).expect("read"), [code(2, "1", "a")]);
}

#[test]
fn a_row_that_is_too_large_is_refused_alone() {
    let text = format!("code,text\n1,{}\n2,b\n", "x".repeat(MAX_ROW_BYTES));
    let found = rows(text.as_bytes(), CODES).expect("read");
    assert!(found[0].0 == 2 && found[0].1.as_ref().is_err_and(|what| what.contains("256 KiB")), "{:?}", found[0].1);
    assert_eq!(found[1], code(3, "2", "b"));
}

#[test]
fn endless_headers_are_refused() {
    for endless in [io::repeat(b'x'), io::repeat(b','), io::repeat(b'"')] {
        let text = files::text(io::BufReader::new(endless.take(4 * 1_024 * 1_024)), None).expect("a text");
        let mapping = Mapping::read(Some(CODES), &[]).expect("a mapping");
        let error = Rows::open(text, &mapping).err().expect("refused").to_string();
        assert!(error.contains("256 KiB") || error.contains("4096 cells"), "{error}");
    }
}

proptest::proptest! {
    /// For any bytes, rows come in order, and the file is read to its end or refused.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(proptest::prelude::prop_oneof![proptest::prelude::any::<u8>(), proptest::sample::select(b";,\"\n\r\t='0a\xef\xbb\xbf\x1f\x8b".to_vec())], 0..80),
        begin in proptest::sample::select(vec![&b""[..], b"code;text\n", b"sep=;\r\ncode;text\r\n", b"\xff\xfe", b"\x1f\x8b\x08"]),
    ) {
        let bytes = [begin, &bytes].concat();
        for mapping in [CODES, "[csv]\nheader = false\n[access_token]\nnumber = \"1\"", "[csv]\nencoding = \"utf-16be\"\n[access_token]\nnumber = \"1\""] {
            if let Ok(rows) = rows(&bytes, mapping) {
                proptest::prop_assert!(rows.is_sorted_by_key(|(line, _)| *line));
            }
        }
    }
}
