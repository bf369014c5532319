//! What an import reads and writes.

use super::error::StoreResult;
use crate::model::access_token::AccessToken;
use crate::model::credential::Credential;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::model::reference::Reference;
use crate::model::time::Timestamp;

/// What a batch of records names.
#[derive(Debug, Clone, Default)]
pub struct ImportKeys {
    /// Contact information, by id.
    pub contacts: Vec<String>,
    /// Users whose credentials are needed, by id.
    pub credentials: Vec<String>,
    /// Accounts, by id.
    pub account_ids: Vec<String>,
    /// Accounts, by number.
    pub account_numbers: Vec<String>,
    /// Accounts, by name. Of those that share a name, two are enough to know that they do.
    pub account_names: Vec<String>,
    /// Participants, by id.
    pub participant_ids: Vec<String>,
    /// Participants, by number.
    pub participant_numbers: Vec<String>,
    /// Tokens, by id.
    pub token_ids: Vec<String>,
    /// Tokens, by number.
    pub token_numbers: Vec<String>,
    /// Tokens, by authentication code.
    pub authentication_codes: Vec<String>,
    /// Tokens, by identifier.
    pub identifiers: Vec<String>,
    /// Does a record name permissions of a user?
    pub permissions: bool,
}

impl ImportKeys {
    /// Drops what cannot be stored under any key, so that it never reaches a database.
    pub fn keep_storable(&mut self) {
        let lists = [
            &mut self.contacts,
            &mut self.credentials,
            &mut self.account_ids,
            &mut self.account_numbers,
            &mut self.participant_ids,
            &mut self.participant_numbers,
            &mut self.token_ids,
            &mut self.token_numbers,
            &mut self.authentication_codes,
            &mut self.identifiers,
        ];
        self.account_names.retain(|name| crate::model::text::bounded(name, crate::model::text::NAME).is_ok());
        self.account_names.sort_unstable();
        self.account_names.dedup();
        for list in lists {
            list.retain(|key| crate::model::text::code(key).is_ok());
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// What is stored of it.
#[derive(Debug, Clone, Default)]
pub struct ImportRows {
    /// Contact information.
    pub contacts: Vec<ContactInformation>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// Accounts.
    pub accounts: Vec<AccountsReceivable>,
    /// Participants.
    pub participants: Vec<RewardsParticipant>,
    /// Tokens, each once.
    pub tokens: Vec<AccessToken>,
}

/// What a batch writes: whole rows, inserted or replaced by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportChanges {
    /// The settings of the organisation. Its id and its name are not written.
    pub organisation: Option<Organisation>,
    /// Units.
    pub units: Vec<Unit>,
    /// Business units.
    pub business_units: Vec<BusinessUnit>,
    /// Users.
    pub users: Vec<User>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// The users among them whose password is replaced or removed, by id, and when. Their sessions end.
    pub password_changes: Vec<(String, Timestamp)>,
    /// The users among them who had no password before and have one now, by id, and when. No session ends.
    pub first_passwords: Vec<(String, Timestamp)>,
    /// Countries.
    pub countries: Vec<Country>,
    /// Industries.
    pub industries: Vec<Industry>,
    /// Industry sectors.
    pub industry_sectors: Vec<IndustrySector>,
    /// Classifications.
    pub classifications: Vec<Classification>,
    /// Contact information.
    pub contacts: Vec<ContactInformation>,
    /// Accounts.
    pub accounts: Vec<AccountsReceivable>,
    /// Participants.
    pub participants: Vec<RewardsParticipant>,
    /// Old and new ids of the tokens that come again under ids of their own. The rows of the old ids go; attempts and issues of
    /// codes that are counted for the token come with it, so that a new id brings no more guesses.
    pub renamed_tokens: Vec<(String, String)>,
    /// Ids of stored tokens among [`Self::tokens`] that lose a number, code or identifier to another one of them. They give theirs
    /// up before any token is written.
    pub vacated_tokens: Vec<String>,
    /// Tokens.
    pub tokens: Vec<AccessToken>,
}

impl ImportChanges {
    /// Does it touch what is kept in memory as reference data?
    pub fn touches_reference(&self) -> bool {
        self.organisation.is_some()
            || !(self.units.is_empty()
                && self.business_units.is_empty()
                && self.users.is_empty()
                && self.countries.is_empty()
                && self.industries.is_empty()
                && self.industry_sectors.is_empty()
                && self.classifications.is_empty())
    }
}

/// Rows that a check would have written so far. Each method works on a file and does not wait for anything else.
pub trait DraftStore: Send + Sync {
    /// Returns the rows that have one of the keys, each as it was written last. A row that had a key earlier may come too.
    fn load(&self, keys: &ImportKeys) -> StoreResult<ImportRows>;

    /// Writes contact information, credentials, accounts, participants and tokens over those of the same ids, and removes tokens.
    fn save(&mut self, changes: &ImportChanges) -> StoreResult<()>;
}

impl Reference {
    /// The reference data that an import's changes would leave.
    pub fn merge(&mut self, changes: ImportChanges) {
        if let Some(organisation) = changes.organisation {
            self.organisation = organisation;
        }
        self.units.extend(changes.units.into_iter().map(|row| (row.id.clone(), row)));
        self.business_units.extend(changes.business_units.into_iter().map(|row| (row.id.clone(), row)));
        self.users.extend(changes.users.into_iter().map(|row| (row.id.clone(), row)));
        self.countries.extend(changes.countries.into_iter().map(|row| (row.id.clone(), row)));
        self.industries.extend(changes.industries.into_iter().map(|row| (row.id.clone(), row)));
        self.industry_sectors.extend(changes.industry_sectors.into_iter().map(|row| (row.id.clone(), row)));
        self.classifications.extend(changes.classifications.into_iter().map(|row| (row.id.clone(), row)));
    }
}
