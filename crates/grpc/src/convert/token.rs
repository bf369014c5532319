//! Access tokens in responses.

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::card;
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::service::{Answer, IssuedOneTimePassword, IssuedPassCode, IssuedVerificationCode};
use access_tokens_proto::v1;

pub(crate) use super::reference::classification;

use super::owner::{accounts_receivable, rewards_participant};
use super::reference::{classification_of, log_information, user};
use super::time;

/// Returns a token with all objects that it refers to.
pub(crate) fn access_token(answer: Answer, fields: &FieldSelection) -> v1::AccessToken {
    let Answer { token, owners, reference, verification_code } = answer;
    let [string_1, string_2, string_3, string_4, string_5, string_6, string_7, string_8] = token.udf.strings;
    let [float_1, float_2, float_3, float_4] = token.udf.floats;
    let [date_1, date_2, date_3, date_4] = token.udf.dates;
    v1::AccessToken {
        // Computed before the masked number is moved out.
        card_last_4_digits: fields
            .value("card_last_4_digits", || token.card_masked_number.as_deref().and_then(card::last_4_digits)),
        verified_by_user: fields
            .boxed("verified_by_user", |fields| Some(user(token.verified_by_user.as_ref()?, &reference, fields))),
        rewards_participant: fields.boxed("rewards_participant", |fields| {
            let id = token.rewards_participant.as_ref()?;
            Some(rewards_participant(id, owners.rewards_participant.as_deref(), &reference, fields))
        }),
        accounts_receivable: fields.boxed("accounts_receivable", |fields| {
            let id = token.accounts_receivable.as_ref()?;
            Some(accounts_receivable(id, owners.accounts_receivable.as_deref(), &reference, fields))
        }),
        classification: fields.nested("classification", |fields| {
            Some(classification_of(token.classification.as_ref()?, &reference, fields))
        }),
        log_information: fields.boxed("log_information", |fields| {
            Some(log_information(&token.created, &token.updated, &reference, fields))
        }),
        id: fields.value("id", || token.id),
        number: fields.value("number", || token.number),
        life_cycle_state: fields.value("life_cycle_state", || state(token.life_cycle_state).into()),
        authentication_code: fields.value("authentication_code", || token.authentication_code),
        identifier: fields.value("identifier", || token.identifier),
        card_masked_number: fields.value("card_masked_number", || token.card_masked_number),
        verification_code: fields.value("verification_code", || verification_code.map(|code| code.expose().to_owned())),
        verified_date: fields.value("verified_date", || token.verified_date.map(time::to_wire)),
        udf_string_1: fields.value("udf_string_1", || string_1),
        udf_string_2: fields.value("udf_string_2", || string_2),
        udf_string_3: fields.value("udf_string_3", || string_3),
        udf_string_4: fields.value("udf_string_4", || string_4),
        udf_string_5: fields.value("udf_string_5", || string_5),
        udf_string_6: fields.value("udf_string_6", || string_6),
        udf_string_7: fields.value("udf_string_7", || string_7),
        udf_string_8: fields.value("udf_string_8", || string_8),
        udf_float_1: fields.value("udf_float_1", || float_1),
        udf_float_2: fields.value("udf_float_2", || float_2),
        udf_float_3: fields.value("udf_float_3", || float_3),
        udf_float_4: fields.value("udf_float_4", || float_4),
        udf_date_1: fields.value("udf_date_1", || date_1.map(time::to_wire)),
        udf_date_2: fields.value("udf_date_2", || date_2.map(time::to_wire)),
        udf_date_3: fields.value("udf_date_3", || date_3.map(time::to_wire)),
        udf_date_4: fields.value("udf_date_4", || date_4.map(time::to_wire)),
    }
}

/// Returns a new pass code, which is shown only once.
pub(crate) fn issued_pass_code(issued: IssuedPassCode, fields: &FieldSelection) -> v1::ResetPassCodeResponse {
    let IssuedPassCode { token, reference, random_pass_code } = issued;
    let AccessToken { id, number, life_cycle_state, authentication_code, identifier, created, updated, .. } = token;
    v1::ResetPassCodeResponse {
        id: fields.value("id", || id),
        number: fields.value("number", || number),
        life_cycle_state: fields.value("life_cycle_state", || state(life_cycle_state).into()),
        authentication_code: fields.value("authentication_code", || authentication_code),
        identifier: fields.value("identifier", || identifier),
        random_pass_code: fields.value("random_pass_code", || Some(random_pass_code.expose().to_owned())),
        log_information: fields
            .nested("log_information", |fields| Some(log_information(&created, &updated, &reference, fields))),
    }
}

/// Returns a new verification code.
pub(crate) fn issued_verification_code(
    issued: IssuedVerificationCode,
    fields: &FieldSelection,
) -> v1::ResetVerificationCodeResponse {
    let IssuedVerificationCode { token, reference, verification_code } = issued;
    let AccessToken { id, number, life_cycle_state, authentication_code, identifier, created, updated, .. } = token;
    v1::ResetVerificationCodeResponse {
        id: fields.value("id", || id),
        number: fields.value("number", || number),
        life_cycle_state: fields.value("life_cycle_state", || state(life_cycle_state).into()),
        authentication_code: fields.value("authentication_code", || authentication_code),
        identifier: fields.value("identifier", || identifier),
        verification_code: fields.value("verification_code", || Some(verification_code.expose().to_owned())),
        log_information: fields
            .nested("log_information", |fields| Some(log_information(&created, &updated, &reference, fields))),
    }
}

/// Returns a new one-time password.
pub(crate) fn issued_one_time_password(
    issued: IssuedOneTimePassword,
    fields: &FieldSelection,
) -> v1::GenerateOtpResponse {
    let IssuedOneTimePassword { token, one_time_password, expiration_date } = issued;
    v1::GenerateOtpResponse {
        id: fields.value("id", || token.id),
        number: fields.value("number", || token.number),
        one_time_password: fields.value("one_time_password", || Some(one_time_password.expose().to_owned())),
        expiration_date: fields.value("expiration_date", || Some(time::to_wire(expiration_date))),
    }
}

fn state(state: LifeCycleState) -> v1::access_token::LifeCycleState {
    match state {
        LifeCycleState::Effective => v1::access_token::LifeCycleState::Effective,
        LifeCycleState::NotEffective => v1::access_token::LifeCycleState::NotEffective,
        LifeCycleState::PendingVerification => v1::access_token::LifeCycleState::PendingVerification,
    }
}
