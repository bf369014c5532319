//! The ledger of acknowledgements: what the service has promised, and nothing that it has not.
//!
//! Each call stands in it, with its outcome, before its caller takes the next step. It is kept in memory and in a file
//! that no fault touches. A token whose last call has no known outcome rests until somebody has looked: the effect of
//! that call may come at any time, and what it overtakes would be no evidence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::facts::{Change, Facts, Password, ShownToken};
use crate::outcome::Outcome;

/// Reasons for which a busy service may refuse what a careful caller asks.
const BUSY: &[&str] = &["OVERLOADED", "CONFLICT"];

/// What is known of a token.
#[derive(Debug, Clone)]
struct Token {
    /// Under whom it is listed.
    owner: String,
    /// Whose calls change it.
    writer: String,
    /// What was acknowledged. `None`: not even its creation.
    facts: Option<Facts>,
    /// A call that may have taken effect.
    pending: Option<Change>,
}

/// What was found when somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged and not there.
    pub(crate) lost: Vec<String>,
    /// There, and nobody asked for it, or twice.
    pub(crate) duplicated: Vec<String>,
    /// Other promises.
    pub(crate) broken: Vec<String>,
}

/// How many calls there were.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) operations: u64,
    /// Acknowledged ones.
    pub(crate) acknowledged: u64,
    /// Refusals, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// What was said where the outcome is not known.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// How many calls without an outcome turned out to have taken effect, visibly.
    pub(crate) took_effect: u64,
}

#[derive(Debug, Default)]
struct LedgerState {
    tokens: HashMap<String, Token>,
    counts: Counts,
    unexpected_refusals: Vec<String>,
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: Mutex<File>,
    state: Mutex<LedgerState>,
}

impl Ledger {
    /// An empty one, with its file in a directory.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let path = directory.join("ledger");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self { file: Mutex::new(file), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what became of a call.
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
            Outcome::Done(_) => state.counts.acknowledged += 1,
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

    /// What is known of a token that does not rest.
    pub(crate) fn facts(&self, key: &str) -> Option<Facts> {
        let state = self.state();
        state.tokens.get(key).filter(|token| token.pending.is_none())?.facts.clone()
    }

    /// A token of an owner that a writer may go on with.
    pub(crate) fn resumable_token(&self, owner: &str, writer: &str) -> Option<String> {
        let state = self.state();
        let free = |token: &Token| {
            token.owner == owner && token.writer == writer && token.pending.is_none() && token.facts.is_some()
        };
        state.tokens.iter().find(|(_, token)| free(token)).map(|(key, _)| key.clone())
    }

    /// Tokens of an owner that can be shown to have, or no longer to have, a one-time password.
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

    /// One-time passwords expire while nobody looks: those of an owner are not checked any more.
    pub(crate) fn forget_passwords(&self, owner: &str) {
        for token in self.state().tokens.values_mut().filter(|token| token.owner == owner) {
            if let Some(facts) = &mut token.facts {
                facts.password = Password::Unclear;
            }
        }
    }

    /// How many calls there were.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// How many calls were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.state().counts.acknowledged
    }

    /// Compares the tokens of an owner with what is shown of them. What is shown settles what was not known: from now
    /// on that has to stay as well.
    pub(crate) fn reconcile(&self, owner: &str, shown: Vec<ShownToken>) -> Findings {
        let mut state = self.state();
        let LedgerState { tokens, counts, unexpected_refusals } = &mut *state;
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
                None => found.duplicated.push(format!("{}: nobody has it: {seen:?}", seen.key)),
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

/// Where a call belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallSource<'a> {
    /// The token.
    pub(crate) key: &'a str,
    /// Under whom it is listed.
    pub(crate) owner: &'a str,
    /// Who calls.
    pub(crate) writer: &'a str,
}

impl Token {
    /// It was not as it had to be.
    fn is_given_up(&self) -> bool {
        self.facts.is_none() && self.pending == Some(Change::Use)
    }

    /// Answers whether a call without an outcome has visibly taken effect.
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
            // It is told once: nobody goes on with this token.
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
    fn an_unknown_value_may_be_there_until_somebody_has_looked() {
        let ledger = ledger(3, Some(4));
        assert_eq!(ledger.facts("k"), None, "it rests");
        assert!(ledger.reconcile("o", vec![shown(3)]).lost.is_empty());
        assert_eq!(ledger.resumable_token("o", "w"), Some("k".to_owned()));
        assert_eq!(ledger.reconcile("o", vec![shown(4)]).lost.len(), 1, "it came after all");
    }

    #[test]
    fn what_nobody_asked_for_and_what_is_there_twice_is_found() {
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
