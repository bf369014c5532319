//! Conversion of access tokens.

use access_tokens_domain::access_token::{
    AccessToken, AuditStamp, OneTimePassword, TokenChanges, UserDefinedFields, VerificationCode,
};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use access_tokens_domain::time::Timestamp;
use sea_orm::Value;

use super::value::{corrupt, micros, named, optional_time, time};
use crate::entities::access_token::{Column, Model};

/// Converts a row to a token.
pub(crate) fn token(row: Model) -> StoreResult<AccessToken> {
    let one_time_password = match (row.otp_hash, row.otp_expiration) {
        (Some(hash), Some(expiration)) => Some(OneTimePassword {
            hash: CodeHash::from_stored(hash),
            expiration_date: time(expiration, "access_token.otp_expiration")?,
        }),
        (None, None) => None,
        _ => return Err(corrupt("access_token.otp_hash")),
    };
    let udf_date = |date| optional_time(date, "access_token.udf_date");
    Ok(AccessToken {
        life_cycle_state: named(&row.life_cycle_state, LifeCycleState::from_name, "access_token.life_cycle_state")?,
        life_cycle_state_date: optional_time(row.life_cycle_state_date, "access_token.life_cycle_state_date")?,
        id: row.id,
        number: row.number,
        authentication_code: row.authentication_code,
        identifier: row.identifier,
        pass_code: row.pass_code_hash.map(PassCodeHash::from_stored),
        verification: verification(row.verification_hash, row.verification_sealed)?,
        one_time_password,
        verified_date: optional_time(row.verified_date, "access_token.verified_date")?,
        verified_by_user: row.verified_by_user,
        card_masked_number: row.card_masked_number,
        udf: UserDefinedFields {
            strings: [
                row.udf_string_1,
                row.udf_string_2,
                row.udf_string_3,
                row.udf_string_4,
                row.udf_string_5,
                row.udf_string_6,
                row.udf_string_7,
                row.udf_string_8,
            ],
            floats: [row.udf_float_1, row.udf_float_2, row.udf_float_3, row.udf_float_4],
            dates: [
                udf_date(row.udf_date_1)?,
                udf_date(row.udf_date_2)?,
                udf_date(row.udf_date_3)?,
                udf_date(row.udf_date_4)?,
            ],
        },
        accounts_receivable: row.accounts_receivable,
        rewards_participant: row.rewards_participant,
        classification: row.classification,
        created: AuditStamp {
            date: time(row.created_date, "access_token.created_date")?,
            user: row.created_by_user,
            unit: row.created_by_unit,
            business_unit: row.created_by_business_unit,
        },
        updated: AuditStamp {
            date: time(row.updated_date, "access_token.updated_date")?,
            user: row.updated_by_user,
            unit: row.updated_by_unit,
            business_unit: row.updated_by_business_unit,
        },
    })
}

/// Builds a verification code from its two columns.
pub(crate) fn verification(hash: Option<String>, sealed: Option<String>) -> StoreResult<Option<VerificationCode>> {
    match (hash, sealed) {
        (Some(hash), Some(sealed)) => {
            Ok(Some(VerificationCode { hash: CodeHash::from_stored(hash), sealed: SealedCode::from_stored(sealed) }))
        }
        (None, None) => Ok(None),
        _ => Err(corrupt("access_token.verification_hash")),
    }
}

/// Converts a token to its row.
pub(crate) fn token_row(organisation: OrganisationKey, token: &AccessToken) -> Model {
    let token = token.clone();
    let (verification_hash, verification_sealed) = verification_columns(token.verification);
    let (otp_hash, otp_expiration) = otp_columns(token.one_time_password);
    let [s1, s2, s3, s4, s5, s6, s7, s8] = token.udf.strings;
    let [f1, f2, f3, f4] = token.udf.floats;
    let [d1, d2, d3, d4] = token.udf.dates.map(|date| date.map(micros));
    Model {
        organisation_key: organisation.0,
        id: token.id,
        number: token.number,
        life_cycle_state: token.life_cycle_state.name().to_owned(),
        life_cycle_state_date: token.life_cycle_state_date.map(micros),
        authentication_code: token.authentication_code,
        identifier: token.identifier,
        pass_code_hash: token.pass_code.map(stored_pass_code),
        verification_hash,
        verification_sealed,
        otp_hash,
        otp_expiration,
        verified_date: token.verified_date.map(micros),
        verified_by_user: token.verified_by_user,
        card_masked_number: token.card_masked_number,
        udf_string_1: s1,
        udf_string_2: s2,
        udf_string_3: s3,
        udf_string_4: s4,
        udf_string_5: s5,
        udf_string_6: s6,
        udf_string_7: s7,
        udf_string_8: s8,
        udf_float_1: f1,
        udf_float_2: f2,
        udf_float_3: f3,
        udf_float_4: f4,
        udf_date_1: d1,
        udf_date_2: d2,
        udf_date_3: d3,
        udf_date_4: d4,
        accounts_receivable: token.accounts_receivable,
        rewards_participant: token.rewards_participant,
        classification: token.classification,
        created_date: micros(token.created.date),
        created_by_user: token.created.user,
        created_by_unit: token.created.unit,
        created_by_business_unit: token.created.business_unit,
        updated_date: micros(token.updated.date),
        updated_by_user: token.updated.user,
        updated_by_unit: token.updated.unit,
        updated_by_business_unit: token.updated.business_unit,
    }
}

/// Returns the columns that a change sets, with their values. A new state gets the date of the stamp.
pub(crate) fn changed_columns(changes: &TokenChanges, updated: Option<&AuditStamp>) -> Vec<(Column, Value)> {
    const STRINGS: [Column; 8] = [
        Column::UdfString1,
        Column::UdfString2,
        Column::UdfString3,
        Column::UdfString4,
        Column::UdfString5,
        Column::UdfString6,
        Column::UdfString7,
        Column::UdfString8,
    ];
    const FLOATS: [Column; 4] = [Column::UdfFloat1, Column::UdfFloat2, Column::UdfFloat3, Column::UdfFloat4];
    const DATES: [Column; 4] = [Column::UdfDate1, Column::UdfDate2, Column::UdfDate3, Column::UdfDate4];

    let mut columns = Vec::with_capacity(12);
    let mut set = |column: Column, value: Value| columns.push((column, value));
    if let Some(state) = changes.life_cycle_state {
        set(Column::LifeCycleState, state.name().into());
        set(Column::LifeCycleStateDate, updated.map(|updated| micros(updated.date)).into());
    }
    if let Some(code) = &changes.authentication_code {
        set(Column::AuthenticationCode, code.clone().into());
    }
    if let Some(identifier) = &changes.identifier {
        set(Column::Identifier, identifier.clone().into());
    }
    if let Some(pass_code) = &changes.pass_code {
        set(Column::PassCodeHash, pass_code.clone().map(stored_pass_code).into());
    }
    if let Some(verification) = &changes.verification {
        let (hash, sealed) = verification_columns(Some(verification.clone()));
        set(Column::VerificationHash, hash.into());
        set(Column::VerificationSealed, sealed.into());
    }
    if let Some(password) = &changes.one_time_password {
        let (hash, expiration) = otp_columns(password.clone());
        set(Column::OtpHash, hash.into());
        set(Column::OtpExpiration, expiration.into());
    }
    if let Some((date, user)) = &changes.verified {
        set(Column::VerifiedDate, micros(*date).into());
        set(Column::VerifiedByUser, user.clone().into());
    }
    if let Some(masked) = &changes.card_masked_number {
        set(Column::CardMaskedNumber, masked.clone().into());
    }
    for (column, string) in STRINGS.into_iter().zip(&changes.udf_strings) {
        string.iter().for_each(|string| set(column, string.clone().into()));
    }
    for (column, float) in FLOATS.into_iter().zip(&changes.udf_floats) {
        float.iter().for_each(|float| set(column, (*float).into()));
    }
    for (column, date) in DATES.into_iter().zip(&changes.udf_dates) {
        date.iter().for_each(|date: &Option<Timestamp>| set(column, date.map(micros).into()));
    }
    if let Some(updated) = updated {
        set(Column::UpdatedDate, micros(updated.date).into());
        set(Column::UpdatedByUser, updated.user.clone().into());
        set(Column::UpdatedByUnit, updated.unit.clone().into());
        set(Column::UpdatedByBusinessUnit, updated.business_unit.clone().into());
    }
    columns
}

fn stored_pass_code(hash: PassCodeHash) -> String {
    hash.as_stored().to_owned()
}

fn verification_columns(code: Option<VerificationCode>) -> (Option<String>, Option<String>) {
    code.map(|code| (code.hash.as_stored().to_owned(), code.sealed.as_stored().to_owned())).unzip()
}

fn otp_columns(password: Option<OneTimePassword>) -> (Option<String>, Option<i64>) {
    password.map(|password| (password.hash.as_stored().to_owned(), micros(password.expiration_date))).unzip()
}
