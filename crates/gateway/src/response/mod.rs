//! Responses: converts the bytes of a message to the documented JSON, without a tree in between.
//!
//! The form is that of the original API, not the canonical JSON of `access_tokens_proto::json` (ADR 48).

mod plan;
mod select;
mod wire;
mod write;

use access_tokens_domain::time::TimeZone;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

pub(crate) use plan::{NEVER_NULL, PlanId, Plans};
pub(crate) use select::{Selection, find, known, select};
pub(crate) use wire::Malformed;

use crate::Release;
use wire::{Fields, Value};
use write::Writer;

/// Name of the field of a list with the token of its next page.
const NEXT_PAGE: &str = "next_page_token";

/// The end of every envelope of a success.
const OK: &[u8] = br#""status":{"code":"OK","description":"","message":""}}"#;

/// The rule by which the response of one method becomes an envelope.
///
/// The fields of the response determine the rule: a response of one repeated field is a list, a response without fields has no data, and
/// every other response is the data itself.
#[derive(Debug)]
pub(crate) struct ResponsePlan {
    shape: Shape,
    /// The message that `fields_set` is about.
    pub(crate) item: PlanId,
    /// The number of the field with the token of the next page.
    next_page: Option<u32>,
}

#[derive(Debug)]
enum Shape {
    /// There is no data.
    Empty,
    /// The message itself is the data.
    Object,
    /// The field at this position of the response's plan is the data.
    List { answer: PlanId, position: usize },
}

/// A response in JSON.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) json: Vec<u8>,
    /// The token of the next page of a list.
    pub(crate) next_page: Option<String>,
}

impl ResponsePlan {
    /// Returns the plan of a response, and adds the plans of its messages to `plans`.
    pub(crate) fn new(answer: &MessageDescriptor, plans: &mut Plans, release: Release) -> Self {
        let own = plans.add(answer, release);
        let list = list_of(answer);
        let item = list.as_ref().and_then(|list| match list.kind() {
            Kind::Message(item) => Some(plans.add(&item, release)),
            _ => None,
        });
        let shape = match list.and_then(|list| plans[own].position(list.number())) {
            Some(position) => Shape::List { answer: own, position },
            None if answer.fields().len() == 0 => Shape::Empty,
            None => Shape::Object,
        };
        let next_page = answer.get_field_by_name(NEXT_PAGE).map(|field| field.number());
        Self { shape, item: item.unwrap_or(own), next_page }
    }

    /// Returns whether the data is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.shape, Shape::List { .. })
    }

    /// Returns whether there is no data.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.shape, Shape::Empty)
    }

    /// Returns the envelope of a response, with the selected keys.
    pub(crate) fn envelope(
        &self,
        plans: &Plans,
        zone: TimeZone,
        wire: &[u8],
        selection: &Selection,
    ) -> Result<Envelope, Malformed> {
        let mut writer = Writer::new(plans, zone, 2 * wire.len() + 512);
        writer.out.push(b'{');
        match self.shape {
            Shape::Empty => {}
            Shape::Object => {
                writer.out.extend_from_slice(br#""data":"#);
                writer.message(self.item, wire, selection)?;
                writer.out.push(b',');
            }
            Shape::List { answer, position } => {
                writer.out.extend_from_slice(br#""data":"#);
                writer.list(&plans[answer].fields[position], wire, selection)?;
                writer.out.push(b',');
            }
        }
        writer.out.extend_from_slice(OK);
        let next_page = self.next_page.map(|number| text(wire, number)).transpose()?.flatten();
        Ok(Envelope { json: writer.out, next_page })
    }
}

/// Returns the field that is the data of a response, if that is a list: the only field besides the token of the next page.
pub(crate) fn list_of(answer: &MessageDescriptor) -> Option<FieldDescriptor> {
    let mut fields = answer.fields().filter(|field| field.name() != NEXT_PAGE);
    fields.next().filter(|field| field.is_list() && fields.next().is_none())
}

/// Returns the text of a field, if it is not empty.
fn text(wire: &[u8], number: u32) -> Result<Option<String>, Malformed> {
    let mut text = None;
    for field in Fields(wire) {
        if let (found, Value::Bytes(bytes)) = field?
            && found == number
            && !bytes.is_empty()
        {
            text = Some(String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)?);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
