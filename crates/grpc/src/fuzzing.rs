//! The conversions of requests, for fuzz targets. No other caller needs them.

use access_tokens_domain::Result;

use crate::rpcs::Rpc;
use crate::{access_token_service, authentication_service, directory_service};

/// Returns every declared method.
pub fn rpcs() -> impl Iterator<Item = &'static Rpc> {
    [access_token_service::RPCS, authentication_service::RPCS, directory_service::RPCS].into_iter().flatten()
}

/// Converts an encoded request as the method of this path does. `None`: the bytes are not a message of the method.
pub fn convert(path: &str, message: &[u8]) -> Option<Result<()>> {
    let rpc = rpcs().find(|rpc| rpc.path == path)?;
    (rpc.convert)(message)
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::options;

    use super::*;

    #[test]
    fn the_declared_methods_and_their_messages_are_those_of_the_contract() {
        let full = |message: &str| format!("accesstoken.v1.{message}");
        let mut declared: Vec<_> =
            rpcs().map(|rpc| [rpc.path.to_owned(), full(rpc.request), full(rpc.response)]).collect();
        let of_contract = options::methods().iter().map(|m| [m.grpc_path.clone(), m.input.clone(), m.output.clone()]);
        let mut of_contract: Vec<_> = of_contract.collect();
        declared.sort();
        of_contract.sort();
        assert_eq!(declared, of_contract);
    }

    #[test]
    fn a_request_is_converted_by_the_method_of_its_path() {
        let show = "/accesstoken.v1.AccessTokenService/ShowAccessToken";
        let error = convert(show, &[]).expect("an empty message").expect_err("no identifier");
        assert_eq!(error.violations()[0].field, "access_token_identifier");
        assert!(convert(show, &[0xff]).is_none(), "the bytes are no message");
        assert!(convert("/accesstoken.v1.AccessTokenService/Nonsense", &[]).is_none());
    }
}
