//! Explains an access token: whether it can be used now, and if not, why, since when, until when, and which method
//! helps.

use std::collections::BTreeMap;

use super::guess_budgets::PolicyBudget;
use super::{AccessTokens, Answer};
use crate::Result;
use crate::model::access_token::AccessToken;
use crate::model::directory::{AccountsReceivableState, RewardsParticipantState};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::AccessTokenIdentifier;
use crate::model::life_cycle::LifeCycleState;
use crate::model::policy::Policy;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::model::time::Timestamp;
use crate::policy::attempts::{Attempts, Lock, LockCause};
use crate::policy::strength::Strength;
use crate::ports::store::{OwnerJoins, Owners, ReadOptions, Store};

/// The state of a token, as customer support needs it.
pub struct Explanation {
    /// The token.
    pub answer: Answer,
    /// Time of the explanation.
    pub now: Timestamp,
    /// Obstacles to a use of the token. Empty: there are none.
    pub obstacles: Vec<Obstacle>,
    /// Attempts and locks. `None` for callers without `access_tokens.secrets`, who do not learn of locks.
    pub secrets: Option<Vec<SecretReport>>,
    /// Methods that this caller may call with the token now.
    pub actions: Vec<Action>,
    /// The policy that applies, with the chance that it leaves to an attacker.
    pub budget: PolicyBudget,
}

/// A way in which a token is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The code is scanned or typed at a till.
    AuthenticationCode,
    /// A login with identifier and pass code.
    PassCode,
    /// A login with a one-time password.
    OneTimePassword,
}

const EVERY_USE: [Use; 3] = [Use::AuthenticationCode, Use::PassCode, Use::OneTimePassword];

/// An obstacle to a use of the token.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacle {
    /// Kind.
    pub kind: ObstacleKind,
    /// Uses of the token that the obstacle prevents.
    pub affects: Vec<Use>,
    /// Time at which the obstacle began, if it is known.
    pub since: Option<Timestamp>,
    /// Time at which the obstacle ends without a call. `None`: it does not.
    pub until: Option<Timestamp>,
    /// Method that removes it. `None`: no method of this service does.
    pub mended_by: Option<&'static str>,
    /// Description for people.
    pub description: String,
}

/// The kind of an obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The token was set as not effective.
    NotEffective,
    /// The token was never verified.
    PendingVerification,
    /// The account that owns it is terminated.
    AccountsReceivableTerminated,
    /// The member that owns it is terminated.
    RewardsParticipantTerminated,
    /// The policy requires an identifier, and there is none.
    IdentifierMissing,
    /// There is an identifier, but no pass code.
    PassCodeMissing,
    /// Too many wrong attempts at one kind of secret.
    Locked(SecretKind, LockCause),
}

/// A method that the caller may call with the token in its current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Name of the method.
    pub method: &'static str,
    /// Permission that it needs and that the caller has.
    pub permission: Permission,
}

/// The state of one kind of secret.
#[derive(Debug, Clone)]
pub struct SecretReport {
    /// Kind.
    pub kind: SecretKind,
    /// Whether there is a secret that can be presented.
    pub set: bool,
    /// Time from which the secret is no longer valid, if it expires.
    pub expiration_date: Option<Timestamp>,
    /// Lock, if there is one.
    pub lock: Option<Lock>,
    /// Counted attempts.
    pub attempts: Attempts,
}

impl Obstacle {
    fn new(
        kind: ObstacleKind,
        affects: Vec<Use>,
        mended_by: Option<&'static str>,
        description: impl Into<String>,
    ) -> Self {
        Self { kind, affects, since: None, until: None, mended_by, description: description.into() }
    }
}

impl<S: Store> AccessTokens<S> {
    /// Explains the token that the caller names.
    pub async fn explain(&self, caller: &Caller, identifier: &AccessTokenIdentifier) -> Result<Explanation> {
        caller.require(Permission::AccessTokensRead)?;
        let found = self.find(caller, identifier, OwnerJoins::ALL, ReadOptions::STRONG).await?;
        let disclosed = caller.permissions.contains(Permission::AccessTokensSecrets);
        let counted = match disclosed {
            true => self.store.all_attempts(caller.organisation, &found.token.id).await?,
            false => Vec::new(),
        };
        let answer = self.answer(caller, found, &FieldSelection::NONE)?;
        let now = self.clock.now();
        let (token, classification) = (&answer.token, answer.token.classification.as_deref());
        let policy = answer.reference.policy(classification);
        let secrets: Vec<_> = SecretKind::ALL
            .into_iter()
            .map(|kind| {
                let attempts = counted.iter().find(|(of, _)| *of == kind).map(|(_, entry)| entry.state.clone());
                report(kind, token, attempts.unwrap_or_default(), policy, now)
            })
            .collect();
        let mut obstacles = Vec::from_iter(obstacles_of_state(token));
        obstacles.extend(obstacles_of_owners(&answer.owners));
        obstacles.extend(obstacles_of_policy(token, policy));
        obstacles.extend(secrets.iter().filter_map(|secret| obstacle_of_lock(token, secret)));
        let locked = secrets.iter().any(|secret| secret.lock.is_some());
        let actions = actions(caller, token, locked, self.notifier.delivers(), now);
        let mut budget = PolicyBudget::of(&answer.reference, classification, self.max_guess_chance);
        if disclosed {
            let weak_secrets = budget.weak_secrets.insert(BTreeMap::new());
            for (kind, strength) in strengths(token) {
                weak_secrets.entry(kind).or_default().add(policy, kind, strength, 1);
            }
        }
        Ok(Explanation { now, obstacles, secrets: disclosed.then_some(secrets), actions, budget, answer })
    }
}

/// Returns the known strengths of the stored secrets of a token.
fn strengths(token: &AccessToken) -> impl Iterator<Item = (SecretKind, Strength)> {
    let pass_code = token.pass_code.as_ref().and_then(Strength::of_hash).map(|noted| (SecretKind::PassCode, noted));
    let pending = token.verification.as_ref().filter(|_| token.life_cycle_state == LifeCycleState::PendingVerification);
    let code = pending.and_then(|code| Strength::of_seal(&code.sealed));
    pass_code.into_iter().chain(code.map(|length| (SecretKind::VerificationCode, length)))
}

fn report(kind: SecretKind, token: &AccessToken, attempts: Attempts, policy: &Policy, now: Timestamp) -> SecretReport {
    let (set, expiration_date) = match kind {
        SecretKind::PassCode => (token.pass_code.is_some(), None),
        SecretKind::VerificationCode => {
            (token.verification.is_some() && token.life_cycle_state == LifeCycleState::PendingVerification, None)
        }
        SecretKind::OneTimePassword => {
            let expiration = token.one_time_password.as_ref().map(|code| code.expiration_date);
            (expiration.is_some_and(|at| at > now), expiration)
        }
    };
    SecretReport { kind, set, expiration_date, lock: attempts.lock(&policy.lock, now), attempts }
}

fn obstacles_of_state(token: &AccessToken) -> Option<Obstacle> {
    let (kind, mended_by, description) = match token.life_cycle_state {
        LifeCycleState::Effective => return None,
        LifeCycleState::NotEffective => {
            let text = "The access token was set as not effective. SetAsEffective makes it effective again.";
            (ObstacleKind::NotEffective, "SetAsEffective", text)
        }
        LifeCycleState::PendingVerification => {
            let text = "The access token waits for its verification code. VerifyAccessToken takes it; \
                        ResetVerificationCode issues another one.";
            (ObstacleKind::PendingVerification, "VerifyAccessToken", text)
        }
    };
    let obstacle = Obstacle::new(kind, EVERY_USE.to_vec(), Some(mended_by), description);
    Some(Obstacle { since: token.life_cycle_state_date, ..obstacle })
}

fn obstacles_of_owners(owners: &Owners) -> impl Iterator<Item = Obstacle> {
    let (account, member) = (owners.accounts_receivable.as_ref(), owners.rewards_participant.as_ref());
    let account = account.filter(|a| a.record.life_cycle_state == AccountsReceivableState::Terminated);
    let member = member.filter(|p| p.record.life_cycle_state == Some(RewardsParticipantState::Terminated));
    let terminated = [
        account.map(|_| (ObstacleKind::AccountsReceivableTerminated, "accounts receivable")),
        member.map(|_| (ObstacleKind::RewardsParticipantTerminated, "rewards participant")),
    ];
    terminated.into_iter().flatten().map(|(kind, what)| {
        let description = format!(
            "The {what} that owns the access token is TERMINATED. Another system decides this: import the {what} again \
             when it is no longer terminated, or give the customer an access token of another owner."
        );
        Obstacle::new(kind, EVERY_USE.to_vec(), None, description)
    })
}

fn obstacles_of_policy(token: &AccessToken, policy: &Policy) -> Option<Obstacle> {
    let (kind, mended_by, description) = match (&token.identifier, &token.pass_code) {
        (None, _) if !policy.allow_without_identifier_and_pass_code => {
            let text = "The policy requires an identifier and a pass code, and the access token has no identifier. \
                        UpdateAccessToken sets both.";
            (ObstacleKind::IdentifierMissing, "UpdateAccessToken", text)
        }
        (Some(_), None) => {
            let text = "The access token has an identifier but no pass code, so a login with it is not possible. \
                        ResetPassCode creates one.";
            (ObstacleKind::PassCodeMissing, "ResetPassCode", text)
        }
        _ => return None,
    };
    Some(Obstacle::new(kind, vec![Use::PassCode], Some(mended_by), description))
}

fn obstacle_of_lock(token: &AccessToken, secret: &SecretReport) -> Option<Obstacle> {
    let lock = secret.lock?;
    let (affects, what) = match secret.kind {
        SecretKind::PassCode => (vec![Use::PassCode], "pass code"),
        SecretKind::OneTimePassword => (vec![Use::OneTimePassword], "one-time password"),
        // A verified token does not need the code any more.
        SecretKind::VerificationCode if token.life_cycle_state == LifeCycleState::PendingVerification => {
            (EVERY_USE.to_vec(), "verification code")
        }
        SecretKind::VerificationCode => return None,
    };
    let count = secret.attempts.in_a_row;
    let why = match lock.cause {
        LockCause::AttemptsInARow => format!("after {count} wrong attempts in a row, for a limited time"),
        LockCause::AttemptsPerDay => "after too many wrong attempts in a day, for a limited time".to_owned(),
        LockCause::HardLimit => format!("after {count} wrong attempts in a row, until it is unlocked"),
    };
    let (kind, since) = (ObstacleKind::Locked(secret.kind, lock.cause), secret.attempts.recent.first());
    let description = format!("The {what} is locked {why}. UnlockAccessToken ends it early.");
    let obstacle = Obstacle::new(kind, affects, Some("UnlockAccessToken"), description);
    Some(Obstacle { since: since.map(|attempt| attempt.at), until: lock.until, ..obstacle })
}

/// Returns the methods that the caller may call with the token in its current state.
fn actions(caller: &Caller, token: &AccessToken, locked: bool, notifies: bool, now: Timestamp) -> Vec<Action> {
    use LifeCycleState::{Effective, NotEffective, PendingVerification};
    use Permission::{AccessTokensRead, AccessTokensSecrets, AccessTokensWrite};
    let is = |state| token.life_cycle_state == state;
    let live_otp = token.one_time_password.as_ref().is_some_and(|code| code.expiration_date > now);
    let all = [
        ("UpdateAccessToken", AccessTokensWrite, true),
        ("VerifyAccessToken", AccessTokensWrite, is(PendingVerification)),
        ("ResetVerificationCode", AccessTokensSecrets, is(PendingVerification)),
        ("SetAsEffective", AccessTokensWrite, is(NotEffective)),
        ("SetAsNotEffective", AccessTokensWrite, is(Effective)),
        ("CheckPassCode", AccessTokensRead, is(Effective) && token.pass_code.is_some()),
        ("ChangePassCode", AccessTokensWrite, is(Effective)),
        ("ForgotPassCode", AccessTokensWrite, is(Effective) && notifies),
        ("ResetPassCode", AccessTokensSecrets, is(Effective)),
        ("GenerateOtp", AccessTokensSecrets, is(Effective)),
        ("VerifyOtp", AccessTokensWrite, is(Effective) && live_otp),
        ("UnlockAccessToken", AccessTokensWrite, locked),
    ];
    let possible = all.into_iter().filter(|(_, permission, now)| *now && caller.permissions.contains(*permission));
    possible.map(|(method, permission, _)| Action { method, permission }).collect()
}
