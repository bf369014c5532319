//! Implementation of the domain's store: which connection runs each method.

use std::borrow::Cow;
use std::sync::Arc;

use access_tokens_domain::access_token::{AccessToken, AuditStamp, Precondition, TokenChanges};
use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    DraftStore, FoundOwners, FoundPage, FoundToken, Lookup, OwnerJoins, Owners, ReadConsistency, ReadOptions, Sequence,
    Store, StoreResult, TokenPage, Transaction as _,
};
use access_tokens_domain::strength::StoredStrength;
use access_tokens_domain::text;
use sea_orm::TransactionTrait;

use crate::database::{Backend, Database};
use crate::error::store_error;
use crate::import::DraftFile;
use crate::lookup::{self, Ambiguous};
use crate::sql::label::Label;
use crate::sql::observer::observe;
use crate::transaction::{Transaction, TransactionBackend};
use crate::{counts, new_token, owners, reference, sequence, tokens};

impl Database {
    /// Returns reference data of this version or a newer one, nearly always from memory.
    async fn reference_since(&self, organisation: OrganisationKey, version: i64) -> StoreResult<Arc<Reference>> {
        match self.cache.get(organisation, version) {
            Some(snapshot) => Ok(snapshot),
            // Boxed to keep the futures of all other calls small.
            None => Box::pin(self.read_reference(organisation, version)).await,
        }
    }

    async fn read_reference(&self, organisation: OrganisationKey, version: i64) -> StoreResult<Arc<Reference>> {
        let _loading = self.cache.loading.lock().await;
        // Another call may have read it meanwhile.
        if let Some(snapshot) = self.cache.get(organisation, version) {
            return Ok(snapshot);
        }
        let transaction = self.snapshot().await?;
        let snapshot = Arc::new(reference::load(&transaction, organisation).await?);
        transaction.commit().await?;
        self.cache.put(organisation, &snapshot);
        Ok(snapshot)
    }

    /// Finds a token by a key in the form in which it was presented.
    async fn find_token_exactly(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> StoreResult<Lookup> {
        let lookup = lookup::token(organisation, key, joins);
        let found = match self.on_replica(read.consistency, |connection| lookup.find(connection)).await {
            Some(found) => found,
            None => self.look_up(&lookup, read.call).await?,
        };
        let reference = self.reference_since(organisation, found.version).await?;
        let found = found.value.map(|value| with(&reference, value));
        Ok(Lookup { found, reference })
    }
}

/// Returns a token with its owners and reference data.
fn with(reference: &Arc<Reference>, (token, owners): (AccessToken, Owners)) -> FoundToken {
    FoundToken { token, owners, reference: Arc::clone(reference) }
}

impl Store for Database {
    type Transaction = Transaction;

    async fn stored_strengths(&self, organisation: OrganisationKey) -> StoreResult<Vec<StoredStrength>> {
        counts::strengths(&self.readers(), organisation).await
    }

    async fn begin(&self) -> StoreResult<Transaction> {
        let begin = async {
            StoreResult::Ok(match &*self.backend {
                Backend::Sqlite { writer, .. } => TransactionBackend::Sqlite(writer.begin().await?),
                Backend::Postgres(pools) => {
                    let transaction = pools.transactions().begin().await.map_err(store_error)?;
                    TransactionBackend::Postgres(transaction, Arc::clone(pools.alarm()))
                }
            })
        };
        let transaction = observe(&self.options.observer, self.backend_name(), Label::BEGIN, begin).await?;
        Ok(Transaction::new(transaction, Arc::clone(&self.cache), Arc::clone(&self.options)))
    }

    async fn reference(&self, organisation: OrganisationKey) -> StoreResult<Arc<Reference>> {
        let version = reference::version(&self.readers(), organisation).await?;
        self.reference_since(organisation, version).await
    }

    async fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> StoreResult<Lookup> {
        let presented = self.find_token_exactly(organisation, key, joins, read).await?;
        let Cow::Owned(normalised) = text::nfc(key.text()) else { return Ok(presented) };
        // Runs in both cases, so that its duration does not reveal whether such a token exists. Boxed to keep the usual
        // future small.
        let other = Box::pin(self.find_token_exactly(organisation, key.with_text(&normalised), joins, read)).await?;
        Ok(if presented.found.is_some() { presented } else { other })
    }

    async fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> StoreResult<FoundPage> {
        let list = |connection| {
            let page = page.clone();
            async move { tokens::list(&connection, organisation, page, joins).await }
        };
        let found = self.read(consistency, list).await?;
        let reference = self.reference_since(organisation, found.version).await?;
        let (owners, tokens) = found.value;
        Ok(FoundPage { owners, tokens: tokens.into_iter().map(|value| with(&reference, value)).collect() })
    }

    async fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> StoreResult<Vec<FoundToken>> {
        let list =
            |connection| async move { tokens::not_associated(&connection, organisation, state, limit, joins).await };
        let page = self.read(consistency, list).await?;
        // All tokens are of one statement, and so of one version.
        let Some(version) = page.first().map(|found| found.version) else { return Ok(Vec::new()) };
        let reference = self.reference_since(organisation, version).await?;
        Ok(page.into_iter().map(|found| with(&reference, found.value)).collect())
    }

    async fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> StoreResult<FoundOwners> {
        let (version, accounts, participant) = match lookup::owners(organisation, account, participant) {
            Ok(lookup) => {
                let found = self.look_up(&lookup, None).await?;
                let Owners { accounts_receivable, rewards_participant } = found.value;
                (found.version, accounts_receivable.into_iter().collect(), rewards_participant)
            }
            Err(Ambiguous(name)) => {
                let found = owners::find_named(&self.readers(), organisation, name, participant).await?;
                (found.version, found.value.0, found.value.1)
            }
        };
        let reference = self.reference_since(organisation, version).await?;
        Ok(FoundOwners { accounts, participant, reference })
    }

    async fn insert_token(&self, organisation: OrganisationKey, token: &AccessToken) -> StoreResult<()> {
        match &*self.backend {
            Backend::Sqlite { .. } => _ = self.write(new_token::sql(organisation, token)).await?,
            Backend::Postgres(pools) => {
                pools.statement_batcher().insert(new_token::values(organisation, token)).await?;
            }
        }
        Ok(())
    }

    async fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        precondition: &Precondition,
        changes: &TokenChanges,
        updated: Option<&AuditStamp>,
    ) -> StoreResult<Option<FoundToken>> {
        let answer = self.write(tokens::update(organisation, id, precondition, changes, updated)).await?;
        let Some(updated) = tokens::updated(&answer, organisation)? else { return Ok(None) };
        let reference = self.reference_since(organisation, updated.version).await?;
        Ok(Some(FoundToken { token: updated.value, owners: Owners::default(), reference }))
    }

    async fn take_numbers(&self, organisation: OrganisationKey, sequence: Sequence, count: u32) -> StoreResult<i64> {
        sequence::first(&self.write(sequence::take(organisation, sequence, count)).await?)
    }

    fn drafts(&self) -> StoreResult<Box<dyn DraftStore>> {
        Ok(Box::new(DraftFile::new()?))
    }

    async fn realign_sequence(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> StoreResult<()> {
        let mut transaction = self.begin().await?;
        transaction.realign(organisation, sequence, prefix).await?;
        transaction.commit().await
    }
}
