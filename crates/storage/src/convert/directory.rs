//! Conversion of directory rows: reference data, owners, credentials.

use access_tokens_domain::directory::{
    AccountsReceivable, AccountsReceivableState, BusinessUnit, Classification, ContactInformation, ContactState,
    ContactType, Country, Industry, IndustrySector, Organisation, RewardsParticipant, RewardsParticipantState, Unit,
    User,
};
use access_tokens_domain::secret::{CodeHash, PassCodeHash};
use access_tokens_domain::session::{OrganisationKey, Permissions};
use access_tokens_domain::store::{ApiKey, Credential, KeyTerms, OrganisationRef, StoreResult};

use super::value::{document, named, optional_time, to_document};
use crate::entities;

/// Defines both conversions for rows whose fields are those of the domain type.
macro_rules! plain {
    ($($from_row:ident, $to_row:ident: $module:ident => $type:ident { $($field:ident),* };)+) => {$(
        pub(crate) fn $from_row(row: entities::$module::Model) -> StoreResult<$type> {
            Ok($type { id: row.id, $($field: row.$field),* })
        }

        pub(crate) fn $to_row(organisation: OrganisationKey, value: &$type) -> StoreResult<entities::$module::Model> {
            let value = value.clone();
            Ok(entities::$module::Model { organisation_key: organisation.0, id: value.id, $($field: value.$field),* })
        }
    )+};
}

plain! {
    unit, unit_row: unit => Unit { name, group_name, community_name, alternative_code, description, business_unit };
    business_unit, business_unit_row: business_unit => BusinessUnit {
        name, code, unified_code, description, parent_business_unit_name
    };
    user, user_row: app_user => User { username, person_name, email };
    industry, industry_row: industry => Industry { name, code };
    industry_sector, industry_sector_row: industry_sector => IndustrySector { name, alternative_code };
}

pub(crate) fn organisation(row: entities::organisation::Model) -> StoreResult<Organisation> {
    Ok(Organisation {
        id: row.id,
        name: row.name,
        number_prefix: row.number_prefix,
        legacy_compatibility: row.legacy_compatibility,
        definition: document(&row.definition, "organisation.definition")?,
    })
}

pub(crate) fn organisation_ref(row: entities::organisation::Model) -> OrganisationRef {
    OrganisationRef { key: OrganisationKey(row.key), id: row.id, name: row.name }
}

pub(crate) fn definition(organisation: &Organisation) -> StoreResult<String> {
    to_document(&organisation.definition)
}

pub(crate) fn country(row: entities::country::Model) -> StoreResult<Country> {
    let flag = row.country_flag.map(|flag| document(&flag, "country.country_flag"));
    Ok(Country {
        id: row.id,
        name: row.name,
        alternative_code: row.alternative_code,
        dialing_code: row.dialing_code,
        two_character_code: row.two_character_code,
        three_character_code: row.three_character_code,
        country_flag: flag.transpose()?,
    })
}

pub(crate) fn country_row(organisation: OrganisationKey, country: &Country) -> StoreResult<entities::country::Model> {
    let country = country.clone();
    Ok(entities::country::Model {
        organisation_key: organisation.0,
        id: country.id,
        name: country.name,
        alternative_code: country.alternative_code,
        dialing_code: country.dialing_code,
        two_character_code: country.two_character_code,
        three_character_code: country.three_character_code,
        country_flag: country.country_flag.as_ref().map(to_document).transpose()?,
    })
}

pub(crate) fn classification(row: entities::classification::Model) -> StoreResult<Classification> {
    let policy = row.policy.map(|policy| document(&policy, "classification.policy")).transpose()?;
    Ok(Classification { id: row.id, name: row.name, alternative_code: row.alternative_code, policy })
}

pub(crate) fn classification_row(
    organisation: OrganisationKey,
    classification: &Classification,
) -> StoreResult<entities::classification::Model> {
    let classification = classification.clone();
    Ok(entities::classification::Model {
        organisation_key: organisation.0,
        id: classification.id,
        name: classification.name,
        alternative_code: classification.alternative_code,
        policy: classification.policy.as_ref().map(to_document).transpose()?,
    })
}

pub(crate) fn contact(row: entities::contact_information::Model) -> StoreResult<ContactInformation> {
    let contact_type =
        row.contact_type.map(|name| named(&name, ContactType::from_name, "contact_information.contact_type"));
    let state =
        row.life_cycle_state.map(|name| named(&name, ContactState::from_name, "contact_information.life_cycle_state"));
    let demographics = row.demographics.map(|json| document(&json, "contact_information.demographics"));
    let company_profile = row.company_profile.map(|json| document(&json, "contact_information.company_profile"));
    Ok(ContactInformation {
        id: row.id,
        contact_type: contact_type.transpose()?,
        life_cycle_state: state.transpose()?,
        name: row.name,
        first_name: row.first_name,
        middle_name: row.middle_name,
        last_name: row.last_name,
        title: row.title,
        company_name: row.company_name,
        demographics: demographics.transpose()?,
        company_profile: company_profile.transpose()?,
    })
}

pub(crate) fn contact_row(
    organisation: OrganisationKey,
    contact: &ContactInformation,
) -> StoreResult<entities::contact_information::Model> {
    let contact = contact.clone();
    Ok(entities::contact_information::Model {
        organisation_key: organisation.0,
        id: contact.id,
        contact_type: contact.contact_type.map(|value| value.name().to_owned()),
        life_cycle_state: contact.life_cycle_state.map(|value| value.name().to_owned()),
        name: contact.name,
        first_name: contact.first_name,
        middle_name: contact.middle_name,
        last_name: contact.last_name,
        title: contact.title,
        company_name: contact.company_name,
        demographics: contact.demographics.as_ref().map(to_document).transpose()?,
        company_profile: contact.company_profile.as_ref().map(to_document).transpose()?,
    })
}

pub(crate) fn accounts_receivable(row: entities::accounts_receivable::Model) -> StoreResult<AccountsReceivable> {
    let state = "accounts_receivable.life_cycle_state";
    Ok(AccountsReceivable {
        life_cycle_state: named(&row.life_cycle_state, AccountsReceivableState::from_name, state)?,
        id: row.id,
        number: row.number,
        name: row.name,
        account_owner: row.account_owner,
    })
}

pub(crate) fn accounts_receivable_row(
    organisation: OrganisationKey,
    account: &AccountsReceivable,
) -> StoreResult<entities::accounts_receivable::Model> {
    let account = account.clone();
    Ok(entities::accounts_receivable::Model {
        organisation_key: organisation.0,
        id: account.id,
        number: account.number,
        name: account.name,
        life_cycle_state: account.life_cycle_state.name().to_owned(),
        account_owner: account.account_owner,
    })
}

pub(crate) fn rewards_participant(row: entities::rewards_participant::Model) -> StoreResult<RewardsParticipant> {
    let state = row
        .life_cycle_state
        .map(|name| named(&name, RewardsParticipantState::from_name, "rewards_participant.life_cycle_state"));
    Ok(RewardsParticipant {
        id: row.id,
        number: row.number,
        life_cycle_state: state.transpose()?,
        accounts_receivable: row.accounts_receivable,
    })
}

pub(crate) fn rewards_participant_row(
    organisation: OrganisationKey,
    participant: &RewardsParticipant,
) -> StoreResult<entities::rewards_participant::Model> {
    let participant = participant.clone();
    Ok(entities::rewards_participant::Model {
        organisation_key: organisation.0,
        id: participant.id,
        number: participant.number,
        life_cycle_state: participant.life_cycle_state.map(|value| value.name().to_owned()),
        accounts_receivable: participant.accounts_receivable,
    })
}

pub(crate) fn credential(row: entities::user_credential::Model) -> StoreResult<Credential> {
    Ok(Credential {
        user: row.user_id,
        password: row.password_hash.map(PassCodeHash::from_stored),
        permissions: Permissions::from_stored(&row.permissions),
        default_unit: row.default_unit,
    })
}

pub(crate) fn credential_row(
    organisation: OrganisationKey,
    credential: &Credential,
) -> StoreResult<entities::user_credential::Model> {
    Ok(entities::user_credential::Model {
        organisation_key: organisation.0,
        user_id: credential.user.clone(),
        password_hash: credential.password.as_ref().map(|hash| hash.as_stored().to_owned()),
        permissions: credential.permissions.to_string(),
        default_unit: credential.default_unit.clone(),
    })
}

pub(crate) fn api_key(row: entities::api_key::Model) -> StoreResult<ApiKey> {
    Ok(ApiKey {
        id: row.id,
        organisation: OrganisationKey(row.organisation_key),
        user: row.user_id,
        hash: CodeHash::from_stored(row.secret_hash),
        terms: KeyTerms {
            permissions: row.permissions.as_deref().map(Permissions::from_stored),
            unit: row.unit,
            expires: optional_time(row.expires_date, "api_key.expires_date")?,
            revoked: optional_time(row.revoked_date, "api_key.revoked_date")?,
        },
    })
}
