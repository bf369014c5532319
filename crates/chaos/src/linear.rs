//! The state machine of a token as a sequential specification, and histories to compare with it.

use std::sync::{Mutex, PoisonError};

use access_tokens_testkit::app::Client;
use serde_json::{Value, json};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::outcome::Outcome;

/// The states of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for its verification code.
    Pending,
    /// It is on.
    Effective,
    /// It is off.
    NotEffective,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// SetAsEffective.
    On,
    /// SetAsNotEffective.
    Off,
    /// VerifyAccessToken, with the right code.
    Verify,
    /// ShowAccessToken.
    Show,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ret {
    /// It was done, or shown, and this is the state now.
    Done(State),
    /// It was refused because of this state.
    Wrong(State),
    /// It was refused because of others who call: nothing was done.
    Busy,
    /// Something that no token does.
    Odd(String),
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Pending, Self::Effective, Self::NotEffective];

    /// The documented name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING_VERIFICATION",
            Self::Effective => "EFFECTIVE",
            Self::NotEffective => "NOT_EFFECTIVE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl SequentialSpec for State {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        let (from, to) = match op {
            Op::Show => return Ret::Done(*self),
            Op::On => (Self::NotEffective, Self::Effective),
            Op::Off => (Self::Effective, Self::NotEffective),
            Op::Verify => (Self::Pending, Self::Effective),
        };
        if *self != from {
            return Ret::Wrong(*self);
        }
        *self = to;
        Ret::Done(to)
    }

    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        *ret == Ret::Busy || self.invoke(op) == *ret
    }
}

/// What several clients saw of one token. A call without an outcome stays open for ever, and its client goes on under
/// another name.
pub(crate) struct History {
    tester: Mutex<LinearizabilityTester<u64, State>>,
    key: String,
    code: String,
}

/// A client of a history.
pub(crate) struct Observer {
    /// How it is known; unique in the history, and changed when a call has no outcome.
    pub(crate) name: u64,
    /// How it calls.
    pub(crate) client: Client,
}

/// Names of one client are so far apart from those of the next.
pub(crate) const NAMES: u64 = 1_000;

impl History {
    /// Of a new token.
    pub(crate) fn new(key: String, code: String, state: State) -> Self {
        Self { tester: Mutex::new(LinearizabilityTester::new(state)), key, code }
    }

    /// Makes one call. Answers whether its outcome is known.
    pub(crate) async fn step(&self, observer: &mut Observer, op: Op) -> bool {
        let tester = || self.tester.lock().unwrap_or_else(PoisonError::into_inner);
        // An invalid history shows in the end.
        let _ = tester().on_invoke(observer.name, op);
        match self.call(&observer.client, op).await {
            Some(ret) => {
                let _ = tester().on_return(observer.name, ret);
                true
            }
            None => {
                observer.name += 1;
                false
            }
        }
    }

    async fn call(&self, client: &Client, op: Op) -> Option<Ret> {
        let token = json!({"authentication_code": self.key});
        let mut request = json!({"access_token_identifier": token, "fields_set": "life_cycle_state"});
        let method = match op {
            Op::On => "SetAsEffective",
            Op::Off => "SetAsNotEffective",
            Op::Show => "ShowAccessToken",
            Op::Verify => {
                request["verification_code"] = json!(self.code);
                "VerifyAccessToken"
            }
        };
        let refusal = match client.try_call(method, request).await {
            Ok(answer) => return Some(done(op, &answer)),
            Err(refusal) => refusal,
        };
        match Outcome::of(&refusal) {
            Outcome::Refused(reason) => Some(match reason.as_str() {
                "WRONG_LIFE_CYCLE_STATE" => State::from_name(&refusal.metadata("life_cycle_state"))
                    .map_or_else(|| Ret::Odd(refusal.text()), Ret::Wrong),
                "CONFLICT" | "OVERLOADED" => Ret::Busy,
                _ => Ret::Odd(refusal.text()),
            }),
            _ => None,
        }
    }

    /// Is there an order of all calls that explains every answer?
    pub(crate) fn is_linearizable(&self) -> bool {
        self.tester.lock().unwrap_or_else(PoisonError::into_inner).is_consistent()
    }

    /// For the report.
    pub(crate) fn text(&self) -> String {
        let tester = self.tester.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}: {tester:?}", self.key).chars().take(4_000).collect()
    }

    /// How many calls it has.
    pub(crate) fn len(&self) -> usize {
        self.tester.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// An answer that shows no state, as of somebody who makes it up, is taken at its word.
fn done(op: Op, answer: &Value) -> Ret {
    let promised = match op {
        Op::Off => Some(State::NotEffective),
        Op::On | Op::Verify => Some(State::Effective),
        Op::Show => None,
    };
    let shown = answer["life_cycle_state"].as_str().and_then(State::from_name);
    shown.or(promised).map_or_else(|| Ret::Odd(answer.to_string()), Ret::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tester = LinearizabilityTester<u64, State>;

    #[test]
    fn of_two_who_switch_off_one_succeeds() {
        let both = |second: Ret| {
            let mut tester = Tester::new(State::Effective);
            tester.on_invoke(1, Op::Off).and_then(|t| t.on_invoke(2, Op::Off)).expect("valid");
            let done = Ret::Done(State::NotEffective);
            tester.on_return(1, done).and_then(|t| t.on_return(2, second)).expect("valid").is_consistent()
        };
        assert!(both(Ret::Wrong(State::NotEffective)) && both(Ret::Busy));
        assert!(!both(Ret::Done(State::NotEffective)) && !both(Ret::Odd(String::new())));
    }

    #[test]
    fn a_call_without_an_outcome_explains_what_others_saw_later_but_not_twice() {
        let mut tester = Tester::new(State::Pending);
        tester.on_invoke(1, Op::Verify).expect("valid");
        tester.on_invret(2, Op::Show, Ret::Done(State::Pending)).expect("valid");
        assert!(tester.clone().on_invret(3, Op::Show, Ret::Done(State::Effective)).expect("valid").is_consistent());
        tester.on_invret(3, Op::Show, Ret::Done(State::NotEffective)).expect("valid");
        assert!(!tester.is_consistent());
    }

    #[test]
    fn what_was_done_is_seen_by_whoever_looks_later() {
        let mut tester = Tester::new(State::NotEffective);
        tester.on_invret(1, Op::On, Ret::Done(State::Effective)).expect("valid");
        tester.on_invret(2, Op::Show, Ret::Done(State::NotEffective)).expect("valid");
        assert!(!tester.is_consistent());
    }
}
