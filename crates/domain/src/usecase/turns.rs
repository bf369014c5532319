//! Turns: of the calls of one process that present a secret under one name, one at a time is counted and compared.
//!
//! Not for safety: that is in the database, across replicas. It is for those who are right: without turns, five calls
//! with the right pass code at once would be five attempts that nobody knows the end of yet, and the sixth would find
//! a lock. And a flood at one token waits in its own line instead of writing one entry against itself.
//!
//! Turns go by the name that was presented, whether or not there is such a token: waiting tells nothing either.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{Error, Reason, Result};

type Line = Arc<AsyncMutex<()>>;

/// How many may be in one line. Without a bound, a flood at one name would take all places of the process.
const LINE: usize = 64;

/// The lines that are waited in just now.
#[derive(Default)]
pub struct Turns {
    lines: Arc<Mutex<HashMap<u64, Line>>>,
    hasher: RandomState,
}

/// One turn. It ends when this goes, whatever becomes of the call.
pub struct Turn {
    lines: Arc<Mutex<HashMap<u64, Line>>>,
    key: u64,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of a name; OVERLOADED where the line is full. Two names that hash alike share a line, which
    /// only costs time.
    pub async fn enter(&self, name: impl Hash) -> Result<Turn> {
        let key = self.hasher.hash_one(name);
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let line = lines.entry(key).or_default();
            // Each who waits or has the turn holds the line once, and so does the map.
            if Arc::strong_count(line) > LINE {
                return Err(contended());
            }
            Arc::clone(line)
        };
        // Made before it waits, so that who stops waiting leaves the line, too.
        let mut turn = Turn { lines: Arc::clone(&self.lines), key, guard: None };
        turn.guard = Some(line.lock_owned().await);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits, or is about to, holds the line as well.
        if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.key);
        }
    }
}

/// The answer to one call too many about one access token.
pub(super) fn contended() -> Error {
    Error::new(Reason::Overloaded, "too many calls about one access token at once; try again")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn enter<'t>(turns: &'t Turns, name: &'static str) -> impl Future<Output = Turn> + 't {
        turns.enter(name).map(|turn| turn.unwrap_or_else(|error| panic!("{error}")))
    }

    fn waiting(turns: &Turns) -> usize {
        turns.lines.lock().expect("not poisoned").len()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = enter(&turns, "a").now_or_never().expect("its turn");
        let other = enter(&turns, "b").now_or_never().expect("its turn");
        let mut second = Box::pin(enter(&turns, "a"));
        assert!(second.as_mut().now_or_never().is_none(), "it is not its turn");
        let mut gone = Box::pin(enter(&turns, "a"));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        let second = second.as_mut().now_or_never().expect("its turn");
        drop((second, other));
        assert_eq!(waiting(&turns), 0);
    }

    #[test]
    fn a_line_that_is_full_refuses_and_others_go_on() {
        let turns = Turns::default();
        let first = enter(&turns, "a").now_or_never().expect("its turn");
        let mut line: Vec<_> = (1..LINE).map(|_| Box::pin(enter(&turns, "a"))).collect();
        assert!(line.iter_mut().all(|waits| waits.as_mut().now_or_never().is_none()));
        assert!(matches!(turns.enter("a").now_or_never(), Some(Err(_))));
        assert!(turns.enter("b").now_or_never().is_some());
        line.pop();
        assert!(turns.enter("a").now_or_never().is_none(), "there is room again");
        drop((line, first));
        assert_eq!(waiting(&turns), 0);
    }
}
