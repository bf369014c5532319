//! `AccessTokenService`: converts, calls the use case, converts back. The methods about secrets are in [`super::credentials`].

use std::sync::Arc;

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{AccountStore, ReadConsistency, ReadOptions, Store};
use access_tokens_domain::{Result, service};
use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token_service_server::AccessTokenService;
use tonic::Request;

use super::app::App;
use super::caller::{caller, unpack};
use super::convert::{changes, credential, request, token};
use super::layer::Admitted;
use super::read_after;
use super::rpcs::rpcs;

/// The service over the use cases.
pub(super) struct AccessTokenGrpc<S>(pub(super) Arc<App<S>>);

impl<S: Store + AccountStore> AccessTokenGrpc<S> {
    pub(super) fn use_cases(&self) -> &service::AccessTokens<S> {
        &self.0.access_tokens
    }

    /// Returns the consistency of reads of a call on which no decision depends.
    fn consistency<T>(&self, request: &Request<T>, caller: &Caller) -> ReadConsistency {
        read_after::consistency(self.0.replicas.as_deref(), request.metadata(), caller)
    }

    async fn show_access_token(&self, request: Request<v1::ShowAccessTokenRequest>) -> Result<v1::AccessToken> {
        let caller = caller(&request)?;
        let (consistency, admitted) = (self.consistency(&request, &caller), Admitted::of(&request));
        let (identifier, fields) = request::show(request.into_inner())?;
        let read = ReadOptions { consistency, call: admitted.as_ref().map(Admitted::state) };
        let found = self.use_cases().show(&caller, &identifier, &fields, read).await?;
        Ok(token::access_token(found, &fields))
    }

    async fn list_access_tokens(
        &self,
        request: Request<v1::ListAccessTokensRequest>,
    ) -> Result<v1::ListAccessTokensResponse> {
        let caller = caller(&request)?;
        let consistency = self.consistency(&request, &caller);
        let (list, fields) = request::list(request.into_inner())?;
        let page = self.use_cases().list(&caller, &list, &fields, consistency).await?;
        Ok(v1::ListAccessTokensResponse {
            access_tokens: page.tokens.into_iter().map(|found| token::access_token(found, &fields)).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
        })
    }

    async fn get_not_associated_access_tokens(
        &self,
        request: Request<v1::GetNotAssociatedAccessTokensRequest>,
    ) -> Result<v1::GetNotAssociatedAccessTokensResponse> {
        let caller = caller(&request)?;
        let consistency = self.consistency(&request, &caller);
        let (filter, fields) = request::not_associated(request.into_inner())?;
        let found = self.use_cases().not_associated(&caller, filter, &fields, consistency).await?;
        Ok(v1::GetNotAssociatedAccessTokensResponse {
            access_tokens: found.into_iter().map(|found| token::access_token(found, &fields)).collect(),
        })
    }

    async fn create_access_token(&self, request: Request<v1::CreateAccessTokenRequest>) -> Result<v1::AccessToken> {
        let (caller, (create, fields)) = unpack(request, changes::create)?;
        let created = self.use_cases().create(&caller, create, &fields).await?;
        Ok(token::access_token(created, &fields))
    }

    async fn update_access_token(&self, request: Request<v1::UpdateAccessTokenRequest>) -> Result<v1::AccessToken> {
        let (caller, ((identifier, update), fields)) = unpack(request, changes::update)?;
        let updated = self.use_cases().update(&caller, &identifier, update, &fields).await?;
        Ok(token::access_token(updated, &fields))
    }

    async fn verify_access_token(&self, request: Request<v1::VerifyAccessTokenRequest>) -> Result<v1::AccessToken> {
        let (caller, (verify, fields)) = unpack(request, request::verify)?;
        let verified = self.use_cases().verify(&caller, verify, &fields).await?;
        Ok(token::access_token(verified, &fields))
    }

    async fn reset_pass_code(&self, request: Request<v1::ResetPassCodeRequest>) -> Result<v1::ResetPassCodeResponse> {
        let (caller, (identifier, fields)) = unpack(request, request::reset_pass_code)?;
        let issued = self.use_cases().reset_pass_code(&caller, &identifier).await?;
        Ok(token::issued_pass_code(issued, &fields))
    }

    async fn reset_verification_code(
        &self,
        request: Request<v1::ResetVerificationCodeRequest>,
    ) -> Result<v1::ResetVerificationCodeResponse> {
        let (caller, (identifier, fields)) = unpack(request, request::reset_verification_code)?;
        let issued = self.use_cases().reset_verification_code(&caller, &identifier).await?;
        Ok(token::issued_verification_code(issued, &fields))
    }

    async fn generate_otp(&self, request: Request<v1::GenerateOtpRequest>) -> Result<v1::GenerateOtpResponse> {
        let (caller, (identifier, fields)) = unpack(request, request::generate_otp)?;
        let issued = self.use_cases().generate_otp(&caller, &identifier).await?;
        Ok(token::issued_one_time_password(issued, &fields))
    }

    async fn set_as_effective(&self, request: Request<v1::SetAsEffectiveRequest>) -> Result<v1::AccessToken> {
        let (caller, (identifier, fields)) = unpack(request, request::set_as_effective)?;
        let set = self.use_cases().set_as_effective(&caller, &identifier, &fields).await?;
        Ok(token::access_token(set, &fields))
    }

    async fn set_as_not_effective(&self, request: Request<v1::SetAsNotEffectiveRequest>) -> Result<v1::AccessToken> {
        let (caller, (identifier, fields)) = unpack(request, request::set_as_not_effective)?;
        let set = self.use_cases().set_as_not_effective(&caller, &identifier, &fields).await?;
        Ok(token::access_token(set, &fields))
    }

    async fn list_classifications(
        &self,
        request: Request<v1::ListClassificationsRequest>,
    ) -> Result<v1::ListClassificationsResponse> {
        let (caller, fields) = unpack(request, request::list_classifications)?;
        let all = self.use_cases().list_classifications(&caller).await?;
        Ok(v1::ListClassificationsResponse {
            classifications: all.iter().map(|one| token::classification(one, &fields)).collect(),
        })
    }
}

rpcs! {
    AccessTokenService for AccessTokenGrpc, spans "AccessTokens";

    ShowAccessToken: show_access_token(ShowAccessTokenRequest => request::show) -> AccessToken;
    ListAccessTokens: list_access_tokens(ListAccessTokensRequest => request::list) -> ListAccessTokensResponse;
    GetNotAssociatedAccessTokens: get_not_associated_access_tokens(
        GetNotAssociatedAccessTokensRequest => request::not_associated
    ) -> GetNotAssociatedAccessTokensResponse;
    CreateAccessToken: create_access_token(CreateAccessTokenRequest => changes::create) -> AccessToken;
    UpdateAccessToken: update_access_token(UpdateAccessTokenRequest => changes::update) -> AccessToken;
    VerifyAccessToken: verify_access_token(VerifyAccessTokenRequest => request::verify) -> AccessToken;
    ResetPassCode: reset_pass_code(ResetPassCodeRequest => request::reset_pass_code)
        -> ResetPassCodeResponse;
    ResetVerificationCode: reset_verification_code(ResetVerificationCodeRequest => request::reset_verification_code)
        -> ResetVerificationCodeResponse;
    GenerateOtp: generate_otp(GenerateOtpRequest => request::generate_otp) -> GenerateOtpResponse;
    SetAsEffective: set_as_effective(SetAsEffectiveRequest => request::set_as_effective) -> AccessToken;
    SetAsNotEffective: set_as_not_effective(SetAsNotEffectiveRequest => request::set_as_not_effective)
        -> AccessToken;
    ListClassifications: list_classifications(ListClassificationsRequest => request::list_classifications)
        -> ListClassificationsResponse;
    CheckPassCode: check_pass_code(CheckPassCodeRequest => credential::check_pass_code) -> AccessToken;
    ChangePassCode: change_pass_code(ChangePassCodeRequest => credential::change_pass_code)
        -> AccessToken;
    VerifyOtp: verify_otp(VerifyOtpRequest => credential::verify_otp) -> AccessToken;
    ForgotPassCode: forgot_pass_code(ForgotPassCodeRequest => credential::forgot_pass_code)
        -> ForgotPassCodeResponse;
    UnlockAccessToken: unlock_access_token(UnlockAccessTokenRequest => credential::unlock) -> AccessToken;
    ExplainAccessToken: explain_access_token(ExplainAccessTokenRequest => request::explain)
        -> ExplainAccessTokenResponse;
    ListGuessBudgets: list_guess_budgets(ListGuessBudgetsRequest => request::list_guess_budgets)
        -> ListGuessBudgetsResponse;
}
