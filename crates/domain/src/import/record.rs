//! One record of an import: what it is about, and what it says.

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

    pub(super) fn from_name(name: &str) -> Option<Self> {
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
