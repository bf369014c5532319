//! Numbers, handed out from blocks so that creates do not queue on one row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::lock::Mutex as AsyncMutex;

use crate::model::session::OrganisationKey;
use crate::ports::store::{LAST_NUMBER, Sequence, Store};
use crate::{Error, Reason, Result};

/// Numbers a block, at least and at most. What a process has not used when it ends is a gap.
const MIN_BLOCK: u32 = 64;
const MAX_BLOCK: u32 = 4_096;

/// The blocks that this process holds.
#[derive(Default)]
pub(super) struct Numbers(Mutex<HashMap<(OrganisationKey, Sequence), Arc<Blocks>>>);

/// Those of one sequence.
#[derive(Default)]
struct Blocks {
    current: Mutex<Block>,
    /// Who takes the next one: of those who run exhausted together, one.
    refill: AsyncMutex<()>,
}

#[derive(Default)]
struct Block {
    rest: Range<i64>,
    /// How many ran exhausted since this one was asked for. The next one has so many times the least.
    exhausted: u32,
}

impl Numbers {
    /// The next number of a sequence; `prefix` is what stands before its ten digits. An error when they are used up.
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
        // Somebody else may have taken one meanwhile.
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

    /// Gives the rest of a block up, after one of its numbers turned out to be taken, and begins above what is stored.
    pub(super) async fn discard_and_realign<S: Store>(
        &self,
        store: &S,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> Result<()> {
        self.discard(organisation, sequence);
        Ok(store.realign_sequence(organisation, sequence, prefix).await?)
    }

    fn discard(&self, organisation: OrganisationKey, sequence: Sequence) {
        self.blocks(organisation, sequence).current().rest = Range::default();
    }

    fn blocks(&self, organisation: OrganisationKey, sequence: Sequence) -> Arc<Blocks> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry((organisation, sequence)).or_default())
    }
}

/// Takes at least one and at most `count` numbers of a sequence. An error when they are used up.
pub(super) async fn take_block<S: Store>(
    store: &S,
    organisation: OrganisationKey,
    sequence: Sequence,
    prefix: &str,
    count: u32,
) -> Result<Range<i64>> {
    let mut first = store.take_numbers(organisation, sequence, count).await?;
    if first > LAST_NUMBER {
        // A number with eleven digits came in once, before such numbers were ignored.
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
