//! Counts the fields of header lists as they arrive, without decoding them.
//!
//! HTTP/2 encodes a field that both sides know as one byte (RFC 7541). In memory such a field takes about a hundred
//! bytes, so a list of two kilobytes becomes one of two hundred. The HTTP library limits the size of a list, and not
//! the number of its fields.

/// Flags of a HEADERS frame: the header list ends with it, it has padding, it has a priority.
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Size of a priority, in bytes.
const PRIORITY_BYTES: usize = 5;

/// Number of bits above which a length is not computed any more. The HTTP library refuses such a list.
const MAX_LENGTH_BITS: u32 = 28;

/// The header list that is arriving on a connection. Lists arrive one after the other.
#[derive(Debug, Default)]
pub(super) struct HeaderBlock {
    /// Number of bytes of the current frame that have not arrived, including its padding.
    left: usize,
    /// Number of bytes at the start of the current frame that do not belong to the list.
    before: usize,
    /// Whether the first of these bytes is the length of the padding.
    padded: bool,
    padding: usize,
    last_frame: bool,
    fields: usize,
    bytes: usize,
    step: Step,
}

/// Meaning of the next byte of a list.
#[derive(Debug, Clone, Copy, Default)]
enum Step {
    /// The first byte of a field.
    #[default]
    Field,
    /// A further byte of an index, followed by this number of texts.
    Index { texts: u8 },
    /// The first byte of the length of a text. This number of texts remains, including this one.
    Length { texts: u8 },
    /// A further byte of that length.
    LongLength { texts: u8, length: usize, bits: u32 },
    /// A byte of a text, of which `left` bytes remain.
    Text { texts: u8, left: usize },
}

impl HeaderBlock {
    /// Begins a HEADERS frame.
    pub(super) fn headers(&mut self, length: usize, flags: u8) {
        let padded = flags & PADDED != 0;
        let before = usize::from(padded) + if flags & PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
        let last_frame = flags & END_HEADERS != 0;
        *self = Self { left: length, before, padded, last_frame, ..Self::default() };
    }

    /// Begins a CONTINUATION frame, which belongs to the same list.
    pub(super) fn continuation(&mut self, length: usize, flags: u8) {
        (self.left, self.before, self.padded, self.padding) = (length, 0, false, 0);
        self.last_frame = flags & END_HEADERS != 0;
    }

    /// Returns the number of fields of the list that have begun.
    pub(super) fn fields(&self) -> usize {
        self.fields
    }

    /// Returns the number of encoded bytes of the list that have arrived. None once the list is complete.
    pub(super) fn unfinished_bytes(&self) -> Option<usize> {
        (!self.last_frame || self.left > 0).then_some(self.bytes)
    }

    /// Reads bytes of the current frame. Stops as soon as more than `max_fields` fields have begun. Returns the number
    /// of bytes that it has read.
    pub(super) fn read(&mut self, bytes: &[u8], max_fields: usize) -> usize {
        let mut at = 0;
        while self.before > 0 && at < bytes.len() {
            if std::mem::take(&mut self.padded) {
                self.padding = usize::from(bytes[at]);
            }
            (self.before, self.left, at) = (self.before - 1, self.left.saturating_sub(1), at + 1);
        }
        let rest = &bytes[at..];
        let listed = self.left.saturating_sub(self.padding).min(rest.len());
        let read = self.read_list(&rest[..listed], max_fields);
        if read < listed {
            return at + read;
        }
        self.left = self.left.saturating_sub(rest.len());
        bytes.len()
    }

    fn read_list(&mut self, bytes: &[u8], max_fields: usize) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if let Step::Text { texts, left } = self.step {
                let skipped = left.min(bytes.len() - at);
                at += skipped;
                self.step =
                    if skipped == left { Step::after(texts - 1) } else { Step::Text { texts, left: left - skipped } };
                continue;
            }
            if self.fields > max_fields {
                break;
            }
            self.step = self.next(bytes[at]);
            at += 1;
        }
        self.bytes += at;
        at
    }

    fn next(&mut self, byte: u8) -> Step {
        match self.step {
            Step::Field => self.field(byte),
            Step::Index { .. } if byte & 0x80 != 0 => self.step,
            Step::Index { texts } => Step::after(texts),
            Step::Length { texts } => match usize::from(byte & 0x7f) {
                0x7f => Step::LongLength { texts, length: 0x7f, bits: 0 },
                length => Step::text(texts, length),
            },
            Step::LongLength { texts, length, bits } => {
                let length = length.saturating_add(usize::from(byte & 0x7f) << bits.min(MAX_LENGTH_BITS));
                match byte & 0x80 {
                    0 => Step::text(texts, length),
                    _ => Step::LongLength { texts, length, bits: bits.saturating_add(7) },
                }
            }
            Step::Text { .. } => self.step,
        }
    }

    /// Reads the first byte of a field, which defines its form and begins an index.
    fn field(&mut self, byte: u8) -> Step {
        // RFC 7541, 6.1: indexed; 6.2.1: literal that is added to the table; 6.3: new size of the table, which is not a
        // field; 6.2.2 and 6.2.3: literal.
        let (mask, literal) = match byte.leading_zeros() {
            0 => (0x7f, false),
            1 => (0x3f, true),
            2 => (0x1f, false),
            _ => (0x0f, true),
        };
        // A new size of the table counts as a field too. An honest list has one or two of them, and each takes a byte.
        self.fields += 1;
        let index = byte & mask;
        // A literal names its field by an index, or by a text if the index is 0.
        let texts = match (literal, index) {
            (false, _) => 0,
            (true, 0) => 2,
            (true, _) => 1,
        };
        if index == mask { Step::Index { texts } } else { Step::after(texts) }
    }
}

impl Step {
    fn after(texts: u8) -> Self {
        if texts == 0 { Self::Field } else { Self::Length { texts } }
    }

    fn text(texts: u8, length: usize) -> Self {
        if length == 0 { Self::after(texts - 1) } else { Self::Text { texts, left: length } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: usize = usize::MAX;

    /// All encodings of a field, one each.
    fn samples() -> Vec<Vec<u8>> {
        let long = |length: usize, filler: u8| {
            let rest = length - 0x7f;
            let mut bytes = vec![0x7f];
            bytes.extend([(rest % 128) as u8 | 0x80, (rest / 128) as u8]);
            bytes.extend(std::iter::repeat_n(filler, length));
            bytes
        };
        vec![
            // Indexed: with an index in one byte, and in three.
            vec![0x82],
            vec![0xff, 0x80, 0x01],
            // Literal that is added to the table: with a name, with an index, with an index in two bytes and an empty
            // text.
            vec![0x40, 1, b'x', 2, 0x82, 0x82],
            vec![0x41, 3, 0xff, 0xff, 0xff],
            vec![0x7f, 0x01, 0],
            // Literal that is not or never added to the table; with a text in Huffman code.
            vec![0x00, 0, 0],
            vec![0x10, 0x82, 0x9d, 0x29, 0x81, 0x80],
            vec![0x0f, 0x10, 1, 0x40],
            // Long texts that look like fields.
            [&[0x00, 1, b'y'][..], &long(300, 0x82)].concat(),
            [&[0x04][..], &long(16_000, 0x40)].concat(),
            // The size of the table.
            vec![0x3f, 0xe1, 0x1f],
            vec![0x20],
        ]
    }

    #[test]
    fn fields_are_counted_however_they_are_written_and_cut() {
        let samples = samples();
        let all: Vec<u8> = samples.iter().flatten().copied().collect();
        for size in [1, 2, 3, 7, 100, 16_384, usize::MAX] {
            let mut block = HeaderBlock::default();
            block.headers(all.len(), END_HEADERS);
            for part in all.chunks(size.min(all.len())) {
                assert!(block.unfinished_bytes().is_some());
                assert_eq!(block.read(part, NO_LIMIT), part.len());
            }
            assert_eq!((block.fields(), block.unfinished_bytes()), (samples.len(), None), "in parts of {size}");
        }
    }

    #[test]
    fn padding_priority_and_further_frames_do_not_lead_it_astray() {
        // Padding that would be a long text if it were read: the fields behind it would not be counted.
        let padding = [0x00, 0x7f, 0xff, 0xff, 0xff];
        let mut frame = vec![padding.len() as u8, 0, 0, 0, 0, 16];
        frame.extend([0x82; 10]);
        frame.extend(padding);
        for size in 1..frame.len() {
            let mut block = HeaderBlock::default();
            block.headers(frame.len(), PADDED | PRIORITY);
            frame.chunks(size).for_each(|part| assert_eq!(block.read(part, NO_LIMIT), part.len()));
            assert_eq!((block.fields(), block.unfinished_bytes()), (10, Some(10)));
            // A text begins in one frame and ends in the next.
            block.continuation(4, 0);
            block.read(&[0x82, 0x00, 1, b'x'], NO_LIMIT);
            block.continuation(5, END_HEADERS);
            block.read(&[2, 0x82, 0x82, 0x82, 0x82], NO_LIMIT);
            assert_eq!((block.fields(), block.unfinished_bytes()), (14, None));
        }
    }

    #[test]
    fn it_stops_behind_the_field_that_is_too_many() {
        let mut block = HeaderBlock::default();
        block.headers(1_000, END_HEADERS);
        assert_eq!(block.read(&[0x82; 100], 100), 100);
        assert_eq!(block.read(&[0x82; 100], 100), 1);
        assert_eq!(block.fields(), 101);
    }

    #[test]
    fn lengths_without_an_end_are_no_fields() {
        for first in [&[0x00][..], &[0x40, 0x7f], &[0xff], &[0x3f]] {
            let mut block = HeaderBlock::default();
            block.headers(10_000, END_HEADERS);
            block.read(first, NO_LIMIT);
            block.read(&[0xff; 5_000], NO_LIMIT);
            assert!(block.fields() <= 1, "{first:?}: {}", block.fields());
        }
    }
}
