//! A record that is ready for import.

use std::borrow::Cow;
use std::fmt;

use super::{Kind, Object, Record};
use crate::model::secret::PassCodeHash;

/// A record whose secret, if it had one, is hashed.
#[derive(Debug, Clone)]
pub struct Prepared {
    form: Form,
    /// Hash of its pass code or password. It is the stored hash if the secret matches that one.
    pub hash: Option<PassCodeHash>,
}

#[derive(Clone)]
enum Form {
    Plain(Record),
    /// The object as JSON text, which needs a sixth of the memory.
    Packed {
        /// Record without its object.
        record: Record,
        text: String,
    },
}

/// A record may contain secrets, so only its kind is shown.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(record) | Self::Packed { record, .. } => record.fmt(f),
        }
    }
}

impl Prepared {
    /// Returns a record without its secret, with the hash of the secret.
    pub fn new(record: Record, hash: Option<PassCodeHash>) -> Self {
        Self { form: Form::Plain(record), hash }
    }

    /// Returns the kind of the record.
    pub fn kind(&self) -> Kind {
        match &self.form {
            Form::Plain(record) | Form::Packed { record, .. } => record.kind,
        }
    }

    /// Returns the record.
    pub fn record(&self) -> Cow<'_, Record> {
        match &self.form {
            Form::Plain(record) => Cow::Borrowed(record),
            Form::Packed { record, text } => Cow::Owned(unpack(record.clone(), text)),
        }
    }

    /// Returns the record and the hash.
    pub(super) fn into_parts(self) -> (Record, Option<PassCodeHash>) {
        let record = match self.form {
            Form::Plain(record) => record,
            Form::Packed { record, text } => unpack(record, &text),
        };
        (record, self.hash)
    }

    /// Packs a record that waits for a long time, and returns it with the length of its text. A record that cannot be
    /// restored exactly from its text, such as one with some fractions, stays unpacked.
    pub fn packed(self) -> (Self, usize) {
        let (mut record, hash) = self.into_parts();
        let text = serde_json::to_string(&record.object).unwrap_or_default();
        let length = text.len();
        let form = match serde_json::from_str::<Object>(&text) {
            Ok(read) if read == record.object => {
                record.object = Object::new();
                Form::Packed { record, text }
            }
            _ => Form::Plain(record),
        };
        (Self { form, hash }, length)
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
