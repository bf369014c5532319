//! Numbers, handed out from blocks so that creates do not queue on one row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::session::OrganisationKey;
use crate::store::{Sequence, Store};

/// Numbers a block. What a process has not used when it ends is a gap.
const BLOCK: u32 = 64;

/// The blocks that this process holds.
#[derive(Default)]
pub(super) struct Numbers(Mutex<HashMap<(OrganisationKey, Sequence), Range<i64>>>);

impl Numbers {
    /// The next number of a sequence.
    pub(super) async fn next<S: Store>(
        &self,
        store: &S,
        organisation: OrganisationKey,
        sequence: Sequence,
    ) -> Result<i64> {
        if let Some(number) = self.held(organisation, sequence) {
            return Ok(number);
        }
        // Callers that run dry together each take a block; all but the last one's remainder become gaps.
        let first = store.take_numbers(organisation, sequence, BLOCK).await?;
        let rest = first + 1..first + i64::from(BLOCK);
        self.blocks().insert((organisation, sequence), rest);
        Ok(first)
    }

    /// Gives the rest of a block up, after one of its numbers turned out to be taken by an import.
    pub(super) fn discard(&self, organisation: OrganisationKey, sequence: Sequence) {
        self.blocks().remove(&(organisation, sequence));
    }

    fn held(&self, organisation: OrganisationKey, sequence: Sequence) -> Option<i64> {
        self.blocks().get_mut(&(organisation, sequence))?.next()
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, HashMap<(OrganisationKey, Sequence), Range<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
