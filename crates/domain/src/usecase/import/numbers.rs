//! Numbers of new access tokens whose records have none. They are drawn from the organisation's sequence before the
//! transaction begins.

use super::Importer;
use super::candidate::{Candidate, prepared};
use super::run::RunState;
use crate::model::session::Caller;
use crate::ports::store::{AccountStore, Sequence, Store};
use crate::usecase::numbers;
use crate::{Result, import};

impl<S: Store + AccountStore> Importer<S> {
    /// Draws the numbers that candidates probably need: as many as the batch before needed. Importing the same file
    /// again therefore draws no number.
    pub(super) async fn draw_expected_numbers(
        &self,
        caller: &Caller,
        state: &mut RunState,
        candidates: &[Candidate],
    ) -> Result<()> {
        if state.expected_numbers <= state.numbers.len() {
            return Ok(());
        }
        let possible = prepared(candidates).filter(|prepared| import::needs_number(&prepared.record())).count();
        let expected = state.expected_numbers.min(possible);
        self.draw_numbers(caller, state, expected.saturating_sub(state.numbers.len())).await
    }

    /// Draws numbers for new access tokens. Numbers that the run does not use are gaps.
    pub(super) async fn draw_numbers(&self, caller: &Caller, state: &mut RunState, count: usize) -> Result<()> {
        let wanted = state.numbers.len() + count;
        while state.numbers.len() < wanted {
            let count = u32::try_from(wanted - state.numbers.len()).unwrap_or(u32::MAX);
            let reference = self.store.reference(caller.organisation).await?;
            let prefix = &reference.organisation.number_prefix;
            let (store, sequence) = (self.store.as_ref(), Sequence::TokenNumber);
            state.numbers.extend(numbers::take_block(store, caller.organisation, sequence, prefix, count).await?);
        }
        Ok(())
    }

    /// Discards the drawn numbers, after one of them may have turned out to be in use. The next ones are above the
    /// stored numbers.
    pub(super) async fn discard_numbers(&self, caller: &Caller, state: &mut RunState) -> Result<()> {
        if !state.numbers.is_empty() {
            state.numbers.clear();
            let reference = self.store.reference(caller.organisation).await?;
            let prefix = &reference.organisation.number_prefix;
            self.store.realign_sequence(caller.organisation, Sequence::TokenNumber, prefix).await?;
        }
        Ok(())
    }
}
