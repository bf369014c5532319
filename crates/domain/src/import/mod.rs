//! Import: records of the directory and of access tokens, as files or calls bring them.
//!
//! A record is a JSON object with one key, its kind, and a value with the documented field names. A member that is
//! left out stays as it is; `null` clears it. `{"id": …}` refers to an object; an object with more than its id is
//! itself upserted. A whole answer of the original API (`status` and `data`) counts as access tokens.

mod administrators;
mod answer;
mod batch;
mod credential;
mod drafts;
mod entity;
mod exchange;
mod identity;
mod kept;
mod keys;
mod merge;
mod naming;
mod new_numbers;
mod options;
mod organisation;
mod overlay;
mod owner_answer;
mod prepared;
mod reference;
mod rights;
mod token;
mod token_fields;
mod upsert;

pub use administrators::{Administrators, DraftedAdministrators};
pub use answer::Answers;
pub(crate) use batch::derived_token_id;
pub use batch::{Batch, Outcome};
pub use drafts::Drafts;
pub use exchange::{Links, RecordKey, Verdict};
pub use kept::Existing;
pub use keys::keys;
pub use new_numbers::is_unnumbered;
pub(crate) use new_numbers::needs_number;
pub use options::{Options, Tally, Unknown};
pub use overlay::Stored;
pub use prepared::Prepared;
pub(crate) use rights::check_record;

use serde_json::{Map, Value};

use crate::{Error, Reason, Result};

/// A JSON object.
pub type Object = Map<String, Value>;

/// The largest record in bytes.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Settings of the organisation that is imported into.
    Organisation,
    /// A unit.
    Unit,
    /// A business unit.
    BusinessUnit,
    /// A user, perhaps with a password.
    User,
    /// A country.
    Country,
    /// An industry.
    Industry,
    /// An industry sector.
    IndustrySector,
    /// A person or company.
    ContactInformation,
    /// An account.
    AccountsReceivable,
    /// A member of the loyalty scheme.
    RewardsParticipant,
    /// A classification, perhaps with a policy.
    Classification,
    /// An access token, perhaps with its secrets.
    AccessToken,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Organisation,
        Self::Unit,
        Self::BusinessUnit,
        Self::User,
        Self::Country,
        Self::Industry,
        Self::IndustrySector,
        Self::ContactInformation,
        Self::AccountsReceivable,
        Self::RewardsParticipant,
        Self::Classification,
        Self::AccessToken,
    ];

    /// The key of a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Unit => "unit",
            Self::BusinessUnit => "business_unit",
            Self::User => "user",
            Self::Country => "country",
            Self::Industry => "industry",
            Self::IndustrySector => "industry_sector",
            Self::ContactInformation => "contact_information",
            Self::AccountsReceivable => "accounts_receivable",
            Self::RewardsParticipant => "rewards_participant",
            Self::Classification => "classification",
            Self::AccessToken => "access_token",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One record: what it is about, and what it says.
#[derive(Clone, PartialEq)]
pub struct Record {
    /// What it is about.
    pub kind: Kind,
    /// The documented fields.
    pub object: Object,
    /// Whether it comes from an answer that lacks members of an access token: a new token without a state is NOT_EFFECTIVE then.
    pub incomplete: bool,
    /// Members of the answer that it comes from which this service does not keep.
    pub ignored_members: usize,
}

impl Record {
    /// A record. Before R13 the key of a token's member was `reward_participant`.
    fn new(kind: Kind, mut object: Object) -> Result<Self> {
        if kind == Kind::AccessToken
            && let Some(participant) = object.remove("reward_participant")
            && object.insert("rewards_participant".to_owned(), participant).is_some()
        {
            let text = "is given under its old name too, reward_participant";
            return Err(Error::field(Reason::InvalidFieldValue, "access_token.rewards_participant", text));
        }
        Ok(Self { kind, object, incomplete: false, ignored_members: 0 })
    }
}

/// A record may hold secrets: only its kind is shown.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.kind.name())
    }
}

/// The records of one JSON text: one, or those of a whole answer about access tokens.
pub fn parse(text: &str) -> Result<Vec<Record>> {
    parse_with(text, Answers::Complete)
}

/// The same, with a choice of answers.
pub fn parse_with(text: &str, answers: Answers) -> Result<Vec<Record>> {
    let value: merge::Strict = serde_json::from_str(text).map_err(|error| {
        // serde_json's own words may quote the value, which may be a secret.
        let what = if error.is_eof() { "ends too early" } else { "is not valid JSON" };
        let what = if error.to_string().starts_with("duplicate key") { "has a duplicate key" } else { what };
        Error::field(Reason::InvalidFieldValue, "", format!("{what} (column {})", error.column()))
    })?;
    records(value.0, answers)
}

/// The records of one JSON value: one, or those of a whole answer about access tokens.
pub fn from_value(value: Value) -> Result<Vec<Record>> {
    records(value, Answers::Complete)
}

fn records(value: Value, answers: Answers) -> Result<Vec<Record>> {
    let Value::Object(object) = value else { return Err(not_a_record()) };
    if object.contains_key("data") || object.contains_key("status") {
        return answer::records(object, answers);
    }
    let mut members = object.into_iter();
    let (Some((key, value)), None) = (members.next(), members.next()) else { return Err(not_a_record()) };
    let Some(kind) = Kind::from_name(&key) else {
        let known: Vec<_> = Kind::ALL.into_iter().map(Kind::name).collect();
        let text = format!("is not a kind of record; known are {}", known.join(", "));
        return Err(Error::field(Reason::UnknownField, key.chars().take(64).collect::<String>(), text));
    };
    match value {
        Value::Object(object) => Ok(vec![Record::new(kind, object)?]),
        _ => Err(Error::field(Reason::InvalidFieldValue, key, "must be an object")),
    }
}

fn not_a_record() -> Error {
    let text = "a record is an object with one key, its kind, or a whole answer with status and data";
    Error::field(Reason::InvalidFieldValue, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_key() {
        let records = parse(r#"{"unit": {"id": "1", "name": "Admin"}}"#).expect("a record");
        assert_eq!(records[0].kind, Kind::Unit);
        for bad in ["{}", "[]", "7", r#"{"unit": {}, "user": {}}"#, r#"{"unit": 7}"#, r#"{"card": {}}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_its_tokens() {
        let many = parse(r#"{"status": {"code": "OK"}, "data": [{"authentication_code": "A", "life_cycle_state": "EFFECTIVE"}, {"authentication_code": "B", "life_cycle_state": "EFFECTIVE"}]}"#).expect("two tokens");
        assert_eq!(many.len(), 2);
        assert!(many.iter().all(|record| record.kind == Kind::AccessToken));
        let one = r#"{"data": {"authentication_code": null, "life_cycle_state": null}, "status": null}"#;
        assert_eq!(parse(one).expect("one token").len(), 1);
    }

    #[test]
    fn broken_lines_are_refused_without_their_content() {
        let secret = r#"{"user": {"password": "hunter2"#;
        for bad in
            [secret, r#"{"user": {"password": "hunter2" "x"}}"#, r#"{"user": {"password": 1, "password": "hunter2"}}"#]
        {
            let error = parse(bad).expect_err("refused");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
        assert!(parse(r#"{"user": {"id": "1", "id": "2"}}"#).expect_err("refused").message().contains("duplicate key"));
    }
}
