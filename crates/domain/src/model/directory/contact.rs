//! Contact information: the person or company behind an account.

use serde::{Deserialize, Serialize};

use crate::model::named::named_document;
use crate::model::time::Timestamp;

named_document! {
    /// Person or company.
    ContactType {
        /// A person, who has demographics.
        Person = "PERSON",
        /// A company, which has a company profile.
        Company = "COMPANY",
    }
}

named_document! {
    /// The state of contact information.
    ContactState {
        /// A prospect.
        Marketing = "MARKETING",
        /// A customer.
        Financial = "FINANCIAL",
    }
}

named_document! {
    /// Gender as documented.
    Gender {
        /// Male.
        Male = "MALE",
        /// Female.
        Female = "FEMALE",
    }
}

/// The person or company behind an account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContactInformation {
    /// Unique in the organisation.
    pub id: String,
    /// Person or company.
    #[serde(rename = "type")]
    pub contact_type: Option<ContactType>,
    /// The state.
    pub life_cycle_state: Option<ContactState>,
    /// Full name.
    pub name: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Middle name.
    pub middle_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Name of the company.
    pub company_name: Option<String>,
    /// Facts about a person; null for a company.
    pub demographics: Option<Demographics>,
    /// Facts about a company; null for a person.
    pub company_profile: Option<CompanyProfile>,
}

/// Facts about a person. Stored as one document, since nothing is looked up by them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Demographics {
    /// Gender.
    pub gender: Option<Gender>,
    /// Number of the identity card.
    pub id_number: Option<String>,
    /// Expiration date of the identity card.
    #[serde(deserialize_with = "crate::model::time::deserialize_optional")]
    pub id_number_expiration_date: Option<Timestamp>,
    /// Number of the passport.
    pub passport_number: Option<String>,
    /// Expiration date of the passport.
    #[serde(deserialize_with = "crate::model::time::deserialize_optional")]
    pub passport_number_expiration_date: Option<Timestamp>,
    /// Social security number.
    pub social_security_number: Option<String>,
    /// Date of birth, as far as known.
    pub date_of_birth: DateOfBirth,
    /// Name day, as far as known.
    pub name_day: NameDay,
    /// Country id.
    pub country_of_residence: Option<String>,
    /// Country id.
    pub id_issued_by_country: Option<String>,
    /// Country id.
    pub passport_issued_by_country: Option<String>,
    /// Industry id.
    pub industry: Option<String>,
    /// Industry sector id.
    pub industry_sector: Option<String>,
}

/// Date of birth; each member may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DateOfBirth {
    /// 1 to 31.
    pub day: Option<i32>,
    /// 1 to 12.
    pub month: Option<i32>,
    /// 1 to 9999.
    pub year: Option<i32>,
}

/// Name day; each member may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NameDay {
    /// 1 to 31.
    pub day: Option<i32>,
    /// 1 to 12.
    pub month: Option<i32>,
}

/// Facts about a company. Stored as one document, since nothing is looked up by them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompanyProfile {
    /// Year of the figures.
    pub profile_year: Option<i32>,
    /// Turnover a year, in the organisation's currency.
    pub annual_turnover: Option<f64>,
    /// Date of foundation.
    #[serde(deserialize_with = "crate::model::time::deserialize_optional")]
    pub established_date: Option<Timestamp>,
    /// Number of employees.
    pub number_of_employees: Option<i64>,
    /// Registration number.
    pub registration_number: Option<String>,
    /// VAT registration number.
    pub vat_registration_number: Option<String>,
    /// Authority that registered the company for VAT.
    pub vat_registered_by: Option<String>,
    /// Date of the registration for VAT.
    #[serde(deserialize_with = "crate::model::time::deserialize_optional")]
    pub vat_registration_date: Option<Timestamp>,
    /// Tax reference.
    pub tax_reference_number: Option<String>,
    /// Country id.
    pub registered_in_country: Option<String>,
    /// Industry id.
    pub industry: Option<String>,
    /// Industry sector id.
    pub industry_sector: Option<String>,
}
