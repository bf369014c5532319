//! `AccessTokenService`: converts, calls the use case, converts back. What is about secrets is in [`super::credentials`].

use std::pin::pin;
use std::sync::Arc;

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{AccountStore, ReadConsistency, ReadOptions, Store};
use access_tokens_domain::{Result, service};
use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token_service_server::AccessTokenService;
use tonic::Request;

use super::app::App;
use super::caller::caller;
use super::convert::{changes, request, token};
use super::layer::Admitted;
use super::read_after;
use super::rpcs::{Answer, answer};

/// The service over the use cases.
pub(super) struct AccessTokenGrpc<S>(pub(super) Arc<App<S>>);

impl<S: Store + AccountStore> AccessTokenGrpc<S> {
    pub(super) fn use_cases(&self) -> &service::AccessTokens<S> {
        &self.0.access_tokens
    }

    /// Returns how current the reads of a call must be that decides nothing.
    fn consistency<T>(&self, request: &Request<T>, caller: &Caller) -> ReadConsistency {
        read_after::consistency(self.0.replicas.as_deref(), request.metadata(), caller)
    }

    async fn show(&self, request: Request<v1::ShowAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (consistency, admitted) = (self.consistency(&request, &caller), Admitted::of(&request));
        let (identifier, fields) = request::show(request.into_inner())?;
        let read = ReadOptions { consistency, call: admitted.as_ref().map(Admitted::state) };
        let found = self.use_cases().show(&caller, &identifier, fields.want(), read).await?;
        Ok(token::access_token(found, &fields))
    }

    async fn list(&self, request: Request<v1::ListAccessTokensRequest>) -> Result<v1::ListAccessTokensResponse> {
        let caller = caller(&request)?;
        let consistency = self.consistency(&request, &caller);
        let (list, fields) = request::list(request.into_inner())?;
        let page = self.use_cases().list(&caller, &list, fields.want(), consistency).await?;
        Ok(v1::ListAccessTokensResponse {
            access_tokens: page.tokens.into_iter().map(|found| token::access_token(found, &fields)).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
        })
    }

    async fn not_associated(
        &self,
        request: Request<v1::GetNotAssociatedAccessTokensRequest>,
    ) -> Result<v1::GetNotAssociatedAccessTokensResponse> {
        let caller = caller(&request)?;
        let consistency = self.consistency(&request, &caller);
        let (filter, fields) = request::not_associated(request.into_inner())?;
        let found = self.use_cases().not_associated(&caller, filter, fields.want(), consistency).await?;
        Ok(v1::GetNotAssociatedAccessTokensResponse {
            access_tokens: found.into_iter().map(|found| token::access_token(found, &fields)).collect(),
        })
    }

    async fn create(&self, request: Request<v1::CreateAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (create, fields) = changes::create(request.into_inner())?;
        let created = self.use_cases().create(&caller, create, fields.want()).await?;
        Ok(token::access_token(created, &fields))
    }

    async fn update(&self, request: Request<v1::UpdateAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let ((identifier, update), fields) = changes::update(request.into_inner())?;
        let updated = self.use_cases().update(&caller, &identifier, update, fields.want()).await?;
        Ok(token::access_token(updated, &fields))
    }

    async fn verify(&self, request: Request<v1::VerifyAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (verify, fields) = request::verify(request.into_inner())?;
        let verified = self.use_cases().verify(&caller, verify, fields.want()).await?;
        Ok(token::access_token(verified, &fields))
    }

    async fn reset_pass(&self, request: Request<v1::ResetPassCodeRequest>) -> Result<v1::ResetPassCodeResponse> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::reset_pass_code(request.into_inner())?;
        let issued = self.use_cases().reset_pass_code(&caller, &identifier).await?;
        Ok(token::issued_pass_code(issued, &fields))
    }

    async fn reset_verification(
        &self,
        request: Request<v1::ResetVerificationCodeRequest>,
    ) -> Result<v1::ResetVerificationCodeResponse> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::reset_verification_code(request.into_inner())?;
        let issued = self.use_cases().reset_verification_code(&caller, &identifier).await?;
        Ok(token::issued_verification_code(issued, &fields))
    }

    async fn otp(&self, request: Request<v1::GenerateOtpRequest>) -> Result<v1::GenerateOtpResponse> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::generate_otp(request.into_inner())?;
        let issued = self.use_cases().generate_otp(&caller, &identifier).await?;
        Ok(token::issued_one_time_password(issued, &fields))
    }

    async fn switch_on(&self, request: Request<v1::SetAsEffectiveRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::set_as_effective(request.into_inner())?;
        let set = self.use_cases().set_as_effective(&caller, &identifier, fields.want()).await?;
        Ok(token::access_token(set, &fields))
    }

    async fn switch_off(&self, request: Request<v1::SetAsNotEffectiveRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (identifier, fields) = request::set_as_not_effective(request.into_inner())?;
        let set = self.use_cases().set_as_not_effective(&caller, &identifier, fields.want()).await?;
        Ok(token::access_token(set, &fields))
    }

    async fn classifications(
        &self,
        request: Request<v1::ListClassificationsRequest>,
    ) -> Result<v1::ListClassificationsResponse> {
        let caller = caller(&request)?;
        let fields = request::list_classifications(request.into_inner())?;
        let all = self.use_cases().list_classifications(&caller).await?;
        Ok(v1::ListClassificationsResponse {
            classifications: all.iter().map(|one| token::classification(one, &fields)).collect(),
        })
    }
}

#[tonic::async_trait]
impl<S: Store + AccountStore> AccessTokenService for AccessTokenGrpc<S> {
    async fn show_access_token(&self, request: Request<v1::ShowAccessTokenRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.show_access_token", pin!(self.show(request))).await
    }

    async fn list_access_tokens(
        &self,
        request: Request<v1::ListAccessTokensRequest>,
    ) -> Answer<v1::ListAccessTokensResponse> {
        answer("AccessTokens.list_access_tokens", pin!(self.list(request))).await
    }

    async fn get_not_associated_access_tokens(
        &self,
        request: Request<v1::GetNotAssociatedAccessTokensRequest>,
    ) -> Answer<v1::GetNotAssociatedAccessTokensResponse> {
        answer("AccessTokens.get_not_associated_access_tokens", pin!(self.not_associated(request))).await
    }

    async fn create_access_token(&self, request: Request<v1::CreateAccessTokenRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.create_access_token", pin!(self.create(request))).await
    }

    async fn update_access_token(&self, request: Request<v1::UpdateAccessTokenRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.update_access_token", pin!(self.update(request))).await
    }

    async fn verify_access_token(&self, request: Request<v1::VerifyAccessTokenRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.verify_access_token", pin!(self.verify(request))).await
    }

    async fn reset_pass_code(&self, request: Request<v1::ResetPassCodeRequest>) -> Answer<v1::ResetPassCodeResponse> {
        answer("AccessTokens.reset_pass_code", pin!(self.reset_pass(request))).await
    }

    async fn reset_verification_code(
        &self,
        request: Request<v1::ResetVerificationCodeRequest>,
    ) -> Answer<v1::ResetVerificationCodeResponse> {
        answer("AccessTokens.reset_verification_code", pin!(self.reset_verification(request))).await
    }

    async fn generate_otp(&self, request: Request<v1::GenerateOtpRequest>) -> Answer<v1::GenerateOtpResponse> {
        answer("AccessTokens.generate_otp", pin!(self.otp(request))).await
    }

    async fn set_as_effective(&self, request: Request<v1::SetAsEffectiveRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.set_as_effective", pin!(self.switch_on(request))).await
    }

    async fn set_as_not_effective(&self, request: Request<v1::SetAsNotEffectiveRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.set_as_not_effective", pin!(self.switch_off(request))).await
    }

    async fn list_classifications(
        &self,
        request: Request<v1::ListClassificationsRequest>,
    ) -> Answer<v1::ListClassificationsResponse> {
        answer("AccessTokens.list_classifications", pin!(self.classifications(request))).await
    }

    async fn check_pass_code(&self, request: Request<v1::CheckPassCodeRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.check_pass_code", pin!(self.check(request))).await
    }

    async fn change_pass_code(&self, request: Request<v1::ChangePassCodeRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.change_pass_code", pin!(self.change_pass(request))).await
    }

    async fn verify_otp(&self, request: Request<v1::VerifyOtpRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.verify_otp", pin!(self.use_otp(request))).await
    }

    async fn forgot_pass_code(
        &self,
        request: Request<v1::ForgotPassCodeRequest>,
    ) -> Answer<v1::ForgotPassCodeResponse> {
        answer("AccessTokens.forgot_pass_code", pin!(self.forgot(request))).await
    }

    async fn unlock_access_token(&self, request: Request<v1::UnlockAccessTokenRequest>) -> Answer<v1::AccessToken> {
        answer("AccessTokens.unlock_access_token", pin!(self.unlock(request))).await
    }

    async fn explain_access_token(
        &self,
        request: Request<v1::ExplainAccessTokenRequest>,
    ) -> Answer<v1::ExplainAccessTokenResponse> {
        answer("AccessTokens.explain_access_token", pin!(self.explain(request))).await
    }

    async fn list_guess_budgets(
        &self,
        request: Request<v1::ListGuessBudgetsRequest>,
    ) -> Answer<v1::ListGuessBudgetsResponse> {
        answer("AccessTokens.list_guess_budgets", pin!(self.guess_budgets(request))).await
    }
}
