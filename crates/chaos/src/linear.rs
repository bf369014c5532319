//! The state machine of a token as a sequential specification, and histories to compare with it.

use std::collections::HashMap;
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

/// Threads of calls without an outcome; above all clients.
const OPEN: u64 = 1_000_000;

/// What several clients saw of one token.
pub(crate) struct History {
    events: Mutex<Vec<Event>>,
    key: String,
    code: String,
    state: State,
}

/// A call begins, or its outcome is known. One without an outcome stays open for ever.
#[derive(Debug, Clone)]
enum Event {
    Invoke { client: u64, op: Op },
    Return { invoked: usize, ret: Ret },
}

impl History {
    /// Of a new token.
    pub(crate) fn new(key: String, code: String, state: State) -> Self {
        Self { events: Mutex::default(), key, code, state }
    }

    /// Makes one call. Answers whether its outcome is known.
    pub(crate) async fn step(&self, number: u64, client: &Client, op: Op) -> bool {
        let invoked = self.note(Event::Invoke { client: number, op });
        match self.call(client, op).await {
            Some(ret) => {
                self.note(Event::Return { invoked, ret });
                true
            }
            None => false,
        }
    }

    /// Answers which event it is.
    fn note(&self, event: Event) -> usize {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        events.len() - 1
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
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        is_linearizable(self.state, &events)
    }

    /// For the report.
    pub(crate) fn text(&self) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{} from {:?}: {events:?}", self.key, self.state)
    }

    /// How many calls it has.
    pub(crate) fn len(&self) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| matches!(event, Event::Invoke { .. })).count()
    }
}

/// The search has no memory, so what it tries first matters: calls without an outcome are threads of their own that come
/// last, and those that change nothing are left out.
fn is_linearizable(state: State, events: &[Event]) -> bool {
    let returned = |place| events.iter().any(|event| matches!(event, Event::Return { invoked, .. } if *invoked == place));
    let mut tester = LinearizabilityTester::new(state);
    let mut threads = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let valid = match event {
            Event::Invoke { op: Op::Show, .. } if !returned(place) => continue,
            Event::Invoke { client, op } => {
                let thread = if returned(place) { *client } else { OPEN + place as u64 };
                threads.insert(place, thread);
                tester.on_invoke(thread, *op).map(|_| ())
            }
            Event::Return { invoked, ret } => {
                let thread = threads.get(invoked).copied().unwrap_or_default();
                tester.on_return(thread, ret.clone()).map(|_| ())
            }
        };
        if valid.is_err() {
            return false;
        }
    }
    tester.is_consistent()
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

    /// Calls in their order. Those of different clients overlap where they stand in one row; `None` stays open.
    fn explained(state: State, rows: &[&[(u64, Op, Option<Ret>)]]) -> bool {
        let mut events = Vec::new();
        for row in rows {
            let first = events.len();
            events.extend(row.iter().map(|(client, op, _)| Event::Invoke { client: *client, op: *op }));
            for (place, (_, _, ret)) in row.iter().enumerate() {
                events.extend(ret.clone().map(|ret| Event::Return { invoked: first + place, ret }));
            }
        }
        is_linearizable(state, &events)
    }

    const ON: Option<Ret> = Some(Ret::Done(State::Effective));
    const OFF: Option<Ret> = Some(Ret::Done(State::NotEffective));

    #[test]
    fn of_two_who_switch_off_one_succeeds() {
        let both = |second| explained(State::Effective, &[&[(1, Op::Off, OFF), (2, Op::Off, second)]]);
        assert!(both(Some(Ret::Wrong(State::NotEffective))) && both(Some(Ret::Busy)) && both(None));
        assert!(!both(OFF) && !both(Some(Ret::Odd(String::new()))));
    }

    #[test]
    fn a_call_without_an_outcome_explains_what_others_see_later_and_no_more() {
        let open = (1, Op::Verify, None);
        let before = (2, Op::Show, Some(Ret::Done(State::Pending)));
        for (seen, possible) in [(ON, true), (before.2.clone(), true), (OFF, false)] {
            let rows: &[&[_]] = &[&[open.clone()], &[before.clone()], &[(3, Op::Show, seen)]];
            assert_eq!(explained(State::Pending, rows), possible);
        }
    }

    #[test]
    fn what_was_done_is_seen_by_whoever_looks_later() {
        let show = |ret| explained(State::NotEffective, &[&[(1, Op::On, ON)], &[(2, Op::Show, ret)]]);
        assert!(show(ON) && !show(OFF));
    }
}
