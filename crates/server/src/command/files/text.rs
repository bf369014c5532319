//! Files as texts: gzip, byte order marks, encodings, and the distinction of JSON and rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

/// Number of bytes that identify gzip, a byte order mark, or another kind of file.
const MAX_SIGNATURE_BYTES: usize = 8;
/// Size of the buffers, in bytes.
const BUFFER_BYTES: usize = 64 * 1_024;

/// First bytes of unsupported kinds of files, with the cure.
const UNSUPPORTED_KINDS: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "is an .xlsx file or another archive: save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an .xls file: save it as CSV UTF-8"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: only gzip is read"),
    (b"\xfd7zXZ", "is compressed with xz: only gzip is read"),
    (b"BZh", "is compressed with bzip2: only gzip is read"),
    (b"%PDF", "is a PDF file: save the table as CSV UTF-8"),
];

/// Returns an encoding by a name of the WHATWG standard.
pub(in crate::command) fn find_encoding(name: &str) -> Result<&'static Encoding, String> {
    // The replacement encoding decodes every input to one character, so that nothing would be read.
    Encoding::for_label_no_replacement(name.as_bytes()).ok_or_else(|| {
        format!(
            "encoding = {name:?} is not known; examples are utf-8, utf-16le, windows-1252, windows-1253 and iso-8859-7"
        )
    })
}

/// The text of a file.
pub(in crate::command) struct Text {
    pub(in crate::command) reader: Box<dyn BufRead + Send>,
    /// The encoding of the file.
    pub(in crate::command) encoding: &'static Encoding,
    /// Whether the text was compressed.
    pub(in crate::command) is_compressed: bool,
    /// Number of empty lines before the first character.
    pub(in crate::command) skipped_lines: usize,
    /// The first character that is not a blank. None in an empty text.
    pub(in crate::command) first: Option<u8>,
}

impl Text {
    /// Returns the encoding that the text was decoded from. None for UTF-8.
    pub(in crate::command) fn transcoded(&self) -> Option<&'static str> {
        (self.encoding != UTF_8).then(|| self.encoding.name())
    }

    /// Returns whether the text is JSON: by its first character, or else by the suffix of the file name.
    pub(in crate::command) fn is_json(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let is_named_so = [".json", ".ndjson", ".jsonl"].iter().any(|end| name.ends_with(end));
        self.first.is_none_or(|first| matches!(first, b'{' | b'[')) || is_named_so
    }
}

/// Returns the name of a file for messages, and its size in bytes: 0 for a file that is not regular, such as a pipe.
pub(in crate::command) fn name_and_size(path: &Path) -> anyhow::Result<(String, u64)> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        return Ok((name, 0));
    }
    let metadata = path.metadata().with_context(|| name.clone())?;
    if metadata.is_dir() {
        bail!("{name}: is a directory");
    }
    Ok((name, if metadata.is_file() { metadata.len() } else { 0 }))
}

/// Opens a file; - is standard input. Reading it advances the bar. `encoding` is that of a file without a byte order mark.
pub(in crate::command) fn open(
    path: &Path,
    bar: &ProgressBar,
    encoding: Option<&'static Encoding>,
) -> anyhow::Result<Text> {
    if path == Path::new("-") {
        return text(BufReader::new(bar.wrap_read(io::stdin())), encoding);
    }
    text(BufReader::with_capacity(BUFFER_BYTES, bar.wrap_read(File::open(path)?)), encoding)
}

/// Returns the text of bytes.
pub(in crate::command) fn text(
    bytes: impl BufRead + Send + 'static,
    encoding: Option<&'static Encoding>,
) -> anyhow::Result<Text> {
    let (mark, bytes) = peek(bytes)?;
    if mark.starts_with(b"\x1f\x8b") {
        // The text is unpacked while it is read, so that the memory is bounded.
        let unpacked = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(bytes));
        let text = decoded(unpacked, encoding).context("gzip")?;
        return Ok(Text { is_compressed: true, ..text });
    }
    decoded(bytes, encoding)
}

fn decoded(bytes: impl BufRead + Send + 'static, encoding: Option<&'static Encoding>) -> anyhow::Result<Text> {
    let (mark, mut bytes) = peek(bytes)?;
    if let Some((_, what)) = UNSUPPORTED_KINDS.iter().find(|(signature, _)| mark.starts_with(signature)) {
        bail!("{what}");
    }
    let (encoding, mark_bytes) = match Encoding::for_bom(&mark) {
        Some((marked, length)) => (marked, length),
        None => (encoding.unwrap_or(UTF_8), 0),
    };
    // The signature is the first part of the chain, so that all its bytes are in the buffer.
    bytes.consume(mark_bytes);
    let reader: Box<dyn BufRead + Send> = if encoding == UTF_8 {
        Box::new(bytes)
    } else {
        let mut builder = DecodeReaderBytesBuilder::new();
        let decoder = builder.encoding(Some(encoding)).bom_sniffing(false).build(bytes);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    };
    let mut text = Text { reader, encoding, is_compressed: false, skipped_lines: 0, first: None };
    text.first = skip_blanks(&mut text.reader, &mut text.skipped_lines)?;
    Ok(text)
}

/// A reader that begins with bytes that were peeked at.
pub(in crate::command) type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Returns the first [`MAX_SIGNATURE_BYTES`], and a reader that begins with them.
pub(in crate::command) fn peek<R: BufRead>(mut bytes: R) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut mark = Vec::new();
    bytes.by_ref().take(MAX_SIGNATURE_BYTES as u64).read_to_end(&mut mark)?;
    Ok((mark.clone(), Cursor::new(mark).chain(bytes)))
}

/// Skips empty lines, and returns the first character that is not a blank. Blanks before it on its line stay.
fn skip_blanks(reader: &mut impl BufRead, lines: &mut usize) -> io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let first = buffer.iter().position(|byte| !byte.is_ascii_whitespace());
        // Only whole lines that end with LF are skipped, because a blank may be a delimiter.
        let end =
            buffer[..first.unwrap_or(buffer.len())].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let found = first.map(|first| buffer[first]);
        let passed = if first.is_none() { buffer.len() } else { end };
        *lines += buffer[..passed].iter().filter(|byte| **byte == b'\n').count();
        reader.consume(passed);
        if found.is_some() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8], encoding: Option<&'static Encoding>) -> Result<(String, Text), String> {
        let mut text = text(Cursor::new(bytes.to_vec()), encoding).map_err(|error| format!("{error:#}"))?;
        let mut content = String::new();
        text.reader.read_to_string(&mut content).map_err(|error| error.to_string())?;
        Ok((content, text))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn marks_and_encodings_are_recognised() {
        let greek = "Κωδικός;Όνομα\n7;Μαρία 💳\n";
        let (iso, ..) = encoding_rs::ISO_8859_7.encode("Κωδικός\n");
        for (bytes, encoding, expected, found) in [
            (greek.as_bytes().to_vec(), None, greek, "UTF-8"),
            (format!("\u{feff}{greek}").into_bytes(), Some(encoding_rs::WINDOWS_1253), greek, "UTF-8"),
            (utf_16(greek, u16::to_le_bytes), None, greek, "UTF-16LE"),
            (utf_16(greek, u16::to_be_bytes), Some(UTF_8), greek, "UTF-16BE"),
            (iso.to_vec(), Some(encoding_rs::ISO_8859_7), "Κωδικός\n", "ISO-8859-7"),
            (b"a".to_vec(), None, "a", "UTF-8"),
            (Vec::new(), None, "", "UTF-8"),
        ] {
            for packed in [false, true] {
                let bytes = if packed { gzip(&bytes) } else { bytes.clone() };
                let (content, text) = read(&bytes, encoding).expect("a text");
                assert_eq!((content.as_str(), text.encoding.name(), text.is_compressed), (expected, found, packed));
            }
        }
        // Several members of gzip are one text, such as the output of `cat a.gz b.gz`.
        let two = [gzip(b"{\"a\":1}\n"), gzip(b"{\"b\":2}\n")].concat();
        assert_eq!(read(&two, None).expect("a text").0, "{\"a\":1}\n{\"b\":2}\n");
    }

    #[test]
    fn unsupported_kinds_of_files_are_refused_with_a_cure() {
        for (bytes, what) in [
            (&b"PK\x03\x04rest"[..], "save it as CSV UTF-8"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as CSV UTF-8"),
            (b"\x28\xb5\x2f\xfdrest", "only gzip"),
        ] {
            for bytes in [bytes.to_vec(), gzip(bytes)] {
                assert!(read(&bytes, None).err().expect("refused").contains(what));
            }
        }
        let whole = gzip(&b"{}\n".repeat(1_000));
        assert!(read(&whole[..whole.len() / 2], None).is_err(), "a half file is not read as a whole one");
    }

    #[test]
    fn json_is_distinguished_from_csv() {
        for (bytes, name, json) in [
            (&b"{\"unit\":{}}"[..], "a", true),
            (b"\n  [1]", "a.csv", true),
            (b"\xef\xbb\xbf\n{", "a", true),
            (b"number,code", "a.csv", false),
            (b"\"number\",\"code\"", "-", false),
            (b"nonsense", "a.ndjson.gz", true),
            (b"nonsense", "A.JSON", true),
            (b"", "a.csv", true),
        ] {
            assert_eq!(read(bytes, None).expect("a text").1.is_json(name), json, "{name}");
        }
        let (content, text) = read(b"\n \n\t;x\n", None).expect("a text");
        assert_eq!((content.as_str(), text.skipped_lines), ("\t;x\n", 2));
    }
}
