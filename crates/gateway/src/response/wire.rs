//! The part of the wire format of Protocol Buffers that is needed to find the fields of a message.

use prost_reflect::prost::encoding::{WireType, decode_key, decode_varint};

/// The error of bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// An integer, a truth value or an enum.
    Varint(u64),
    /// A floating-point number.
    Fixed64(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
    /// A type that no field of the contract uses.
    Other,
}

/// The fields of a message, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    fn next_field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let (number, kind) = decode_key(&mut self.0).map_err(|_| Malformed)?;
        let value = match kind {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::SixtyFourBit => {
                Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            WireType::ThirtyTwoBit => self.take(4).map(|_| Value::Other)?,
            // Groups are deprecated, and the contract has none.
            WireType::StartGroup | WireType::EndGroup => return Err(Malformed),
        };
        Ok((number, value))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        decode_varint(&mut self.0).map_err(|_| Malformed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
