//! Lists the access tokens of an owner.

use super::find::{check_account, check_participant, known_participant, single_account};
use super::{AccessTokens, Answer};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::{ClassificationIdentifier, OwnerIdentifier};
use crate::model::page;
use crate::model::session::{Caller, Permission};
use crate::ports::store::{OwnerJoins, ReadConsistency, Store, TokenPage};
use crate::{Error, Reason, Result};

/// Maximum number of tokens of one page, and the default.
pub const MAX_RESULTS: u32 = 1_000;

/// A request for a page of tokens.
#[derive(Debug, Clone)]
pub struct ListTokens {
    /// Owner of the tokens.
    pub owner: OwnerIdentifier,
    /// Only tokens of this classification.
    pub classification: Option<ClassificationIdentifier>,
    /// Maximum number of tokens of the page, 1 to 1,000.
    pub number_of_results: Option<i32>,
    /// Number of tokens to skip. Cannot be combined with a page token.
    pub offset: Option<i32>,
    /// Page token of the page before.
    pub page_token: Option<String>,
}

/// A page of tokens in ascending id.
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<Answer>,
    /// Page token of the next page. `None` on the last page.
    pub next_page_token: Option<String>,
}

impl<S: Store> AccessTokens<S> {
    /// Returns a page of an owner's tokens. An unknown owner is an error, an owner without tokens has an empty list.
    pub async fn list(
        &self,
        caller: &Caller,
        request: &ListTokens,
        fields: &FieldSelection,
        consistency: ReadConsistency,
    ) -> Result<TokenList> {
        caller.require(Permission::AccessTokensRead)?;
        let limit = results("number_of_results", request.number_of_results.unwrap_or(MAX_RESULTS as i32))?;
        let offset = offset(request)?;
        match &request.owner {
            OwnerIdentifier::AccountsReceivable(identifier) => check_account(identifier)?,
            OwnerIdentifier::RewardsParticipant(identifier) => check_participant(identifier)?,
        }
        let classification = match &request.classification {
            Some(named) => Some(self.store.reference(caller.organisation).await?.classification(named)?.id.clone()),
            None => None,
        };

        let after = request.page_token.as_deref().map(page::position).transpose()?;
        let page = TokenPage {
            owner: &request.owner,
            classification: classification.as_deref(),
            after: after.as_deref(),
            offset,
            // One row more than requested shows whether another page follows.
            limit: limit + 1,
        };
        let page = self.store.list_tokens(caller.organisation, page, OwnerJoins::from(fields), consistency).await?;
        let (kind, owner) = match &request.owner {
            OwnerIdentifier::AccountsReceivable(_) => ("accounts_receivable", single_account(page.owners)?),
            OwnerIdentifier::RewardsParticipant(_) => {
                ("rewards_participant", known_participant(page.owners.into_iter().next())?)
            }
        };
        let query = format!("{}/{kind}/{owner}/{classification:?}", caller.organisation.0);
        if let Some(token) = &request.page_token {
            page::check(&query, token)?;
        }
        let mut found = page.tokens;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last_id = found.last().map(|last| last.token.id.clone()).filter(|_| more);
        let tokens = found.into_iter().map(|found| self.answer(caller, found, fields));
        Ok(TokenList {
            tokens: tokens.collect::<Result<_>>()?,
            next_page_token: last_id.map(|id| page::encode(&query, &id)),
        })
    }
}

/// Returns a number of results, if it is within its range.
pub(super) fn results(field: &str, number: i32) -> Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|n| (1..=MAX_RESULTS).contains(n))
        .ok_or_else(|| Error::field(Reason::InvalidFieldValue, field, format!("must be between 1 and {MAX_RESULTS}")))
}

fn offset(request: &ListTokens) -> Result<u32> {
    let offset = request.offset.unwrap_or(0);
    if offset != 0 && request.page_token.is_some() {
        return Err(Error::field(Reason::InvalidFieldValue, "offset", "cannot be combined with page_token"));
    }
    u32::try_from(offset).map_err(|_| Error::field(Reason::InvalidFieldValue, "offset", "must not be negative"))
}
