//! Data that an import reads and writes.

use super::error::StoreResult;
use crate::model::access_token::AccessToken;
use crate::model::credential::Credential;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::model::reference::Reference;
use crate::model::time::Timestamp;

/// The keys that a batch of records names.
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
    /// Accounts, by name. The store returns at most two per name, which is enough to know that a name is ambiguous.
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
    /// Whether a record names permissions of a user.
    pub permissions: bool,
}

impl ImportKeys {
    /// Removes values that no column accepts, so that they never reach a database. Sorts the keys and removes duplicates.
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
        self.account_names
            .retain(|name| crate::model::text::bounded(name, crate::model::text::MAX_NAME_LENGTH).is_ok());
        self.account_names.sort_unstable();
        self.account_names.dedup();
        for list in lists {
            list.retain(|key| crate::model::text::code(key).is_ok());
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// The stored rows with one of the keys.
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

/// The writes of a batch: whole rows, inserted or replaced by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportChanges {
    /// Settings of the organisation. Its id and its name are not written.
    pub organisation: Option<Organisation>,
    /// Units.
    pub units: Vec<Unit>,
    /// Business units.
    pub business_units: Vec<BusinessUnit>,
    /// Users.
    pub users: Vec<User>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// Ids of users whose password is replaced or removed, with the time. Their sessions end.
    pub password_changes: Vec<(String, Timestamp)>,
    /// Ids of users who had no password before and have one now, with the time. No session ends.
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
    /// Old and new ids of tokens that get an id of their own. The rows of the old ids are deleted. Attempts and issues
    /// that are counted for a token move with it, so that a new id does not allow more guesses.
    pub renamed_tokens: Vec<(String, String)>,
    /// Ids of stored tokens among [`Self::tokens`] that lose a number, code or identifier to another one of them. The
    /// store clears these values before it writes any token.
    pub vacated_tokens: Vec<String>,
    /// Tokens.
    pub tokens: Vec<AccessToken>,
}

impl ImportChanges {
    /// Returns whether the changes affect the cached reference data.
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

/// The rows that a check would have written so far. Each method works on a file and waits for nothing else.
pub trait DraftStore: Send + Sync {
    /// Returns the rows with one of the keys, each as it was written last. The result may include rows that had a key
    /// earlier.
    fn load(&self, keys: &ImportKeys) -> StoreResult<ImportRows>;

    /// Writes contact information, credentials, accounts, participants and tokens over those with the same ids, and
    /// removes tokens.
    fn save(&mut self, changes: &ImportChanges) -> StoreResult<()>;
}

impl Reference {
    /// Applies the changes of an import to the reference data.
    pub fn merge(&mut self, changes: &ImportChanges) {
        if let Some(organisation) = &changes.organisation {
            self.organisation.clone_from(organisation);
        }
        self.units.extend(changes.units.iter().map(|row| (row.id.clone(), row.clone())));
        self.business_units.extend(changes.business_units.iter().map(|row| (row.id.clone(), row.clone())));
        self.users.extend(changes.users.iter().map(|row| (row.id.clone(), row.clone())));
        self.countries.extend(changes.countries.iter().map(|row| (row.id.clone(), row.clone())));
        self.industries.extend(changes.industries.iter().map(|row| (row.id.clone(), row.clone())));
        self.industry_sectors.extend(changes.industry_sectors.iter().map(|row| (row.id.clone(), row.clone())));
        self.classifications.extend(changes.classifications.iter().map(|row| (row.id.clone(), row.clone())));
    }
}
