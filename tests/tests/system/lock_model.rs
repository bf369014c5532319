//! The state machine of locks against a plain implementation of its rules, over random sequences.

use access_tokens_domain::attempts::Attempts;
use access_tokens_domain::policy::LockPolicy;
use access_tokens_domain::time::Timestamp;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::plain_lock::{DAY, Moment, PlainLock};

/// An event of one kind of secret.
#[derive(Clone, Debug)]
enum Event {
    Wrong,
    Right,
    /// An attempt was counted and not compared, because the queue of the hasher was full.
    Withdrawn,
    /// A client with `access_tokens.secrets` unlocks.
    Unlocked,
    /// The owner proves another secret, or a client without `access_tokens.secrets` unlocks.
    Forgiven,
    /// This number of seconds passes.
    Wait(u32),
    /// Time passes until just before, or just at, the end of the lock.
    WaitForTheLock {
        too_early: bool,
    },
}

#[derive(Clone, Debug)]
struct Model {
    lock: PlainLock,
    /// Times of wrong comparisons since a client with `access_tokens.secrets` unlocked last.
    wrong: Vec<Moment>,
    now: Moment,
    policy: LockPolicy,
}

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = Model;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Model> {
        let policy = (1u32..8, 1u32..2_000, 1u32..100_000, 1u32..30, 1u32..40).prop_map(
            |(attempts, seconds, max_seconds, hard_limit, attempts_per_day)| LockPolicy {
                attempts,
                seconds,
                max_seconds,
                hard_limit,
                attempts_per_day,
            },
        );
        let policy = prop_oneof![Just(LockPolicy::default()), policy];
        policy
            .prop_map(|policy| Model {
                lock: PlainLock::default(),
                wrong: Vec::new(),
                now: 1_700_000_000_000_000,
                policy,
            })
            .boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Event> {
        prop_oneof![
            12 => Just(Event::Wrong),
            2 => Just(Event::Right),
            2 => Just(Event::Withdrawn),
            1 => Just(Event::Unlocked),
            1 => Just(Event::Forgiven),
            3 => (0u32..4_000).prop_map(Event::Wait),
            1 => (80_000u32..200_000).prop_map(Event::Wait),
            4 => any::<bool>().prop_map(|too_early| Event::WaitForTheLock { too_early }),
        ]
        .boxed()
    }

    fn apply(mut model: Model, event: &Event) -> Model {
        match event {
            Event::Wrong => {
                if model.lock.attempt(&model.policy, model.now, false) {
                    model.wrong.push(model.now);
                }
            }
            Event::Right => _ = model.lock.attempt(&model.policy, model.now, true),
            Event::Withdrawn => {}
            Event::Unlocked => {
                model.lock.unlock();
                model.wrong.clear();
            }
            Event::Forgiven => model.lock.forgive(),
            Event::Wait(seconds) => model.now += Moment::from(*seconds) * 1_000_000,
            Event::WaitForTheLock { too_early } => model.now = model.lock_ends(*too_early),
        }
        model
    }
}

impl Model {
    fn lock_ends(&self, too_early: bool) -> Moment {
        self.lock.locked_until().map_or(self.now, |until| (until - Moment::from(too_early)).max(self.now))
    }
}

/// The system under test and its time.
struct Real {
    attempts: Attempts,
    policy: LockPolicy,
}

fn time(now: Moment) -> Timestamp {
    Timestamp::from_timestamp_micros(now).expect("a time")
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Machine;

    fn init_test(model: &Model) -> Self {
        Self { attempts: Attempts::default(), policy: model.policy }
    }

    fn apply(mut real: Self, model: &Model, event: Event) -> Self {
        let now = time(model.now);
        let counted = real.attempts.admit(&real.policy, now, None);
        match (event, counted) {
            (Event::Wrong, Ok(next)) => real.attempts = next,
            (Event::Right, Ok(next)) => real.attempts = next.succeeded(&real.policy, now),
            (Event::Withdrawn, Ok(next)) => {
                let before = real.attempts.lock(&real.policy, now);
                real.attempts = next.withdrawn(&real.policy, now);
                assert_eq!(real.attempts.lock(&real.policy, now), before);
            }
            (Event::Unlocked, _) => real.attempts = real.attempts.unlocked(),
            (Event::Forgiven, _) => real.attempts = real.attempts.series_ended(),
            _ => {}
        }
        real
    }

    fn check_invariants(real: &Self, model: &Model) {
        let lock = real.attempts.lock(&real.policy, time(model.now));
        assert_eq!(lock.is_none(), model.lock.is_open(&model.policy, model.now), "{lock:?}");
        if let Some(until) = lock.and_then(|lock| lock.until) {
            assert!(until > time(model.now), "a lock ends later than now");
        }
        let day = model.wrong.iter().filter(|at| model.now - **at < DAY);
        assert!(day.count() <= model.policy.attempts_per_day as usize, "more guesses a day than the policy allows");
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lock_does_what_its_rules_say(sequential 1..120 => Real);
}
