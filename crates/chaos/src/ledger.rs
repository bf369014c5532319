//! The ledger: what the service has acknowledged.
//!
//! Each call is recorded with its outcome before its client makes the next call. The ledger is kept in memory and in a file that no
//! fault affects. A token whose last call has no known outcome is not changed until the next check: the effect of that call may
//! still come, so that later changes would prove nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::facts::{Change, Facts, Password, ShownToken};
use crate::outcome::Outcome;

/// Reasons for which a busy service may refuse a valid call.
const BUSY: &[&str] = &["OVERLOADED", "CONFLICT"];

/// The known facts about a token.
#[derive(Debug, Clone)]
struct Token {
    /// Owner under which it is listed.
    owner: String,
    /// Writer that changes it.
    writer: String,
    /// The acknowledged state. `None`: the creation was not acknowledged.
    facts: Option<Facts>,
    /// A call that may have taken effect.
    pending: Option<Change>,
}

/// The findings of a check.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Effects that were acknowledged and are missing.
    pub(crate) lost: Vec<String>,
    /// Effects that exist twice, or that no client requested.
    pub(crate) duplicated: Vec<String>,
    /// Other violations: impossible states, and refusals that the state does not explain.
    pub(crate) broken: Vec<String>,
}

/// Numbers of calls.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// All calls.
    pub(crate) operations: u64,
    /// Acknowledged calls.
    pub(crate) acknowledged: u64,
    /// Refused calls, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Calls without a known outcome, by the text of the error.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// Calls without a known outcome that had visibly taken effect.
    pub(crate) took_effect: u64,
    /// Longest time that a client waited for the outcome of a call.
    pub(crate) slowest: Duration,
}

#[derive(Debug, Default)]
struct LedgerState {
    tokens: HashMap<String, Token>,
    counts: Counts,
    unexpected_refusals: Vec<String>,
    /// Time of the last acknowledgement.
    last: Option<Instant>,
    /// Longest time between two acknowledgements.
    longest_pause: Duration,
}

/// The ledger of a campaign.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: Mutex<File>,
    state: Mutex<LedgerState>,
}

impl Ledger {
    /// Returns an empty ledger, with its file in a directory.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let path = directory.join("ledger");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self { file: Mutex::new(file), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the outcome of a call.
    pub(crate) fn record(&self, place: &CallSource<'_>, change: Change, outcome: &Outcome) -> Result<()> {
        let line = format!("{} {} {}\n", place.key, change.ledger_entry(), outcome.ledger_word());
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        let mut state = self.state();
        state.counts.operations += 1;
        match outcome {
            Outcome::Refused(reason) => {
                *state.counts.refused.entry(reason.clone()).or_default() += 1;
                if !BUSY.contains(&reason.as_str()) {
                    state.unexpected_refusals.push(format!(
                        "{}: {} was refused: {reason}",
                        place.key,
                        change.ledger_entry()
                    ));
                }
                return Ok(());
            }
            Outcome::Done(_) => {
                let now = Instant::now();
                let pause = state.last.map_or(Duration::ZERO, |last| now - last);
                state.counts.acknowledged += 1;
                (state.last, state.longest_pause) = (Some(now), state.longest_pause.max(pause));
            }
            Outcome::Unknown(text) => {
                *state.counts.unknown.entry(text.chars().take(80).collect()).or_default() += 1;
            }
        }
        let token = state.tokens.entry(place.key.to_owned()).or_insert_with(|| Token {
            owner: place.owner.to_owned(),
            writer: place.writer.to_owned(),
            facts: None,
            pending: None,
        });
        match outcome {
            Outcome::Done(_) => token.facts = change.of(token.facts.as_ref()),
            _ => token.pending = Some(change),
        }
        Ok(())
    }

    /// Records the time that a client waited for the outcome of a call.
    pub(crate) fn record_time(&self, time: Duration) {
        let mut state = self.state();
        state.counts.slowest = state.counts.slowest.max(time);
    }

    /// Begins a new measurement of pauses. Returns the longest time between two acknowledgements since the last one began.
    pub(crate) fn take_longest_pause(&self) -> Duration {
        let mut state = self.state();
        state.last = None;
        std::mem::take(&mut state.longest_pause)
    }

    /// Returns the known state of a token, unless its last call has no known outcome.
    pub(crate) fn facts(&self, key: &str) -> Option<Facts> {
        let state = self.state();
        state.tokens.get(key).filter(|token| token.pending.is_none())?.facts.clone()
    }

    /// Returns a token of an owner that a writer may change.
    pub(crate) fn resumable_token(&self, owner: &str, writer: &str) -> Option<String> {
        let state = self.state();
        let free = |token: &Token| {
            token.owner == owner && token.writer == writer && token.pending.is_none() && token.facts.is_some()
        };
        state.tokens.iter().find(|(_, token)| free(token)).map(|(key, _)| key.clone())
    }

    /// Returns tokens of an owner with a one-time password that must be valid, or must not be valid any more.
    pub(crate) fn passwords(&self, owner: &str, limit: usize) -> Vec<(String, Password)> {
        let state = self.state();
        let tokens = state.tokens.iter().filter(|(_, token)| token.owner == owner && token.pending.is_none());
        let known = tokens.filter_map(|(key, token)| match &token.facts {
            Some(facts) if facts.state == "EFFECTIVE" && facts.password != Password::Unclear => {
                Some((key.clone(), facts.password.clone()))
            }
            _ => None,
        });
        known.take(limit).collect()
    }

    /// Stops the checks of one-time passwords of an owner, because they expire.
    pub(crate) fn forget_passwords(&self, owner: &str) {
        for token in self.state().tokens.values_mut().filter(|token| token.owner == owner) {
            if let Some(facts) = &mut token.facts {
                facts.password = Password::Unclear;
            }
        }
    }

    /// Returns the numbers of calls.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Returns the number of acknowledged calls.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.state().counts.acknowledged
    }

    /// Compares the tokens of an owner with those that the service shows. The shown state of a token with an unknown outcome
    /// becomes its known state, which must stay.
    pub(crate) fn reconcile(&self, owner: &str, shown: Vec<ShownToken>) -> Findings {
        let mut state = self.state();
        let LedgerState { tokens, counts, unexpected_refusals, .. } = &mut *state;
        let mut found = Findings { broken: std::mem::take(unexpected_refusals), ..Findings::default() };
        let mut keys = BTreeSet::new();
        for seen in shown {
            if !seen.is_legal() {
                found.broken.push(format!("{}: no such state: {seen:?}", seen.key));
            }
            if !keys.insert(seen.key.clone()) {
                found.duplicated.push(format!("{}: twice", seen.key));
                continue;
            }
            match tokens.get_mut(&seen.key).filter(|token| token.owner == owner) {
                Some(token) => counts.took_effect += u64::from(token.reconcile(&seen, &mut found)),
                None => found.duplicated.push(format!("{}: no client created it: {seen:?}", seen.key)),
            }
        }
        tokens.retain(|key, token| {
            let gone = token.owner == owner && !keys.contains(key);
            if let (true, Some(facts)) = (gone, &token.facts) {
                found.lost.push(format!("{key}: not there, but acknowledged: {facts:?}"));
            }
            !gone
        });
        found
    }
}

/// The token, owner and writer of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallSource<'a> {
    /// Key of the token.
    pub(crate) key: &'a str,
    /// Owner under which it is listed.
    pub(crate) owner: &'a str,
    /// Writer that calls.
    pub(crate) writer: &'a str,
}

impl Token {
    /// Returns whether a finding about the token was reported, after which it is not checked any more.
    fn is_given_up(&self) -> bool {
        self.facts.is_none() && self.pending == Some(Change::Use)
    }

    /// Compares the token with what is shown. Returns whether a call without an outcome has visibly taken effect.
    fn reconcile(&mut self, seen: &ShownToken, found: &mut Findings) -> bool {
        if self.is_given_up() {
            return false;
        }
        let without = self.facts.clone();
        let with = self.pending.as_ref().and_then(|change| change.of(self.facts.as_ref()));
        let explained = [(without, false), (with, true)].into_iter().find_map(|(facts, took_effect)| {
            facts.filter(|facts| facts.explain(seen)).map(|facts| (facts, took_effect))
        });
        let Some((mut facts, took_effect)) = explained else {
            let (facts, pending) = (&self.facts, &self.pending);
            found.lost.push(format!("{}: {facts:?} and perhaps {pending:?}, but {seen:?}", seen.key));
            // A finding is reported once: no writer continues with this token.
            (self.facts, self.pending) = (None, Some(Change::Use));
            return false;
        };
        if self.pending.take().is_some_and(|change| change.is_invisible()) {
            facts.password = Password::Unclear;
        }
        self.facts = Some(facts.with_shown_code(seen));
        took_effect
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::facts::Code;

    const PLACE: CallSource<'static> = CallSource { key: "k", owner: "o", writer: "w" };

    fn shown(value: u64) -> ShownToken {
        let token = json!({"authentication_code": "k", "number": "AT1", "life_cycle_state": "EFFECTIVE",
            "udf_string_1": value.to_string()});
        ShownToken::from_json(&token).expect("a token")
    }

    fn ledger(acknowledged: u64, pending: Option<u64>) -> Ledger {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::new(directory.path()).expect("a ledger");
        let (done, unknown) = (Outcome::Done(Value::Null), Outcome::Unknown(String::new()));
        let created = Change::Create(Facts::new("EFFECTIVE", 1, Code::None));
        ledger.record(&PLACE, created, &done).expect("written");
        for value in 2..=acknowledged {
            ledger.record(&PLACE, Change::Value(value), &done).expect("written");
        }
        if let Some(value) = pending {
            ledger.record(&PLACE, Change::Value(value), &unknown).expect("written");
        }
        ledger
    }

    #[test]
    fn an_acknowledged_value_must_be_there() {
        assert!(ledger(3, None).reconcile("o", vec![shown(3)]).lost.is_empty());
        assert_eq!(ledger(3, None).reconcile("o", vec![shown(2)]).lost.len(), 1, "the last one is lost");
        assert_eq!(ledger(3, None).reconcile("o", vec![]).lost.len(), 1, "the token is lost");
    }

    #[test]
    fn an_unknown_value_is_allowed_until_the_next_check() {
        let ledger = ledger(3, Some(4));
        assert_eq!(ledger.facts("k"), None, "it rests");
        assert!(ledger.reconcile("o", vec![shown(3)]).lost.is_empty());
        assert_eq!(ledger.resumable_token("o", "w"), Some("k".to_owned()));
        assert_eq!(ledger.reconcile("o", vec![shown(4)]).lost.len(), 1, "it came after all");
    }

    #[test]
    fn unrequested_and_duplicate_tokens_are_found() {
        let ledger = ledger(3, None);
        assert_eq!(ledger.reconcile("o", vec![shown(3), shown(3)]).duplicated.len(), 1);
        assert_eq!(ledger.reconcile("another owner", vec![shown(3)]).duplicated.len(), 1);
    }

    #[test]
    fn a_refusal_that_the_state_does_not_explain_is_a_finding() {
        let ledger = ledger(3, None);
        let refused = Outcome::Refused("WRONG_LIFE_CYCLE_STATE".to_owned());
        ledger.record(&PLACE, Change::State("NOT_EFFECTIVE"), &refused).expect("written");
        assert_eq!(ledger.reconcile("o", vec![shown(3)]).broken.len(), 1);
    }
}
