//! Import of records of the directory and of access tokens, from files and from calls.
//!
//! A record is a JSON object with one key, its kind, and a value with the documented field names. An absent member
//! stays as it is; `null` clears it. `{"id": …}` refers to an object; an object with more members than its id is itself
//! upserted. A whole answer of the original API (`status` and `data`) counts as records of access tokens.

mod add;
mod administrators;
mod answer;
mod batch;
mod credential;
mod derived_id;
mod drafts;
mod draw_numbers;
mod entity;
mod exchange;
mod existing;
mod identity;
mod keys;
mod merge;
mod naming;
mod new_numbers;
mod options;
mod organisation;
mod overlay;
mod owner_answer;
mod parse;
mod prepared;
mod record;
mod reference;
mod rights;
mod token;
mod token_answer;
mod token_fields;
mod tokens;
mod upsert;

pub use add::Outcome;
pub use administrators::{Administrators, DraftedAdministrators};
pub use batch::{Batch, BatchContext};
pub(crate) use derived_id::derived_token_id;
pub use drafts::Drafts;
pub(crate) use exchange::reachable;
pub use exchange::{Decision, Links, RecordKey};
pub use keys::keys;
pub use new_numbers::is_unnumbered;
pub(crate) use new_numbers::needs_number;
pub use options::{Existing, Options, Tally, Unknown};
pub use overlay::Stored;
pub use parse::{from_value, parse, parse_with};
pub use prepared::Prepared;
pub use record::{Kind, MAX_RECORD_BYTES, Object, Record};
pub(crate) use rights::check_record;
pub use token_answer::Answers;
pub(crate) use tokens::is_taken;
