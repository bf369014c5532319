//! Access tokens in a batch.

use super::existing::carries_secret;
use super::identity;
use super::new_numbers::is_unnumbered;
use super::token_fields::Fields;
use super::tokens::{PendingToken, UniqueField};
use super::{Batch, Object, merge};
use crate::Reason;
use crate::model::access_token::{AccessToken, AuditStamp, UserDefinedFields, VerificationCode};
use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::PassCodeHash;
use crate::model::session::Permission;
use crate::ports::Purpose;
use crate::ports::code;

/// Upserts one token. Its references are already ids.
pub(super) fn upsert(
    batch: &mut Batch<'_>,
    object: Object,
    path: &str,
    hash: Option<PassCodeHash>,
) -> Option<(bool, String)> {
    let before = batch.violations.len();
    let found = batch.tokens.of_record(&object).cloned();
    check_texts(batch, found.as_ref(), &object, path);
    if batch.violations.len() > before {
        return None;
    }
    let id = identity::id_of(batch, &object, found.as_ref(), path)?;
    let draws_number = found.is_none() && is_unnumbered(&object);
    let existed = found.is_some();
    let replaces = found.as_ref().map(|found| found.id.clone()).filter(|old| *old != id);
    let mut token = found.clone().unwrap_or_else(|| blank(batch, &id));
    if replaces.is_some() {
        rename(batch, &mut token, &id);
    }
    let carries_secret = hash.is_some() || carries_secret(&object);
    let sets_password = Fields { batch, path, new: !existed }.apply(&mut token, object);
    if hash.is_some() {
        token.pass_code = hash;
    }
    // A given secret counts as new even if it equals the stored one. Otherwise later records of the batch, which show
    // whether there is a one-time password, would reveal that it is equal.
    let ends = carries_secret || found.as_ref().is_some_and(|found| changes_code_or_state(found, &token));
    if !sets_password && ends {
        token.one_time_password = None;
    }
    if found.as_ref().is_some_and(|found| found.life_cycle_state != token.life_cycle_state) {
        token.life_cycle_state_date = Some(batch.context.now);
    }
    if draws_number {
        token.number = batch.next_number(&id);
    }
    complete(batch, &mut token, path);
    check_unique(batch, &token, replaces.as_deref(), path);
    if batch.violations.len() > before {
        return None;
    }
    let policy = batch.policy(token.classification.as_deref());
    let keeps_policy = policy.admits(&token.authentication_code, token.identifier.as_deref());
    batch.pending_tally.outside_policy += u64::from(!keeps_policy);
    let differs = found.as_ref().is_none_or(|found| !is_same_but_secrets(found, &token));
    // Written whether or not the secret is the stored one, so that the time of the write reveals nothing.
    if carries_secret || found.as_ref() != Some(&token) {
        batch.tokens.pending = Some(PendingToken { token, replaces, differs });
    }
    Some((existed, id))
}

/// Checks the limits of the texts of a record. A code that is stored in this form is not checked: it may have been
/// stored before a rule.
fn check_texts(batch: &mut Batch<'_>, found: Option<&AccessToken>, object: &Object, path: &str) {
    let stored = |key: &str| {
        let found = found?;
        match key {
            "id" => Some(&found.id),
            "number" => Some(&found.number),
            "authentication_code" => Some(&found.authentication_code),
            "identifier" => found.identifier.as_ref(),
            _ => None,
        }
    };
    for (key, value) in object {
        if value.as_str().is_none_or(|text| stored(key).is_none_or(|stored| stored != text)) {
            merge::check_texts(&format!("{path}.{key}"), value, &mut batch.violations);
        }
    }
}

/// Returns whether the change removes a one-time password. See [`TokenChanges::ending_one_time_password`].
///
/// [`TokenChanges::ending_one_time_password`]: crate::model::access_token::TokenChanges::ending_one_time_password
fn changes_code_or_state(old: &AccessToken, new: &AccessToken) -> bool {
    old.life_cycle_state != new.life_cycle_state
        || old.authentication_code != new.authentication_code
        || old.identifier != new.identifier
        || old.pass_code.is_some() != new.pass_code.is_some()
        || old.verification.is_some() != new.verification.is_some()
}

/// Returns whether two tokens differ in secrets only.
fn is_same_but_secrets(before: &AccessToken, after: &AccessToken) -> bool {
    let AccessToken { pass_code, verification, one_time_password, .. } = after.clone();
    AccessToken { pass_code, verification, one_time_password, ..before.clone() } == *after
}

fn blank(batch: &Batch<'_>, id: &str) -> AccessToken {
    let unit = batch.context.caller.unit.as_ref().and_then(|unit| batch.units.get(unit));
    let stamp = AuditStamp {
        date: batch.context.now,
        user: batch.context.caller.user.clone(),
        unit: batch.context.caller.unit.clone(),
        business_unit: unit.and_then(|unit| unit.business_unit.clone()),
    };
    AccessToken {
        id: id.to_owned(),
        number: String::new(),
        // An incomplete answer may be about a blocked token.
        life_cycle_state: if batch.incomplete { LifeCycleState::NotEffective } else { LifeCycleState::Effective },
        life_cycle_state_date: None,
        authentication_code: String::new(),
        identifier: None,
        pass_code: None,
        verification: None,
        one_time_password: None,
        verified_date: None,
        verified_by_user: None,
        card_masked_number: None,
        udf: UserDefinedFields::default(),
        accounts_receivable: None,
        rewards_participant: None,
        classification: None,
        created: stamp.clone(),
        updated: stamp,
    }
}

/// Gives a token with a derived id the id of its record. Codes are bound to the id: the verification code is bound to
/// the new one, a one-time password is removed.
fn rename(batch: &mut Batch<'_>, token: &mut AccessToken, id: &str) {
    let secrets = batch.context.secrets;
    let opened = token.verification.take().map(|v| secrets.open(Purpose::Verification, &token.id, &v.sealed));
    token.id = id.to_owned();
    token.one_time_password = None;
    match opened.map(|code| code.and_then(|code| VerificationCode::protect(secrets, id, &code))).transpose() {
        Ok(verification) => token.verification = verification,
        Err(_) => {
            let field = "access_token.verification_code";
            batch.violations.add(Reason::Internal, field, "cannot be bound to the new id");
        }
    }
}

/// Creates or requires the members that every token has and the record lacks.
fn complete(batch: &mut Batch<'_>, token: &mut AccessToken, path: &str) {
    if token.number.is_empty() {
        batch.violations.add(Reason::RequiredFieldMissing, format!("{path}.number"), "is required");
    }
    if token.authentication_code.is_empty() {
        match code::hex_id(batch.context.random) {
            Ok(code) => token.authentication_code = code,
            Err(_) => {
                let field = format!("{path}.authentication_code");
                batch.violations.add(Reason::Internal, field, "cannot be created");
            }
        }
    }
}

fn check_unique(batch: &mut Batch<'_>, token: &AccessToken, replaces: Option<&str>, path: &str) {
    for unique in UniqueField::ALL {
        let owner = unique.of(token).and_then(|value| batch.tokens.find(unique, value));
        if let Some(owner) = owner.filter(|owner| owner.id != token.id && Some(owner.id.as_str()) != replaces) {
            let (field, reason) = unique.field_and_reason();
            // A token of the same batch may not keep its current number. The error names a stored token only for
            // callers who could look it up.
            let may_know = batch.rights().contains(Permission::AccessTokensRead)
                && (unique != UniqueField::Identifier || batch.rights().contains(Permission::AccessTokensLookup));
            let text = if may_know && batch.tokens.stored.contains(&owner.id) {
                format!("is already used by access token {}", owner.number)
            } else {
                "is already used by another access token".to_owned()
            };
            batch.violations.add(reason, format!("{path}.{field}"), text);
        }
    }
}
