//! The reference data of an organisation at one version.

use std::collections::HashMap;

use crate::model::directory::{
    BusinessUnit, Classification, Country, Industry, IndustrySector, Organisation, Unit, User,
};
use crate::model::identifier::ClassificationIdentifier;
use crate::model::policy::Policy;
use crate::{Error, Reason, Result};

/// A snapshot of the reference data of one organisation, by id.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Version of the reference data. Each change raises it. A snapshot is current when the stored version equals it.
    pub version: i64,
    /// The organisation itself.
    pub organisation: Organisation,
    /// Units.
    pub units: HashMap<String, Unit>,
    /// Business units.
    pub business_units: HashMap<String, BusinessUnit>,
    /// Users.
    pub users: HashMap<String, User>,
    /// Countries.
    pub countries: HashMap<String, Country>,
    /// Industries.
    pub industries: HashMap<String, Industry>,
    /// Industry sectors.
    pub industry_sectors: HashMap<String, IndustrySector>,
    /// Classifications.
    pub classifications: HashMap<String, Classification>,
}

impl Reference {
    /// Returns the snapshot of an organisation without reference data.
    pub fn empty(organisation: Organisation) -> Self {
        Self {
            version: 0,
            organisation,
            units: HashMap::new(),
            business_units: HashMap::new(),
            users: HashMap::new(),
            countries: HashMap::new(),
            industries: HashMap::new(),
            industry_sectors: HashMap::new(),
            classifications: HashMap::new(),
        }
    }

    /// Returns the policy that applies to a token: that of its classification, else the definition of the organisation.
    pub fn policy(&self, classification: Option<&str>) -> &Policy {
        classification
            .and_then(|id| self.classifications.get(id))
            .and_then(|classification| classification.policy.as_ref())
            .unwrap_or(&self.organisation.definition)
    }

    /// Returns the classification that a caller names.
    pub fn classification(&self, identifier: &ClassificationIdentifier) -> Result<&Classification> {
        let all = self.classifications.values();
        let mut found: Vec<_> = match identifier {
            ClassificationIdentifier::Id(id) => self.classifications.get(id).into_iter().collect(),
            ClassificationIdentifier::Name(name) => all.filter(|c| c.name.as_ref() == Some(name)).collect(),
            ClassificationIdentifier::AlternativeCode(code) => {
                all.filter(|c| c.alternative_code.as_ref() == Some(code)).collect()
            }
        };
        let field = "classification_identifier";
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (Some(_), _) => Err(Error::field(Reason::AmbiguousName, field, "several classifications match")),
            (None, _) => Err(Error::field(Reason::ClassificationNotFound, field, "no such classification")),
        }
    }
}
