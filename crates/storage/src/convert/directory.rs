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
use crate::entities::{self, user_credential};

/// Defines the conversions of rows in both directions. A field is the same on both sides, or one of these: `json` an optional
/// JSON document, `name` an optional name of a value of the type, `required` a name that is never missing.
macro_rules! rows {
    ($($from_row:ident, $to_row:ident: $module:ident => $type:ident {
        $($field:ident $(as $form:ident $($of:ident)?)?),* $(,)?
    };)+) => {$(
        pub(crate) fn $from_row(row: entities::$module::Model) -> StoreResult<$type> {
            Ok($type { id: row.id, $($field: rows!(@value $module row $field $($form $($of)?)?)),* })
        }

        pub(crate) fn $to_row(organisation: OrganisationKey, value: &$type) -> StoreResult<entities::$module::Model> {
            let value = value.clone();
            Ok(entities::$module::Model {
                organisation_key: organisation.0,
                id: value.id,
                $($field: rows!(@column value $field $($form)?)),*
            })
        }
    )+};
    (@value $module:ident $row:ident $field:ident) => { $row.$field };
    (@value $module:ident $row:ident $field:ident json) => {
        $row.$field.map(|json| document(&json, rows!(@name $module $field))).transpose()?
    };
    (@value $module:ident $row:ident $field:ident name $of:ident) => {
        $row.$field.map(|name| named(&name, $of::from_name, rows!(@name $module $field))).transpose()?
    };
    (@value $module:ident $row:ident $field:ident required $of:ident) => {
        named(&$row.$field, $of::from_name, rows!(@name $module $field))?
    };
    (@column $value:ident $field:ident) => { $value.$field };
    (@column $value:ident $field:ident json) => { $value.$field.as_ref().map(to_document).transpose()? };
    (@column $value:ident $field:ident name) => { $value.$field.map(|value| value.name().to_owned()) };
    (@column $value:ident $field:ident required) => { $value.$field.name().to_owned() };
    (@name $module:ident $field:ident) => { concat!(stringify!($module), ".", stringify!($field)) };
}

rows! {
    unit, unit_row: unit => Unit { name, group_name, community_name, alternative_code, description, business_unit };
    business_unit, business_unit_row: business_unit => BusinessUnit {
        name, code, unified_code, description, parent_business_unit_name,
    };
    user, user_row: app_user => User { username, person_name, email };
    country, country_row: country => Country {
        name, alternative_code, dialing_code, two_character_code, three_character_code, country_flag as json,
    };
    industry, industry_row: industry => Industry { name, code };
    industry_sector, industry_sector_row: industry_sector => IndustrySector { name, alternative_code };
    classification, classification_row: classification => Classification { name, alternative_code, policy as json };
    contact, contact_row: contact_information => ContactInformation {
        contact_type as name ContactType, life_cycle_state as name ContactState, name, first_name, middle_name, last_name,
        title, company_name, demographics as json, company_profile as json,
    };
    accounts_receivable, accounts_receivable_row: accounts_receivable => AccountsReceivable {
        number, name, life_cycle_state as required AccountsReceivableState, account_owner,
    };
    rewards_participant, rewards_participant_row: rewards_participant => RewardsParticipant {
        number, life_cycle_state as name RewardsParticipantState, accounts_receivable,
    };
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

pub(crate) fn credential(row: user_credential::Model) -> StoreResult<Credential> {
    Ok(Credential {
        user: row.user_id,
        password: row.password_hash.map(PassCodeHash::from_stored),
        permissions: Permissions::from_stored(&row.permissions),
        default_unit: row.default_unit,
    })
}

pub(crate) fn credential_row(organisation: OrganisationKey, credential: &Credential) -> user_credential::Model {
    user_credential::Model {
        organisation_key: organisation.0,
        user_id: credential.user.clone(),
        password_hash: credential.password.as_ref().map(|hash| hash.as_stored().to_owned()),
        permissions: credential.permissions.to_string(),
        default_unit: credential.default_unit.clone(),
    }
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
