//! Ways in for the fuzz targets, to what takes in the bytes of outsiders and is no part of the interface of this crate.

use crate::convert::{changes, credential, login, record, request};
use crate::rpcs::read;
use access_tokens_domain::Result;
use access_tokens_proto::v1;

/// Converts a request as the method of this name does. `None`: the bytes are not its message, or there is nothing to convert.
pub fn convert(method: &str, message: &[u8]) -> Option<Result<()>> {
    match method {
        "ShowAccessToken" => read(message, request::show),
        "ListAccessTokens" => read(message, request::list),
        "GetNotAssociatedAccessTokens" => read(message, request::not_associated),
        "CreateAccessToken" => read(message, changes::create),
        "UpdateAccessToken" => read(message, changes::update),
        "VerifyAccessToken" => read(message, request::verify),
        "ResetPassCode" => read(message, request::reset_pass_code),
        "ResetVerificationCode" => read(message, request::reset_verification_code),
        "GenerateOtp" => read(message, request::generate_otp),
        "SetAsEffective" => read(message, request::set_as_effective),
        "SetAsNotEffective" => read(message, request::set_as_not_effective),
        "ListClassifications" => read(message, request::list_classifications),
        "CheckPassCode" => read(message, credential::check_pass_code),
        "ChangePassCode" => read(message, credential::change_pass_code),
        "VerifyOtp" => read(message, credential::verify_otp),
        "ForgotPassCode" => read(message, credential::forgot_pass_code),
        "UnlockAccessToken" => read(message, credential::unlock),
        "ExplainAccessToken" => read(message, request::explain),
        "ListGuessBudgets" => read(message, request::list_guess_budgets),
        "LoginWithApiKey" => read(message, |request| login::api_key(None, request)),
        "ImportDirectory" => read(message, |request: v1::ImportDirectoryRequest| record::record(&request)),
        _ => None,
    }
}
