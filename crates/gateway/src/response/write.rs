//! Writes the bytes of a message as JSON text, by its plan.

use access_tokens_domain::time::{self, TimeZone};

use super::plan::{Absent, FieldPlan, PlanId, Plans, ValuePlan};
use super::select::Selection;
use super::wire::{Fields, Malformed, Value};

/// Writes messages.
pub(crate) struct Writer<'a> {
    plans: &'a Plans,
    zone: TimeZone,
    /// The text so far.
    pub(crate) out: Vec<u8>,
    /// The values of the messages that are being written, each message after the one that contains it.
    values: Vec<Option<Value<'a>>>,
}

impl<'a> Writer<'a> {
    /// Returns a writer that expects to write about `capacity` bytes.
    pub(crate) fn new(plans: &'a Plans, zone: TimeZone, capacity: usize) -> Self {
        Self { plans, zone, out: Vec::with_capacity(capacity), values: Vec::with_capacity(64) }
    }

    /// Writes a message as an object with exactly the selected keys. If a field occurs twice, the last value is written.
    pub(crate) fn message(&mut self, id: PlanId, wire: &'a [u8], selection: &Selection) -> Result<(), Malformed> {
        let plan = &self.plans[id];
        let base = self.values.len();
        self.values.resize(base + plan.fields.len(), None);
        for field in Fields(wire) {
            let (number, value) = field?;
            if let Some(position) = plan.position(number) {
                self.values[base + position] = Some(value);
            }
        }
        self.out.push(b'{');
        match selection {
            Selection::All => {
                for (position, field) in plan.fields.iter().enumerate() {
                    self.member(field, wire, base + position, position > 0, &Selection::All)?;
                }
            }
            Selection::Only(fields) => {
                for (index, (position, below)) in fields.iter().enumerate() {
                    self.member(&plan.fields[*position], wire, base + position, index > 0, below)?;
                }
            }
        }
        self.out.push(b'}');
        self.values.truncate(base);
        Ok(())
    }

    fn member(
        &mut self,
        field: &'a FieldPlan,
        wire: &'a [u8],
        at: usize,
        comma: bool,
        below: &Selection,
    ) -> Result<(), Malformed> {
        if comma {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.prefix.as_bytes());
        match (self.values[at], field.absent) {
            (Some(_), _) if field.repeated => self.list(field, wire, below),
            (Some(value), _) => self.value(&field.value, value, below),
            (None, Absent::Json(text)) => {
                self.out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            (None, Absent::Object) => self.value(&field.value, Value::Bytes(&[]), below),
        }
    }

    /// Writes all values of a repeated field.
    pub(crate) fn list(&mut self, field: &'a FieldPlan, wire: &'a [u8], below: &Selection) -> Result<(), Malformed> {
        self.out.push(b'[');
        let mut comma = false;
        for found in Fields(wire) {
            let (number, value) = found?;
            if number != field.number {
                continue;
            }
            if comma {
                self.out.push(b',');
            }
            comma = true;
            self.value(&field.value, value, below)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn value(&mut self, plan: &'a ValuePlan, value: Value<'a>, below: &Selection) -> Result<(), Malformed> {
        match (plan, value) {
            (ValuePlan::Text, Value::Bytes(bytes)) => self.json(std::str::from_utf8(bytes).map_err(|_| Malformed)?),
            (ValuePlan::Bool, Value::Varint(number)) => self.json(number != 0),
            // Negative numbers of 32 bits take 64 bits on the wire, so one conversion fits both.
            (ValuePlan::Integer, Value::Varint(number)) => self.json(number as i64),
            // A number that is not finite has no form in JSON and becomes null.
            (ValuePlan::Float, Value::Fixed64(bits)) => self.json(f64::from_bits(bits)),
            (ValuePlan::Enum(names), Value::Varint(number)) => {
                let name = names.iter().find(|(known, _)| *known == number as i32);
                self.json(name.map(|(_, name)| name))
            }
            (ValuePlan::Date, Value::Bytes(bytes)) => self.date(bytes),
            (ValuePlan::Message(id), Value::Bytes(bytes)) => self.message(*id, bytes, below),
            _ => Err(Malformed),
        }
    }

    fn json(&mut self, value: impl serde::Serialize) -> Result<(), Malformed> {
        serde_json::to_writer(&mut self.out, &value).map_err(|_| Malformed)
    }

    fn date(&mut self, wire: &[u8]) -> Result<(), Malformed> {
        let (mut seconds, mut nanos) = (0, 0);
        for field in Fields(wire) {
            match field? {
                (1, Value::Varint(number)) => seconds = number as i64,
                (2, Value::Varint(number)) => nanos = number as u32,
                _ => {}
            }
        }
        self.out.push(b'"');
        time::write(&mut self.out, seconds, nanos, self.zone).ok_or(Malformed)?;
        self.out.push(b'"');
        Ok(())
    }
}
