//! Numbers of sequences. A process takes them in blocks, so that concurrent creations do not queue on one row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::lock::Mutex as AsyncMutex;

use crate::model::session::OrganisationKey;
use crate::ports::store::{LAST_NUMBER, Sequence, Store};
use crate::{Error, Reason, Result};

/// Minimum size of a block. Numbers that a process has not used when it ends are gaps.
const MIN_BLOCK: u32 = 64;
/// Maximum size of a block.
const MAX_BLOCK: u32 = 4_096;

/// The current block of each sequence in this process.
#[derive(Default)]
pub(super) struct Numbers(Mutex<HashMap<(OrganisationKey, Sequence), Arc<Blocks>>>);

/// The current block of one sequence.
#[derive(Default)]
struct Blocks {
    current: Mutex<Block>,
    /// Held while the next block is taken, so that concurrent callers take only one.
    refill: AsyncMutex<()>,
}

#[derive(Default)]
struct Block {
    rest: Range<i64>,
    /// Number of calls that found the block empty. The next block has this number times [`MIN_BLOCK`] numbers.
    exhausted: u32,
}

impl Numbers {
    /// Returns the next number of a sequence, or an error when all are used. `prefix` is the text before its ten
    /// digits.
    pub(super) async fn next<S: Store>(
        &self,
        store: &S,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> Result<i64> {
        let blocks = self.blocks(organisation, sequence);
        if let Some(number) = blocks.current().draw() {
            return Ok(number);
        }
        let _refill = blocks.refill.lock().await;
        // Another call may have taken a block in the meantime.
        let count = {
            let mut current = blocks.current();
            if let Some(number) = current.rest.next() {
                return Ok(number);
            }
            std::mem::take(&mut current.exhausted).saturating_mul(MIN_BLOCK).clamp(MIN_BLOCK, MAX_BLOCK)
        };
        let taken = take_block(store, organisation, sequence, prefix, count).await?;
        blocks.current().rest = taken.start + 1..taken.end;
        Ok(taken.start)
    }

    /// Discards the rest of a block, after one of its numbers turned out to be in use, and moves the sequence above the
    /// stored numbers.
    pub(super) async fn discard_and_realign<S: Store>(
        &self,
        store: &S,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> Result<()> {
        self.blocks(organisation, sequence).current().rest = Range::default();
        Ok(store.realign_sequence(organisation, sequence, prefix).await?)
    }

    fn blocks(&self, organisation: OrganisationKey, sequence: Sequence) -> Arc<Blocks> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry((organisation, sequence)).or_default())
    }
}

/// Takes at least one and at most `count` numbers of a sequence. Returns an error when all are used.
pub(super) async fn take_block<S: Store>(
    store: &S,
    organisation: OrganisationKey,
    sequence: Sequence,
    prefix: &str,
    count: u32,
) -> Result<Range<i64>> {
    let mut first = store.take_numbers(organisation, sequence, count).await?;
    if first > LAST_NUMBER {
        // The sequence was raised by a number with eleven digits, before the import ignored such numbers.
        store.realign_sequence(organisation, sequence, prefix).await?;
        first = store.take_numbers(organisation, sequence, count).await?;
    }
    if first > LAST_NUMBER {
        return Err(Error::new(Reason::Conflict, "the numbers of the sequence are used up"));
    }
    Ok(first..(first + i64::from(count)).min(LAST_NUMBER + 1))
}

impl Blocks {
    fn current(&self) -> MutexGuard<'_, Block> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    fn draw(&mut self) -> Option<i64> {
        let number = self.rest.next();
        if number.is_none() {
            self.exhausted = self.exhausted.saturating_add(1);
        }
        number
    }
}
