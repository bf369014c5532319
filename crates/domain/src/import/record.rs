//! Records of an import.

use serde_json::{Map, Value};

use crate::model::named::named;
use crate::{Error, Reason, Result};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Maximum size of a record, in bytes.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

named! {
    /// The kind of object that a record is about. The name is the key of a record.
    Kind {
        /// Settings of the organisation of the import.
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

/// One record: an object of some kind.
#[derive(Clone, PartialEq)]
pub struct Record {
    /// Kind of the object.
    pub kind: Kind,
    /// Documented fields.
    pub object: Object,
    /// Whether the record comes from an answer that lacks members of an access token. A new token without a state is
    /// then NOT_EFFECTIVE.
    pub incomplete: bool,
    /// Number of members of the original answer that this service does not store.
    pub ignored_members: usize,
}

impl Record {
    /// Returns a record. Before R13 the member `rewards_participant` of a token was named `reward_participant`.
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

/// A record may contain secrets, so only its kind is shown.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.kind.name())
    }
}
