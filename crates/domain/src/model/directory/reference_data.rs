//! Reference data: few small objects that nearly every answer reads. They are kept in memory, one snapshot per
//! organisation.

use serde::{Deserialize, Serialize};

use crate::model::policy::Policy;

/// An organisation. No call reaches data of another organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Organisation {
    /// Public id.
    pub id: String,
    /// Name, unique in the installation. A login names it.
    pub name: String,
    /// Prefix of the numbers of new tokens.
    pub number_prefix: String,
    /// Whether answers show a unit's `group_name` and `community_name` and a user's `person_name` and `email`.
    /// Otherwise they are null.
    pub legacy_compatibility: bool,
    /// The default policy.
    pub definition: Policy,
}

impl Organisation {
    /// Returns an organisation with the default settings.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            number_prefix: "AT".to_owned(),
            legacy_compatibility: true,
            definition: Policy::default(),
        }
    }
}

/// A unit of the organisation, such as a shop, in which users work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Unit {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Group that the unit belongs to.
    pub group_name: Option<String>,
    /// Community that the unit belongs to.
    pub community_name: Option<String>,
    /// Alternative code.
    pub alternative_code: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Id of the business unit that replaces the unit from R18.
    pub business_unit: Option<String>,
}

/// A business unit, which replaces units from R18.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BusinessUnit {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Code.
    pub code: Option<String>,
    /// Unified code.
    pub unified_code: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name of the parent.
    pub parent_business_unit_name: Option<String>,
}

/// A user of the CRM. Passwords are kept apart, as credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Unique in the organisation.
    pub id: String,
    /// Name with which the user logs in; unique in the organisation when present.
    pub username: Option<String>,
    /// Full name.
    pub person_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
}

/// A country.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Country {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Alternative code.
    pub alternative_code: Option<String>,
    /// Dialing code.
    pub dialing_code: Option<String>,
    /// Two character code.
    pub two_character_code: Option<String>,
    /// Three character code.
    pub three_character_code: Option<String>,
    /// Flag.
    pub country_flag: Option<Image>,
}

/// A picture that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Id of the picture.
    pub id: Option<String>,
    /// Name of the file.
    pub file_name: Option<String>,
    /// URL of the content.
    pub file_content_url: Option<String>,
    /// Type of the content.
    pub file_mime_type: Option<String>,
}

/// An industry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Industry {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Code.
    pub code: Option<String>,
}

/// An industry sector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IndustrySector {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Alternative code.
    pub alternative_code: Option<String>,
}

/// A classification of access tokens, perhaps with rules of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Classification {
    /// Unique in the organisation.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Alternative code.
    pub alternative_code: Option<String>,
    /// The policy of its tokens; without one the organisation's definition applies.
    pub policy: Option<Policy>,
}
