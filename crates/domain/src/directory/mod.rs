//! What tokens refer to. The CRM owns these; this service keeps the read model that it needs to answer.
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

/// Implements the documented names of a state or type.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The documented name, as stored and shown.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of a documented name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use named;
