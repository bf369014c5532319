//! Plans by which the bytes of messages become JSON. They are computed once for a release.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::{Release, names};

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Messages that the original API shows as an object of nulls where they are not set.
pub(crate) const NEVER_NULL: [&str; 2] = ["accesstoken.v1.DateOfBirth", "accesstoken.v1.NameDay"];

/// The plans of all messages of a response.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    messages: Vec<MessagePlan>,
    by_name: HashMap<String, PlanId>,
}

/// The index of a message within [`Plans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlanId(usize);

/// The plan of a message.
#[derive(Debug)]
pub(crate) struct MessagePlan {
    /// The fields that the release has, in the order of the contract.
    pub(crate) fields: Vec<FieldPlan>,
    /// The position in `fields` of each field number, plus one; 0 for a field that is left out.
    positions: Vec<u8>,
}

impl MessagePlan {
    /// Returns the position of the field with this number, if it is written.
    pub(crate) fn position(&self, number: u32) -> Option<usize> {
        self.positions.get(number as usize).and_then(|position| usize::from(*position).checked_sub(1))
    }
}

/// The plan of a field.
#[derive(Debug)]
pub(crate) struct FieldPlan {
    /// Name of the field in the contract.
    pub(crate) name: String,
    /// Key of the field in JSON.
    pub(crate) key: String,
    /// `"key":`.
    pub(crate) prefix: String,
    /// Number of the field on the wire.
    pub(crate) number: u32,
    /// Whether it is an array.
    pub(crate) repeated: bool,
    /// Plan of the value.
    pub(crate) value: ValuePlan,
    /// The JSON for a value that is not set.
    pub(crate) absent: Absent,
}

/// The plan of a value.
#[derive(Debug)]
pub(crate) enum ValuePlan {
    /// A text.
    Text,
    /// True or false.
    Bool,
    /// A 64-bit floating-point number.
    Float,
    /// An integer of 32 or 64 bits.
    Integer,
    /// A value of an enum, by name. A value without a name is null.
    Enum(Vec<(i32, String)>),
    /// A point in time.
    Date,
    /// An object.
    Message(PlanId),
}

/// The JSON for a value that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// This text.
    Json(&'static str),
    /// An object whose own values are not set.
    Object,
}

impl Plans {
    /// Returns the plan of a message. If it is new, adds it with the plans of all messages below it.
    pub(crate) fn add(&mut self, message: &MessageDescriptor, release: Release) -> PlanId {
        if let Some(known) = self.by_name.get(message.full_name()) {
            return *known;
        }
        // Stored before its fields are planned, so that a message may contain itself.
        let id = PlanId(self.messages.len());
        self.by_name.insert(message.full_name().to_owned(), id);
        self.messages.push(MessagePlan { fields: Vec::new(), positions: Vec::new() });
        let present: Vec<_> = message.fields().filter(|field| names::is_present(field, release)).collect();
        let fields: Vec<_> = present.iter().map(|field| self.field(field, release)).collect();
        let mut positions = vec![0; fields.iter().map(|field| field.number as usize + 1).max().unwrap_or_default()];
        for (position, field) in (1..).zip(&fields) {
            positions[field.number as usize] = position;
        }
        self.messages[id.0] = MessagePlan { fields, positions };
        id
    }

    fn field(&mut self, field: &FieldDescriptor, release: Release) -> FieldPlan {
        let key = names::key(field, release);
        FieldPlan {
            name: field.name().to_owned(),
            prefix: format!("\"{key}\":"),
            key,
            number: field.number(),
            repeated: field.is_list(),
            absent: absent(field),
            value: self.value(&field.kind(), release),
        }
    }

    fn value(&mut self, kind: &Kind, release: Release) -> ValuePlan {
        match kind {
            Kind::String => ValuePlan::Text,
            Kind::Bool => ValuePlan::Bool,
            Kind::Double => ValuePlan::Float,
            Kind::Int32 | Kind::Int64 => ValuePlan::Integer,
            Kind::Enum(values) => {
                let named = values.values().filter(|value| value.number() != 0);
                ValuePlan::Enum(named.map(|value| (value.number(), value.name().to_owned())).collect())
            }
            Kind::Message(message) if message.full_name() == TIMESTAMP => ValuePlan::Date,
            Kind::Message(message) => ValuePlan::Message(self.add(message, release)),
            other => unreachable!("no field of the contract is a {other:?}; a test of the contract sees to it"),
        }
    }
}

impl std::ops::Index<PlanId> for Plans {
    type Output = MessagePlan;

    fn index(&self, id: PlanId) -> &MessagePlan {
        &self.messages[id.0]
    }
}

/// Returns null, except for fields for which the contract cannot distinguish "not set" from the zero value.
fn absent(field: &FieldDescriptor) -> Absent {
    match field.kind() {
        _ if field.is_list() => Absent::Json("[]"),
        Kind::Message(message) if NEVER_NULL.contains(&message.full_name()) => Absent::Object,
        Kind::Double | Kind::Int32 | Kind::Int64 if !field.supports_presence() => Absent::Json("0"),
        Kind::Bool if !field.supports_presence() => Absent::Json("false"),
        _ => Absent::Json("null"),
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::descriptor_pool;

    use super::*;

    fn keys(release: Release) -> Vec<String> {
        let token = descriptor_pool().get_message_by_name("accesstoken.v1.AccessToken").expect("the token");
        let mut plans = Plans::default();
        let id = plans.add(&token, release);
        plans[id].fields.iter().map(|field| field.key.clone()).collect()
    }

    #[test]
    fn the_last_release_has_every_field() {
        let token = descriptor_pool().get_message_by_name("accesstoken.v1.AccessToken").expect("the token");
        let all: Vec<_> = token.fields().map(|field| field.name().to_owned()).collect();
        assert_eq!(keys(Release::default()), all);
    }

    #[test]
    fn an_earlier_release_has_what_there_was_then() {
        let first = keys(Release::new(5, 0, 0));
        let then = [
            "id",
            "number",
            "life_cycle_state",
            "authentication_code",
            "identifier",
            "reward_participant",
            "log_information",
        ];
        assert_eq!(first, then);
        assert!(keys(Release::new(12, 9, 0)).contains(&"reward_participant".to_owned()));
        let renamed = keys(Release::new(13, 0, 0));
        assert!(renamed.contains(&"rewards_participant".to_owned()));
        assert!(!renamed.contains(&"reward_participant".to_owned()));
        // Deprecated fields stay.
        let last = keys(Release::default());
        assert!(last.contains(&"card_last_4_digits".to_owned()) && last.contains(&"card_masked_number".to_owned()));
        assert!(!keys(Release::new(15, 0, 0)).contains(&"card_masked_number".to_owned()));
    }
}
