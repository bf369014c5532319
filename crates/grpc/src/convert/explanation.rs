//! Explanations of access tokens, and guess budgets, which say how well policies protect secrets.

use access_tokens_domain::field_selection::FieldSelection;
use std::collections::BTreeMap;

use access_tokens_domain::attempts::{Attempt, LockCause, SecretKind};
use access_tokens_domain::guess_budget::{SecretBudget, WeakSecrets};
use access_tokens_domain::service::{
    Action, Explanation, Obstacle, ObstacleKind, PolicyBudget, SecretReport, Use as WayOfUse,
};
use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token::SecretKind as WireKind;
use access_tokens_proto::v1::lock::{self, Cause};
use access_tokens_proto::v1::obstacle::{Kind, Use};

use super::{time, token};

/// Returns the explanation of one token.
pub(crate) fn explanation(found: Explanation, fields: &FieldSelection) -> v1::ExplainAccessTokenResponse {
    let Explanation { answer, now, obstacles, secrets, actions, budget } = found;
    v1::ExplainAccessTokenResponse {
        access_token: fields.nested("access_token", |fields| Some(token::access_token(answer, fields))),
        explained_date: fields.value("explained_date", || Some(time::to_wire(now))),
        usable: fields.value("usable", || Some(obstacles.is_empty())),
        obstacles: fields.value("obstacles", || obstacles.iter().map(obstacle).collect()),
        locks_disclosed: fields.value("locks_disclosed", || Some(secrets.is_some())),
        secrets: fields.value("secrets", || secrets.iter().flatten().map(secret).collect()),
        actions: fields.value("actions", || actions.iter().map(action).collect()),
        guess_budget: fields.nested("guess_budget", |fields| Some(guess_budget(&budget, fields))),
    }
}

/// Returns the guess budget of one policy.
pub(crate) fn guess_budget(found: &PolicyBudget, fields: &FieldSelection) -> v1::GuessBudget {
    let PolicyBudget { classification, name, budget, limit, weak_secrets } = found;
    v1::GuessBudget {
        classification_id: fields.value("classification_id", || classification.clone()),
        classification_name: fields.value("classification_name", || name.clone()),
        chance_per_day: fields.value("chance_per_day", || budget.chance()),
        limit: fields.value("limit", || *limit),
        secrets: fields
            .value("secrets", || budget.secrets.iter().map(|one| secret_budget(one, weak_secrets.as_ref())).collect()),
        arithmetic: fields.value("arithmetic", || budget.arithmetic()),
        chosen_codes_bounded: fields.value("chosen_codes_bounded", || Some(budget.chosen_codes_bounded)),
    }
}

fn secret_budget(budget: &SecretBudget, weak_secrets: Option<&BTreeMap<SecretKind, WeakSecrets>>) -> v1::SecretBudget {
    let weak_secrets = weak_secrets.map(|weak_secrets| weak_secrets.get(&budget.kind).copied().unwrap_or_default());
    v1::SecretBudget {
        secret_kind: secret_kind(budget.kind).into(),
        guesses_per_day: integer(budget.guesses_per_day),
        // A value above the range of the type becomes the largest one, which JSON can represent.
        codes: budget.codes.min(f64::MAX),
        chance_per_day: budget.chance(),
        weaker_secrets: weak_secrets.map(|weak_secrets| i64::try_from(weak_secrets.count).unwrap_or(i64::MAX)),
        weaker_chance_per_day: weak_secrets.map(|weak_secrets| weak_secrets.chance),
    }
}

fn obstacle(found: &Obstacle) -> v1::Obstacle {
    let (kind, locked) = match found.kind {
        ObstacleKind::NotEffective => (Kind::NotEffective, None),
        ObstacleKind::PendingVerification => (Kind::PendingVerification, None),
        ObstacleKind::AccountsReceivableTerminated => (Kind::AccountsReceivableTerminated, None),
        ObstacleKind::RewardsParticipantTerminated => (Kind::RewardsParticipantTerminated, None),
        ObstacleKind::IdentifierMissing => (Kind::IdentifierMissing, None),
        ObstacleKind::PassCodeMissing => (Kind::PassCodeMissing, None),
        ObstacleKind::Locked(secret, _) => (Kind::Locked, Some(secret)),
    };
    v1::Obstacle {
        kind: kind.into(),
        secret_kind: locked.map_or(WireKind::Unspecified, secret_kind).into(),
        affects: found.affects.iter().map(|affected| way_of_use(*affected).into()).collect(),
        since: found.since.map(time::to_wire),
        until: found.until.map(time::to_wire),
        mended_by: found.mended_by.map(str::to_owned),
        description: found.description.clone(),
    }
}

fn secret(found: &SecretReport) -> v1::SecretStatus {
    let SecretReport { kind, set, expiration_date, lock: _, attempts } = found;
    v1::SecretStatus {
        secret_kind: secret_kind(*kind).into(),
        set: Some(*set),
        expiration_date: expiration_date.map(time::to_wire),
        lock: Some(lock(found)),
        refused_attempts: Some(attempts.refused.into()),
        last_refused_date: attempts.last_refused.map(time::to_wire),
        recent_attempts: attempts.recent.iter().map(attempt).collect(),
    }
}

fn lock(found: &SecretReport) -> v1::Lock {
    let until = found.lock.and_then(|lock| lock.until);
    let state = match (found.lock, until) {
        (None, _) => lock::State::Open,
        (Some(_), Some(_)) => lock::State::Locked,
        (Some(_), None) => lock::State::LockedUntilUnlocked,
    };
    let cause = found.lock.map_or(Cause::Unspecified, |lock| match lock.cause {
        LockCause::AttemptsInARow => Cause::AttemptsInARow,
        LockCause::AttemptsPerDay => Cause::AttemptsPerDay,
        LockCause::HardLimit => Cause::HardLimit,
    });
    v1::Lock {
        state: state.into(),
        cause: cause.into(),
        failed_attempts: Some(integer(found.attempts.in_a_row)),
        locked_until: until.map(time::to_wire),
    }
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt { date: Some(time::to_wire(attempt.at)), right: Some(attempt.right), user_id: attempt.user.clone() }
}

fn action(action: &Action) -> v1::Action {
    v1::Action { method: action.method.to_owned(), permission: action.permission.name().to_owned() }
}

fn secret_kind(kind: SecretKind) -> WireKind {
    match kind {
        SecretKind::PassCode => WireKind::PassCode,
        SecretKind::VerificationCode => WireKind::VerificationCode,
        SecretKind::OneTimePassword => WireKind::OneTimePassword,
    }
}

fn way_of_use(way: WayOfUse) -> Use {
    match way {
        WayOfUse::AuthenticationCode => Use::AuthenticationCode,
        WayOfUse::PassCode => Use::PassCode,
        WayOfUse::OneTimePassword => Use::OneTimePassword,
    }
}

/// Converts a count. Every count within the limits of policies fits.
fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::attempts::{Attempts, Lock};
    use access_tokens_domain::directory::ContactType;
    use access_tokens_domain::guess_budget::GuessBudget;
    use access_tokens_domain::policy::{CodePolicy, Policy};
    use access_tokens_domain::session::Permission;
    use access_tokens_proto::fields::select;
    use chrono::{DateTime, Duration};
    use prost::Name;
    use prost_types::{FieldMask, Timestamp};

    use super::super::tests::{answer, fields};
    use super::*;

    const AT: Timestamp = Timestamp { seconds: 60, nanos: 0 };

    fn budget() -> PolicyBudget {
        let (classification, name) = (Some("K".to_owned()), Some("Mobile".to_owned()));
        PolicyBudget {
            classification,
            name,
            budget: GuessBudget::of(&Policy::default()),
            limit: 1e-3,
            weak_secrets: None,
        }
    }

    fn report(kind: SecretKind, lock: Option<Lock>) -> SecretReport {
        let at = DateTime::UNIX_EPOCH + Duration::seconds(60);
        let attempt = Attempt { at, right: false, user: Some("1".to_owned()) };
        let attempts =
            Attempts { in_a_row: 5, refused: 7, last_refused: Some(at), recent: vec![attempt], ..Attempts::default() };
        SecretReport { kind, set: true, expiration_date: Some(at), lock, attempts }
    }

    fn explained(disclosed: bool) -> Explanation {
        let at = Some(DateTime::UNIX_EPOCH + Duration::seconds(60));
        let locks = [
            Some(Lock { cause: LockCause::AttemptsInARow, until: at }),
            Some(Lock { cause: LockCause::HardLimit, until: None }),
            None,
        ];
        let secrets = SecretKind::ALL.into_iter().zip(locks).map(|(kind, lock)| report(kind, lock)).collect();
        let obstacle = Obstacle {
            kind: ObstacleKind::Locked(SecretKind::PassCode, LockCause::AttemptsInARow),
            affects: vec![WayOfUse::AuthenticationCode, WayOfUse::PassCode, WayOfUse::OneTimePassword],
            since: at,
            until: at,
            mended_by: Some("UnlockAccessToken"),
            description: "in words".to_owned(),
        };
        let terminated = Obstacle {
            kind: ObstacleKind::RewardsParticipantTerminated,
            since: None,
            until: None,
            mended_by: None,
            ..obstacle.clone()
        };
        Explanation {
            answer: answer(true, ContactType::Person),
            now: DateTime::UNIX_EPOCH,
            obstacles: vec![obstacle, terminated],
            secrets: Some(secrets).filter(|_| disclosed),
            actions: vec![Action { method: "SetAsEffective", permission: Permission::AccessTokensWrite }],
            budget: budget(),
        }
    }

    #[test]
    fn locks_and_obstacles_are_told_in_full() {
        let found = explanation(explained(true), &FieldSelection::All);
        assert_eq!((found.usable, found.locks_disclosed), (Some(false), Some(true)));
        assert_eq!(found.access_token.expect("there").number, "AT0000000001");
        let [locked, terminated] = found.obstacles.as_slice() else { panic!("{:?}", found.obstacles) };
        assert_eq!((locked.kind(), locked.secret_kind()), (Kind::Locked, WireKind::PassCode));
        let uses: Vec<_> = locked.affects().collect();
        assert_eq!(uses, [Use::AuthenticationCode, Use::PassCode, Use::OneTimePassword]);
        assert_eq!((locked.since, locked.until), (Some(AT), Some(AT)));
        assert_eq!(locked.mended_by.as_deref(), Some("UnlockAccessToken"));
        let unspecified = (Kind::RewardsParticipantTerminated, WireKind::Unspecified);
        assert_eq!((terminated.kind(), terminated.secret_kind()), unspecified);
        assert_eq!((terminated.since, terminated.until, terminated.mended_by.as_ref()), (None, None, None));
        let locks: Vec<_> = found.secrets.iter().map(|secret| secret.lock.expect("always there")).collect();
        let lock = |state: lock::State, cause: Cause, locked_until| v1::Lock {
            state: state.into(),
            cause: cause.into(),
            failed_attempts: Some(5),
            locked_until,
        };
        let expected = [
            lock(lock::State::Locked, Cause::AttemptsInARow, Some(AT)),
            lock(lock::State::LockedUntilUnlocked, Cause::HardLimit, None),
            lock(lock::State::Open, Cause::Unspecified, None),
        ];
        assert_eq!(locks, expected);
        let kinds: Vec<_> = found.secrets.iter().map(v1::SecretStatus::secret_kind).collect();
        assert_eq!(kinds, [WireKind::PassCode, WireKind::VerificationCode, WireKind::OneTimePassword]);
        let first = &found.secrets[0];
        assert_eq!(
            (first.refused_attempts, first.last_refused_date, first.expiration_date),
            (Some(7), Some(AT), Some(AT))
        );
        let attempt = v1::Attempt { date: Some(AT), right: Some(false), user_id: Some("1".to_owned()) };
        assert_eq!(first.recent_attempts, [attempt]);
        assert_eq!(found.actions[0].permission, "access_tokens.write");
    }

    #[test]
    fn what_is_not_disclosed_is_not_there() {
        let found = explanation(explained(false), &FieldSelection::All);
        assert_eq!((found.locks_disclosed, found.secrets.len()), (Some(false), 0));
        let usable = Explanation { obstacles: Vec::new(), ..explained(false) };
        assert_eq!(explanation(usable, &FieldSelection::All).usable, Some(true));
    }

    /// Every field of the contract is answered: what the masks name is what appears, for each field alone.
    #[test]
    fn every_field_can_be_asked_for_alone() {
        let pool = access_tokens_proto::descriptor_pool();
        let names = |message: &str| {
            let message = pool.get_message_by_name(message).expect("the message");
            message.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>()
        };
        let whole = explanation(explained(true), &FieldSelection::All);
        for name in names(&v1::ExplainAccessTokenResponse::full_name()) {
            let alone = explanation(explained(true), &fields::<v1::ExplainAccessTokenResponse>(&[&name]));
            let expected = select(whole.clone(), &FieldMask { paths: vec![name.clone()] });
            assert_eq!(alone, expected, "{name}");
            assert!(alone != v1::ExplainAccessTokenResponse::default(), "{name}");
        }
        let whole = guess_budget(&budget(), &FieldSelection::All);
        for name in names(&v1::GuessBudget::full_name()) {
            let alone = guess_budget(&budget(), &fields::<v1::GuessBudget>(&[&name]));
            assert_eq!(alone, select(whole.clone(), &FieldMask { paths: vec![name.clone()] }), "{name}");
            assert_ne!(alone, v1::GuessBudget::default(), "{name}");
        }
    }

    #[test]
    fn numbers_beyond_numbers_are_the_largest_one() {
        let letters = CodePolicy { min_length: 256, min_letters: 256, ..CodePolicy::default() };
        let budget = GuessBudget::of(&Policy { pass_code: letters, ..Policy::default() });
        let found = guess_budget(&PolicyBudget { budget, ..self::budget() }, &FieldSelection::All);
        assert_eq!((found.secrets[0].codes, found.secrets[0].chance_per_day), (f64::MAX, 100.0 / f64::MAX));
        assert_eq!((found.secrets[1].codes, found.secrets[1].guesses_per_day), (1e6, 100));
    }
}
