//! A record that is ready for import.

use std::borrow::Cow;
use std::fmt;

use super::{Kind, Object, Record};
use crate::model::secret::PassCodeHash;

/// A record whose secret, if it had one, is hashed.
#[derive(Clone)]
pub struct Prepared {
    record: Record,
    /// The object of the record as JSON text, which needs a sixth of the memory. `None`: the record has its object.
    packed: Option<String>,
    /// Hash of its pass code or password. It is the stored hash if the secret matches that one.
    pub hash: Option<PassCodeHash>,
}

/// A record may contain secrets, so only its kind is shown.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl Prepared {
    /// Returns a record without its secret, with the hash of the secret.
    pub fn new(record: Record, hash: Option<PassCodeHash>) -> Self {
        Self { record, packed: None, hash }
    }

    /// Returns the kind of the record.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// Returns the record.
    pub fn record(&self) -> Cow<'_, Record> {
        match &self.packed {
            None => Cow::Borrowed(&self.record),
            Some(text) => Cow::Owned(unpack(self.record.clone(), text)),
        }
    }

    /// Returns the record and the hash.
    pub(super) fn into_parts(self) -> (Record, Option<PassCodeHash>) {
        let record = match self.packed {
            None => self.record,
            Some(text) => unpack(self.record, &text),
        };
        (record, self.hash)
    }

    /// Packs a record that waits for a long time, and returns it with the length of its text. A record that cannot be
    /// restored exactly from its text, such as one with some fractions, stays unpacked.
    pub fn packed(self) -> (Self, usize) {
        let (mut record, hash) = self.into_parts();
        let text = serde_json::to_string(&record.object).unwrap_or_default();
        let length = text.len();
        let packed = match serde_json::from_str::<Object>(&text) {
            Ok(read) if read == record.object => Some(text),
            _ => None,
        };
        if packed.is_some() {
            record.object = Object::new();
        }
        (Self { record, packed, hash }, length)
    }
}

/// The text is valid, since it was read once when it was written.
fn unpack(record: Record, text: &str) -> Record {
    Record { object: serde_json::from_str(text).unwrap_or_default(), ..record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_record_is_the_same() {
        for value in [
            "0.1",
            "1e300",
            "2.2250738585072014e-308",
            "123456789012345678",
            "null",
            r#"{"a": [1.7976931348623157e308]}"#,
        ] {
            let text = format!(r#"{{"access_token": {{"udf_float_1": {value}}}}}"#);
            let record = super::super::parse(&text).expect("a record").remove(0);
            let (packed, length) = Prepared::new(record.clone(), None).packed();
            assert!(length > 10 && *packed.record() == record && packed.into_parts().0 == record, "{value}");
        }
    }
}
