//! A record that is ready to be worked through.

use std::borrow::Cow;
use std::fmt;

use super::{Kind, Object, Record};
use crate::model::secret::PassCodeHash;

/// A record whose secret, if it had one, is hashed already.
#[derive(Debug, Clone)]
pub struct Prepared {
    form: Form,
    /// The hash of its pass code or password, or the stored one where the secret matches it.
    pub hash: Option<PassCodeHash>,
}

#[derive(Clone)]
enum Form {
    Plain(Record),
    /// As JSON, which takes a sixth of the memory.
    Packed {
        /// The record without its object.
        record: Record,
        text: String,
    },
}

/// A record may hold secrets: only its kind is shown.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(record) | Self::Packed { record, .. } => record.fmt(f),
        }
    }
}

impl Prepared {
    /// A record without its secret, and the hash of the secret.
    pub fn new(record: Record, hash: Option<PassCodeHash>) -> Self {
        Self { form: Form::Plain(record), hash }
    }

    /// What the record is about.
    pub fn kind(&self) -> Kind {
        match &self.form {
            Form::Plain(record) | Form::Packed { record, .. } => record.kind,
        }
    }

    /// The record.
    pub fn record(&self) -> Cow<'_, Record> {
        match &self.form {
            Form::Plain(record) => Cow::Borrowed(record),
            Form::Packed { record, text } => Cow::Owned(unpack(record.clone(), text)),
        }
    }

    /// The record and the hash.
    pub(super) fn into_parts(self) -> (Record, Option<PassCodeHash>) {
        let record = match self.form {
            Form::Plain(record) => record,
            Form::Packed { record, text } => unpack(record, &text),
        };
        (record, self.hash)
    }

    /// Packs the record, for a long time. A record that its text does not give back exactly stays as it is, such as one with some
    /// fractions. Returns the length of the text too.
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

/// The text was read when it was written.
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
