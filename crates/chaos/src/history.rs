//! The state machine of a token as a sequential specification, and histories of calls to compare with it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use access_tokens_testapp::Client;
use serde_json::{Value, json};
use stateright::semantics::SequentialSpec;

use crate::outcome::Outcome;

/// Life cycle states of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Waits for its verification code.
    Pending,
    /// Effective.
    Effective,
    /// Not effective.
    NotEffective,
}

/// A call.
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

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ret {
    /// The call succeeded, and this is the state afterwards.
    Done(State),
    /// The call was refused because of this state.
    WrongState(State),
    /// The call was refused because of other concurrent calls, without an effect.
    Busy,
    /// A result that no token gives.
    Unexpected(String),
}

impl State {
    /// All states.
    pub(crate) const ALL: [Self; 3] = [Self::Pending, Self::Effective, Self::NotEffective];

    /// Returns the name in the contract.
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
            return Ret::WrongState(*self);
        }
        *self = to;
        Ret::Done(to)
    }

    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        *ret == Ret::Busy || self.invoke(op) == *ret
    }
}

/// The calls of several clients for one token.
pub(crate) struct History {
    events: Mutex<Vec<Event>>,
    key: String,
    code: String,
    state: State,
}

/// The begin of a call, or its result. A call whose outcome is unknown has no result.
#[derive(Debug, Clone)]
enum Event {
    Invoke { client: u64, op: Op },
    Return { invoked: usize, ret: Ret },
}

impl History {
    /// Returns the history of a new token.
    pub(crate) fn new(key: String, code: String, state: State) -> Self {
        Self { events: Mutex::default(), key, code, state }
    }

    /// Makes one call. Returns whether its outcome is known.
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

    /// Returns the index of the event.
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
                    .map_or_else(|| Ret::Unexpected(refusal.text()), Ret::WrongState),
                "CONFLICT" | "OVERLOADED" => Ret::Busy,
                _ => Ret::Unexpected(refusal.text()),
            }),
            _ => None,
        }
    }

    /// Returns whether one order of all calls explains every result.
    pub(crate) fn is_linearizable(&self) -> bool {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        is_linearizable(self.state, &events)
    }

    /// Returns a description for the report.
    pub(crate) fn text(&self) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |event: &Event| match event {
            Event::Invoke { client, op } => format!("{client} calls {op:?}"),
            Event::Return { invoked, ret } => match &events[*invoked] {
                Event::Invoke { client, .. } => format!("{client} gets {ret:?}"),
                Event::Return { .. } => String::new(),
            },
        };
        format!("{} was {:?}; {}", self.key, self.state, events.iter().map(line).collect::<Vec<_>>().join("; "))
    }

    /// Returns the number of calls, and the number of those that succeeded.
    pub(crate) fn calls(&self) -> (u64, u64) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let made = events.iter().filter(|event| matches!(event, Event::Invoke { .. })).count();
        let done = events.iter().filter(|event| matches!(event, Event::Return { ret: Ret::Done(_), .. })).count();
        (made as u64, done as u64)
    }
}

/// A call of a history.
struct Call {
    op: Op,
    /// The result; `None` if the outcome is unknown.
    ret: Option<Ret>,
    invoked: usize,
    returned: usize,
}

/// Gives the same results as the tester of stateright (a test compares them), but remembers visited states. Without that, one history with
/// five calls without an outcome kept the tester busy for a minute. If two orders of the same calls lead to the same state, this search
/// follows only one of them.
fn is_linearizable(state: State, events: &[Event]) -> bool {
    let calls = calls(events);
    assert!(calls.len() <= 128, "a history of {} calls", calls.len());
    let must =
        (0..calls.len()).filter(|place| calls[*place].ret.is_some()).fold(0_u128, |set, place| set | (1 << place));
    let (mut seen, mut open) = (HashSet::from([(0_u128, state)]), vec![(0_u128, state)]);
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return true;
        }
        // A call that ended before another one began comes before it in every order.
        let left = |place: &usize| done & (1 << place) == 0;
        let end = (0..calls.len()).filter(left).map(|place| calls[place].returned).min().unwrap_or(usize::MAX);
        for place in (0..calls.len()).filter(left).filter(|place| calls[*place].invoked < end) {
            let (call, mut state) = (&calls[place], state);
            let possible = match &call.ret {
                Some(ret) => state.is_valid_step(&call.op, ret),
                None => matches!(state.invoke(&call.op), Ret::Done(_)),
            };
            if possible && seen.insert((done | 1 << place, state)) {
                open.push((done | 1 << place, state));
            }
        }
    }
    false
}

fn calls(events: &[Event]) -> Vec<Call> {
    let answer = |place| {
        let mut answers = events.iter().enumerate();
        answers.find_map(|(returned, event)| match event {
            Event::Return { invoked, ret } if *invoked == place => Some((returned, ret.clone())),
            _ => None,
        })
    };
    let call = |(invoked, event): (usize, &Event)| match event {
        Event::Invoke { op, .. } => {
            let (returned, ret) = answer(invoked).map_or((usize::MAX, None), |(place, ret)| (place, Some(ret)));
            Some(Call { op: *op, ret, invoked, returned })
        }
        Event::Return { .. } => None,
    };
    events.iter().enumerate().filter_map(call).collect()
}

/// An answer without a state, which the lying proxy gives, counts as the state that the method promises.
fn done(op: Op, answer: &Value) -> Ret {
    let promised = match op {
        Op::Off => Some(State::NotEffective),
        Op::On | Op::Verify => Some(State::Effective),
        Op::Show => None,
    };
    let shown = answer["life_cycle_state"].as_str().and_then(State::from_name);
    shown.or(promised).map_or_else(|| Ret::Unexpected(answer.to_string()), Ret::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access_tokens_testkit::random::Rng;
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

    use super::*;

    /// Calls in their order. The calls of one row are concurrent; `None` stays without a result.
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
    fn of_two_concurrent_transitions_one_succeeds() {
        let both = |second| explained(State::Effective, &[&[(1, Op::Off, OFF), (2, Op::Off, second)]]);
        assert!(both(Some(Ret::WrongState(State::NotEffective))) && both(Some(Ret::Busy)) && both(None));
        assert!(!both(OFF) && !both(Some(Ret::Unexpected(String::new()))));
    }

    #[test]
    fn a_call_without_an_outcome_explains_what_others_see_later_and_no_more() {
        let open = (1, Op::Verify, None);
        let before = (2, Op::Show, Some(Ret::Done(State::Pending)));
        for (seen, possible) in [(ON, true), (before.2.clone(), true), (OFF, false)] {
            let last = (3, Op::Show, seen);
            let rows: Vec<_> = [&open, &before, &last].map(std::slice::from_ref).to_vec();
            assert_eq!(explained(State::Pending, &rows), possible);
        }
    }

    #[test]
    fn an_effect_is_seen_by_every_later_call() {
        let show = |ret| explained(State::NotEffective, &[&[(1, Op::On, ON)], &[(2, Op::Show, ret)]]);
        assert!(show(ON) && !show(OFF));
    }

    /// The tester needs a thread of its own for each call without an outcome.
    fn by_stateright(state: State, events: &[Event]) -> bool {
        let calls = calls(events);
        let returns = |place: usize| calls.iter().any(|call| call.invoked == place && call.ret.is_some());
        let (mut tester, mut threads) = (LinearizabilityTester::new(state), HashMap::new());
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Invoke { client, op } => {
                    let thread = if returns(place) { *client } else { 1_000 + place as u64 };
                    threads.insert(place, thread);
                    tester.on_invoke(thread, *op).expect("valid");
                }
                Event::Return { invoked, ret } => {
                    tester.on_return(threads[invoked], ret.clone()).expect("valid");
                }
            }
        }
        tester.is_consistent()
    }

    /// Three clients, some of whose calls stay without a result. Most results are those of a correct token.
    fn made_up(rng: &Rng) -> (State, Vec<Event>) {
        let first = State::ALL[rng.below(3) as usize];
        let (mut state, mut events, mut under_way) = (first, Vec::new(), HashMap::new());
        for _ in 0..16 {
            let client = rng.below(3);
            let Some((invoked, op, ret)) = under_way.remove(&client) else {
                let op = [Op::On, Op::Off, Op::Verify, Op::Show][rng.below(4) as usize];
                let ret = match rng.below(12) {
                    0 => Ret::Done(State::ALL[rng.below(3) as usize]),
                    1 => Ret::Busy,
                    _ => state.invoke(&op),
                };
                under_way.insert(client, (events.len(), op, ret));
                events.push(Event::Invoke { client, op });
                continue;
            };
            let _: Op = op;
            if !rng.one_in(6) {
                events.push(Event::Return { invoked, ret });
            }
        }
        (first, events)
    }

    #[test]
    fn stateright_answers_the_same() {
        let rng = Rng::new(7);
        let mut answers = [0; 2];
        for _ in 0..3_000 {
            let (state, events) = made_up(&rng);
            let answer = is_linearizable(state, &events);
            assert_eq!(answer, by_stateright(state, &events), "{state:?} {events:?}");
            answers[usize::from(answer)] += 1;
        }
        assert!(answers.iter().all(|count| *count > 500), "{answers:?}");
    }
}
