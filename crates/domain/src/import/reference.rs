//! References from records to other objects.

use serde_json::Value;

use super::{Kind, Object};

/// A member that holds a reference: its path, and the kind of the object.
pub(super) type Member = (&'static [&'static str], Kind);

/// Returns the references of a kind, in the order in which embedded objects are upserted.
pub(super) fn members(kind: Kind) -> &'static [Member] {
    match kind {
        Kind::Unit => &[(&["business_unit"], Kind::BusinessUnit)],
        Kind::User => &[(&["default_unit"], Kind::Unit)],
        Kind::ContactInformation => &[
            (&["demographics", "country_of_residence"], Kind::Country),
            (&["demographics", "id_issued_by_country"], Kind::Country),
            (&["demographics", "passport_issued_by_country"], Kind::Country),
            (&["demographics", "industry"], Kind::Industry),
            (&["demographics", "industry_sector"], Kind::IndustrySector),
            (&["company_profile", "registered_in_country"], Kind::Country),
            (&["company_profile", "industry"], Kind::Industry),
            (&["company_profile", "industry_sector"], Kind::IndustrySector),
        ],
        Kind::AccountsReceivable => &[(&["account_owner"], Kind::ContactInformation)],
        Kind::RewardsParticipant => &[(&["accounts_receivable"], Kind::AccountsReceivable)],
        Kind::AccessToken => &[
            (&["accounts_receivable"], Kind::AccountsReceivable),
            (&["rewards_participant"], Kind::RewardsParticipant),
            (&["classification"], Kind::Classification),
            (&["verified_by_user"], Kind::User),
            (&["log_information", "created_by_user"], Kind::User),
            (&["log_information", "updated_by_user"], Kind::User),
            (&["log_information", "created_by_unit"], Kind::Unit),
            (&["log_information", "updated_by_unit"], Kind::Unit),
            (&["log_information", "created_by_business_unit"], Kind::BusinessUnit),
            (&["log_information", "updated_by_business_unit"], Kind::BusinessUnit),
        ],
        Kind::Organisation
        | Kind::BusinessUnit
        | Kind::Country
        | Kind::Industry
        | Kind::IndustrySector
        | Kind::Classification => &[],
    }
}

/// Returns the member at a path, if it is there and not null.
pub(super) fn at<'a>(object: &'a mut Object, path: &[&str]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let value = object.get_mut(*first)?;
    if rest.is_empty() { Some(value).filter(|v| !v.is_null()) } else { at(value.as_object_mut()?, rest) }
}

/// Calls `found` for every object of a record, including embedded ones.
pub(super) fn visit(kind: Kind, object: &Object, found: &mut impl FnMut(Kind, &Object)) {
    found(kind, object);
    for (path, kind) in members(kind) {
        let mut value = object.get(path[0]);
        for key in &path[1..] {
            value = value.and_then(|v| v.get(key));
        }
        if let Some(Value::Object(embedded)) = value {
            visit(*kind, embedded, found);
        }
    }
}
