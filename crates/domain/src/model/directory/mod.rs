//! The directory: objects that tokens refer to. The CRM owns them. This service stores the part that it needs for
//! answers.
//!
//! Field names are the documented ones. A field that names another object holds its id.

mod contact;
mod owner;
mod reference_data;

pub use contact::{
    CompanyProfile, ContactInformation, ContactState, ContactType, DateOfBirth, Demographics, Gender, NameDay,
};
pub use owner::{AccountsReceivable, AccountsReceivableState, RewardsParticipant, RewardsParticipantState};
pub use reference_data::{
    BusinessUnit, Classification, Country, Image, Industry, IndustrySector, Organisation, Unit, User,
};
