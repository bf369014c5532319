//! One record of an import: what it is about, and what it says.

use serde_json::{Map, Value};

use crate::model::named::named;
use crate::{Error, Reason, Result};

/// A JSON object.
pub type Object = Map<String, Value>;

/// The largest record in bytes.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

named! {
    /// The kind of object that a record is about. The name is the key of a record.
    Kind {
        /// Settings of the organisation that is imported into.
        Organisation = "organisation",
        /// A unit.
        Unit = "unit",
        /// A business unit.
        BusinessUnit = "business_unit",
        /// A user, perhaps with a password.
        User = "user",
        /// A country.
        Country = "country",
        /// An industry.
        Industry = "industry",
        /// An industry sector.
        IndustrySector = "industry_sector",
        /// A person or company.
        ContactInformation = "contact_information",
        /// An account.
        AccountsReceivable = "accounts_receivable",
        /// A member of the loyalty scheme.
        RewardsParticipant = "rewards_participant",
        /// A classification, perhaps with a policy.
        Classification = "classification",
        /// An access token, perhaps with its secrets.
        AccessToken = "access_token",
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
    pub(super) fn new(kind: Kind, mut object: Object) -> Result<Self> {
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
