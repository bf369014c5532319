//! Owners of tokens: accounts receivable and rewards participants.

use access_tokens_domain::directory::{AccountsReceivableState, RewardsParticipantState};
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::store::{Account, Participant};
use access_tokens_proto::v1;

use super::contact::contact_information;

/// Returns the account with an id. An account that was not found has its id only.
pub(super) fn accounts_receivable(
    id: &str,
    account: Option<&Account>,
    reference: &Reference,
    fields: &FieldSelection,
) -> v1::AccountsReceivable {
    use v1::accounts_receivable::LifeCycleState;
    let record = account.map(|account| &account.record);
    let state = record.map_or(LifeCycleState::Unspecified, |record| match record.life_cycle_state {
        AccountsReceivableState::Active => LifeCycleState::Active,
        AccountsReceivableState::Suspended => LifeCycleState::Suspended,
        AccountsReceivableState::Terminated => LifeCycleState::Terminated,
    });
    v1::AccountsReceivable {
        id: fields.value("id", || id.to_owned()),
        number: fields.value("number", || record?.number.clone()),
        name: fields.value("name", || record?.name.clone()),
        life_cycle_state: fields.value("life_cycle_state", || state.into()),
        account_owner: fields.boxed("account_owner", |fields| {
            let account = account?;
            match (&account.account_owner, &account.record.account_owner) {
                (Some(owner), _) => Some(contact_information(owner, reference, fields)),
                (None, Some(id)) => Some(v1::ContactInformation {
                    id: fields.value("id", || id.clone()),
                    ..v1::ContactInformation::default()
                }),
                (None, None) => None,
            }
        }),
    }
}

/// Returns the participant with an id. A participant that was not found has its id only.
pub(super) fn rewards_participant(
    id: &str,
    participant: Option<&Participant>,
    reference: &Reference,
    fields: &FieldSelection,
) -> v1::RewardsParticipant {
    use v1::rewards_participant::LifeCycleState;
    let record = participant.map(|participant| &participant.record);
    let state = record.and_then(|record| record.life_cycle_state).map_or(LifeCycleState::Unspecified, |s| match s {
        RewardsParticipantState::Effective => LifeCycleState::Effective,
        RewardsParticipantState::Terminated => LifeCycleState::Terminated,
    });
    v1::RewardsParticipant {
        id: fields.value("id", || id.to_owned()),
        number: fields.value("number", || record?.number.clone()),
        life_cycle_state: fields.value("life_cycle_state", || state.into()),
        accounts_receivable: fields.boxed("accounts_receivable", |fields| {
            let participant = participant?;
            let id = participant.record.accounts_receivable.as_ref()?;
            Some(accounts_receivable(id, participant.accounts_receivable.as_deref(), reference, fields))
        }),
    }
}
