//! The methods of `AccessTokenService` about secrets, and those that explain: the other half of
//! [`super::access_token_service`].

use std::time::Duration;

use access_tokens_domain::Result;
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_proto::v1;
use tokio::time::{Instant, sleep_until};
use tonic::Request;

use super::access_token_service::AccessTokenGrpc;
use super::caller::unpack;
use super::convert::{credential, explanation, request, token};

/// The responses of ForgotPassCode leave at multiples of this time after the call began. A token that exists and one that does not take
/// the same statements. The remaining difference is in the rows that the statements find, and is smaller than this time.
const FORGOT_INTERVAL: Duration = Duration::from_millis(25);

impl<S: Store + AccountStore> AccessTokenGrpc<S> {
    pub(super) async fn check_pass_code(&self, request: Request<v1::CheckPassCodeRequest>) -> Result<v1::AccessToken> {
        let (caller, (presented, fields)) = unpack(request, credential::check_pass_code)?;
        let checked = self.use_cases().check_pass_code(&caller, &presented, &fields).await?;
        Ok(token::access_token(checked, &fields))
    }

    pub(super) async fn change_pass_code(
        &self,
        request: Request<v1::ChangePassCodeRequest>,
    ) -> Result<v1::AccessToken> {
        let (caller, (change, fields)) = unpack(request, credential::change_pass_code)?;
        let changed = self.use_cases().change_pass_code(&caller, change, &fields).await?;
        Ok(token::access_token(changed, &fields))
    }

    pub(super) async fn verify_otp(&self, request: Request<v1::VerifyOtpRequest>) -> Result<v1::AccessToken> {
        let (caller, (presented, fields)) = unpack(request, credential::verify_otp)?;
        let used = self.use_cases().verify_otp(&caller, &presented, &fields).await?;
        Ok(token::access_token(used, &fields))
    }

    pub(super) async fn forgot_pass_code(
        &self,
        request: Request<v1::ForgotPassCodeRequest>,
    ) -> Result<v1::ForgotPassCodeResponse> {
        let (caller, identifier) = unpack(request, credential::forgot_pass_code)?;
        let begun = Instant::now();
        let done = self.use_cases().forgot_pass_code(&caller, &identifier).await;
        sleep_until(next_multiple(begun, FORGOT_INTERVAL)).await;
        done.map(|()| v1::ForgotPassCodeResponse {})
    }

    pub(super) async fn unlock_access_token(
        &self,
        request: Request<v1::UnlockAccessTokenRequest>,
    ) -> Result<v1::AccessToken> {
        let (caller, ((identifier, kinds), fields)) = unpack(request, credential::unlock)?;
        let unlocked = self.use_cases().unlock(&caller, &identifier, &kinds, &fields).await?;
        Ok(token::access_token(unlocked, &fields))
    }

    pub(super) async fn explain_access_token(
        &self,
        request: Request<v1::ExplainAccessTokenRequest>,
    ) -> Result<v1::ExplainAccessTokenResponse> {
        let (caller, (identifier, fields)) = unpack(request, request::explain)?;
        let explained = self.use_cases().explain(&caller, &identifier).await?;
        Ok(explanation::explanation(explained, &fields))
    }

    pub(super) async fn list_guess_budgets(
        &self,
        request: Request<v1::ListGuessBudgetsRequest>,
    ) -> Result<v1::ListGuessBudgetsResponse> {
        let (caller, fields) = unpack(request, request::list_guess_budgets)?;
        let all = self.use_cases().list_guess_budgets(&caller).await?;
        Ok(v1::ListGuessBudgetsResponse {
            guess_budgets: all.iter().map(|one| explanation::guess_budget(one, &fields)).collect(),
        })
    }
}

/// Returns the next moment that is a multiple of an interval after `begun`.
fn next_multiple(begun: Instant, interval: Duration) -> Instant {
    let passed = begun.elapsed().as_nanos() / interval.as_nanos();
    let intervals = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
    begun + interval * intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_leave_at_multiples_of_the_interval() {
        for (took, leaves) in [(0, 25), (1, 25), (24, 25), (25, 50), (26, 50), (49, 50), (1_000, 1_025)] {
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_millis(took)).await;
            let leaves = begun + Duration::from_millis(leaves);
            assert_eq!(next_multiple(begun, FORGOT_INTERVAL), leaves, "{took}");
        }
    }
}
