//! The methods of `AccessTokenService` about secrets, and those that explain: the other half of
//! [`super::access_token_service`].

use access_tokens_domain::Result;
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_proto::v1;
use tonic::Request;

use super::access_token_service::AccessTokenGrpc;
use super::caller;
use super::convert::{credential, explanation, request, token};

impl<S: Store + AccountStore> AccessTokenGrpc<S> {
    pub(super) async fn check(&self, request: Request<v1::CheckPassCodeRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (presented, fields) = credential::check_pass_code(request.into_inner())?;
        let checked = self.use_cases().check_pass_code(&caller, &presented, fields.want()).await?;
        Ok(token::access_token(checked, &fields))
    }

    pub(super) async fn change_pass(&self, request: Request<v1::ChangePassCodeRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (change, fields) = credential::change_pass_code(request.into_inner())?;
        let changed = self.use_cases().change_pass_code(&caller, change, fields.want()).await?;
        Ok(token::access_token(changed, &fields))
    }

    pub(super) async fn use_otp(&self, request: Request<v1::VerifyOtpRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (presented, fields) = credential::verify_otp(request.into_inner())?;
        let used = self.use_cases().verify_otp(&caller, &presented, fields.want()).await?;
        Ok(token::access_token(used, &fields))
    }

    pub(super) async fn forgot(
        &self,
        request: Request<v1::ForgotPassCodeRequest>,
    ) -> Result<v1::ForgotPassCodeResponse> {
        let caller = caller(&request)?;
        let identifier = credential::forgot_pass_code(request.into_inner())?;
        self.use_cases().forgot_pass_code(&caller, &identifier).await?;
        Ok(v1::ForgotPassCodeResponse {})
    }

    pub(super) async fn unlock(&self, request: Request<v1::UnlockAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let ((identifier, kinds), fields) = credential::unlock(request.into_inner())?;
        let unlocked = self.use_cases().unlock(&caller, &identifier, &kinds, fields.want()).await?;
        Ok(token::access_token(unlocked, &fields))
    }

    pub(super) async fn explain(
        &self,
        request: Request<v1::ExplainAccessTokenRequest>,
    ) -> Result<v1::ExplainAccessTokenResponse> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::explain(request.into_inner())?;
        let explained = self.use_cases().explain(&caller, &identifier).await?;
        Ok(explanation::explanation(explained, &fields))
    }

    pub(super) async fn guess_budgets(
        &self,
        request: Request<v1::ListGuessBudgetsRequest>,
    ) -> Result<v1::ListGuessBudgetsResponse> {
        let caller = caller(&request)?;
        let fields = request::list_guess_budgets(request.into_inner())?;
        let all = self.use_cases().list_guess_budgets(&caller).await?;
        Ok(v1::ListGuessBudgetsResponse {
            guess_budgets: all.iter().map(|one| explanation::guess_budget(one, &fields)).collect(),
        })
    }
}
