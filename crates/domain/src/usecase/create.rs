//! Creates an access token.

use super::find::{check_account, check_participant, known_participant, single_account};
use super::{AccessTokens, Answer, udf};
use crate::model::access_token::{AccessToken, UserDefinedFields};
use crate::model::card;
use crate::model::directory::{AccountsReceivableState, RewardsParticipantState};
use crate::model::error::Violations;
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::{
    AccountsReceivableIdentifier, ClassificationIdentifier, RewardsParticipantIdentifier, TokenKey,
};
use crate::model::life_cycle::LifeCycleState;
use crate::model::policy::{Creation, Policy};
use crate::model::secret::Secret;
use crate::model::session::{Caller, OrganisationKey, Permission};
use crate::ports::HashWork;
use crate::ports::notification::{Notification, NotificationKind};
use crate::ports::store::{
    FoundOwners, FoundToken, OwnerKey, Owners, Sequence, Store, StoreError, StoreResult, Transaction, Unique,
};
use crate::{Error, Reason, Result};
use std::sync::Arc;

/// Maximum number of attempts to create a number or code that is not in use.
const MAX_NUMBER_ATTEMPTS: usize = 8;

/// The codes that the policy creates, because the caller did not give them.
#[derive(Clone, Copy)]
struct Made {
    authentication_code: bool,
    identifier: bool,
}

/// Maximum number of attempts to write a token under a limit per owner, when each ends in a deadlock.
const MAX_LIMIT_ATTEMPTS: usize = 4;

/// A request for a new token.
#[derive(Clone, Default)]
pub struct CreateToken {
    /// Authentication code. `None`: the policy creates it.
    pub authentication_code: Option<String>,
    /// Identifier.
    pub identifier: Option<String>,
    /// Pass code.
    pub pass_code: Option<Secret>,
    /// Masked card number.
    pub card_masked_number: Option<String>,
    /// User defined fields.
    pub udf: UserDefinedFields,
    /// Account that owns the token.
    pub accounts_receivable: Option<AccountsReceivableIdentifier>,
    /// Member that owns the token.
    pub rewards_participant: Option<RewardsParticipantIdentifier>,
    /// Classification.
    pub classification: Option<ClassificationIdentifier>,
}

impl<S: Store> AccessTokens<S> {
    /// Creates a token. It is EFFECTIVE, or PENDING_VERIFICATION if the policy requires verification.
    pub async fn create(&self, caller: &Caller, mut request: CreateToken, fields: &FieldSelection) -> Result<Answer> {
        caller.require(Permission::AccessTokensWrite)?;
        let (account, participant) = (request.accounts_receivable.as_ref(), request.rewards_participant.as_ref());
        let found = self.store.find_owners(caller.organisation, account, participant).await?;
        let reference = Arc::clone(&found.reference);
        let classification = match &request.classification {
            Some(identifier) => Some(reference.classification(identifier)?.id.clone()),
            None => None,
        };
        let policy = reference.policy(classification.as_deref());
        check(&request, policy)?;
        let owners = owners(&request, found)?;
        let has_owner = owners.accounts_receivable.is_some() || owners.rewards_participant.is_some();
        let creates_pass_code = policy.pass_code.creation != Creation::None && request.pass_code.is_none();
        if creates_pass_code && !has_owner {
            let text = "the policy creates the pass code, which has to reach an owner";
            return Err(Error::new(Reason::OwnerRequired, text));
        }

        let organisation = caller.organisation;
        if let Some(code) = &mut request.authentication_code {
            *code = self.normalised(organisation, TokenKey::AuthenticationCode(code), None).await?;
        }
        if let Some(identifier) = &mut request.identifier {
            *identifier = self.normalised(organisation, TokenKey::Identifier(identifier), None).await?;
        }
        let now = self.clock.now();
        let stamp = caller.stamp(&reference, now);
        let id = uuid_v7(now, self.random.as_ref())?;
        let made = Made {
            authentication_code: request.authentication_code.is_none(),
            identifier: request.identifier.is_none(),
        };
        let generated = |given: Option<String>, rules, sequence| async move {
            match given {
                Some(text) => Ok(Some(text)),
                None => self.generate(organisation, rules, sequence).await,
            }
        };
        let authentication_code =
            generated(request.authentication_code, &policy.authentication_code, Sequence::AuthenticationCode).await?;
        let identifier = generated(request.identifier, &policy.identifier, Sequence::Identifier).await?;
        if let Some(pass_code) = &request.pass_code {
            let names = authentication_code.as_deref().into_iter().chain(identifier.as_deref());
            Error::of_check("pass_code", policy.check_pass_code(pass_code.expose(), names))?;
        }
        let created_pass_code = creates_pass_code.then(|| policy.pass_code.random(self.random.as_ref())).transpose()?;
        let pass_code = match request.pass_code.as_ref().or(created_pass_code.as_ref()) {
            Some(secret) => Some(self.secrets.hash(HashWork::call(caller.organisation), secret.clone()).await?),
            None => None,
        };
        let (life_cycle_state, verification) = if policy.verification_required {
            let (_, kept) = self.issue_verification_code(&id, policy)?;
            (LifeCycleState::PendingVerification, Some(kept))
        } else {
            (LifeCycleState::Effective, None)
        };
        let mut token = AccessToken {
            id,
            number: String::new(),
            life_cycle_state,
            life_cycle_state_date: Some(now),
            authentication_code: authentication_code
                .ok_or_else(|| Error::internal("a missing authentication code passed the check"))?,
            identifier,
            pass_code,
            verification,
            one_time_password: None,
            verified_date: None,
            verified_by_user: None,
            card_masked_number: request.card_masked_number,
            udf: request.udf,
            accounts_receivable: owners.accounts_receivable.as_ref().map(|a| a.record.id.clone()),
            rewards_participant: owners.rewards_participant.as_ref().map(|p| p.record.id.clone()),
            classification,
            created: stamp.clone(),
            updated: stamp,
        };
        self.insert(organisation, &reference.organisation.number_prefix, policy, made, &mut token).await?;
        if let Some(pass_code) = created_pass_code {
            // Only the notification contains the pass code that the policy created.
            let (kind, organisation) = (NotificationKind::PassCodeCreated, &reference.organisation.id);
            self.notifier.notify(Notification::about(kind, organisation, &token, pass_code, None));
        }
        let owners = Owners {
            accounts_receivable: owners.accounts_receivable.filter(|_| fields.contains("accounts_receivable")),
            rewards_participant: owners.rewards_participant.filter(|_| fields.contains("rewards_participant")),
        };
        self.answer(caller, FoundToken { token, owners, reference }, fields)
    }

    /// Writes the token with the next free number. Created values that turn out to be in use are created again.
    async fn insert(
        &self,
        organisation: OrganisationKey,
        prefix: &str,
        policy: &Policy,
        made: Made,
        token: &mut AccessToken,
    ) -> Result<()> {
        let store = self.store.as_ref();
        for _ in 0..MAX_NUMBER_ATTEMPTS {
            let number = self.numbers.next(store, organisation, Sequence::TokenNumber, prefix).await?;
            token.number = format!("{prefix}{number:010}");
            let inserted = match policy.max_per_owner {
                Some(max) => self.insert_within_limit(organisation, token, max).await?,
                None => self.store.insert_token(organisation, token).await,
            };
            match inserted {
                Ok(()) => return Ok(()),
                Err(StoreError::Duplicate(Unique::TokenNumber)) => {
                    self.numbers.discard_and_realign(store, organisation, Sequence::TokenNumber, prefix).await?;
                }
                Err(StoreError::Duplicate(Unique::AuthenticationCode)) if made.authentication_code => {
                    let (rules, sequence) = (&policy.authentication_code, Sequence::AuthenticationCode);
                    self.skip_taken_numbers(organisation, rules, sequence).await?;
                    let code = self.generate(organisation, rules, sequence).await?;
                    token.authentication_code = code.unwrap_or_default();
                }
                Err(StoreError::Duplicate(Unique::Identifier)) if made.identifier => {
                    self.skip_taken_numbers(organisation, &policy.identifier, Sequence::Identifier).await?;
                    token.identifier = self.generate(organisation, &policy.identifier, Sequence::Identifier).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(Reason::Conflict, "no free number was found; try again"))
    }

    /// Counts the tokens of the owner and writes one more, in one transaction. PostgreSQL may abort that transaction to
    /// end a deadlock, for example with an import. Nothing was written then, and the transaction is repeated.
    async fn insert_within_limit(
        &self,
        organisation: OrganisationKey,
        token: &AccessToken,
        max: u32,
    ) -> Result<StoreResult<()>> {
        let mut attempt = 1;
        loop {
            let mut transaction = self.store.begin().await?;
            check_owner_limit(&mut transaction, organisation, token, max).await?;
            let inserted = match transaction.insert_token(organisation, token).await {
                Ok(()) => transaction.commit().await,
                failed => failed,
            };
            match inserted {
                Err(StoreError::Conflict(_)) if attempt < MAX_LIMIT_ATTEMPTS => attempt += 1,
                inserted => return Ok(inserted),
            }
        }
    }
}

/// Checks rules 1 to 3 of a creation, and the limits. The error names all fields at fault.
fn check(request: &CreateToken, policy: &Policy) -> Result<()> {
    let mut violations = Violations::default();
    let mut required = |field, what: &str| violations.add(Reason::RequiredFieldMissing, field, what);
    if request.authentication_code.is_none() && policy.authentication_code.creation == Creation::None {
        required("authentication_code", "is required, since the policy does not create it");
    }
    let no_identifier = request.identifier.is_none() && policy.identifier.creation == Creation::None;
    if no_identifier && !policy.allow_without_identifier_and_pass_code {
        required("identifier", "is required by the policy");
    }
    let no_pass_code = request.pass_code.is_none() && policy.pass_code.creation == Creation::None;
    if no_pass_code && !no_identifier {
        required("pass_code", "is required with an identifier");
    } else if no_pass_code && !policy.allow_without_identifier_and_pass_code {
        required("pass_code", "is required by the policy");
    }
    if let Some(code) = &request.authentication_code {
        violations.check("authentication_code", policy.authentication_code.check(code));
    }
    if let Some(identifier) = &request.identifier {
        violations.check("identifier", policy.identifier.check(identifier));
    }
    if let Some(pass_code) = &request.pass_code {
        let names = request.authentication_code.as_deref().into_iter().chain(request.identifier.as_deref());
        violations.check("pass_code", policy.check_pass_code(pass_code.expose(), names));
    }
    if let Some(masked) = &request.card_masked_number {
        violations.check("card_masked_number", card::check(masked));
    }
    violations.extend(udf::check(request.udf.strings.iter().map(Option::as_deref), request.udf.floats));
    violations.into_result()
}

/// Returns the owners, if they exist and belong together.
fn owners(request: &CreateToken, found: FoundOwners) -> Result<Owners> {
    let mut owners = Owners::default();
    if let Some(identifier) = &request.accounts_receivable {
        check_account(identifier)?;
        let account = single_account(found.accounts)?;
        if account.record.life_cycle_state == AccountsReceivableState::Terminated {
            return Err(terminated("accounts_receivable_identifier", "the accounts receivable is TERMINATED"));
        }
        owners.accounts_receivable = Some(account);
    }
    if let Some(identifier) = &request.rewards_participant {
        check_participant(identifier)?;
        let participant = known_participant(found.participant)?;
        if participant.record.life_cycle_state == Some(RewardsParticipantState::Terminated) {
            return Err(terminated("rewards_participant_identifier", "the rewards participant is TERMINATED"));
        }
        owners.rewards_participant = Some(participant);
    }
    if let (Some(account), Some(participant)) = (&owners.accounts_receivable, &owners.rewards_participant)
        && participant.record.accounts_receivable.as_ref() != Some(&account.record.id)
    {
        let text = "is not owned by the accounts receivable";
        return Err(Error::field(Reason::OwnerMismatch, "rewards_participant_identifier", text));
    }
    Ok(owners)
}

/// Returns the error of a terminated owner (decision D5).
fn terminated(field: &str, text: &str) -> Error {
    Error::field(Reason::OwnerTerminated, field, text)
}

/// Enforces `max_per_owner`, which counts the tokens that the same policy governs.
async fn check_owner_limit<T: Transaction>(
    transaction: &mut T,
    organisation: OrganisationKey,
    token: &AccessToken,
    max: u32,
) -> Result<()> {
    let account = token.accounts_receivable.as_deref().map(OwnerKey::AccountsReceivable);
    let participant = token.rewards_participant.as_deref().map(OwnerKey::RewardsParticipant);
    for owner in [account, participant].into_iter().flatten() {
        let count = transaction.count_tokens_exclusively(organisation, owner, token.classification.as_deref()).await?;
        if count >= u64::from(max) {
            let text = format!("the owner already has {count} access token(s), the policy allows {max}");
            return Err(Error::new(Reason::OwnerLimitReached, text).with("max_per_owner", max.to_string()));
        }
    }
    Ok(())
}

/// Returns a UUIDv7 as 32 upper-case hex digits. Such ids ascend with the time of creation.
fn uuid_v7(now: crate::model::time::Timestamp, random: &dyn crate::ports::Random) -> Result<String> {
    let mut bytes = [0u8; 10];
    random.fill(&mut bytes)?;
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    Ok(format!("{:X}", uuid.simple()))
}
