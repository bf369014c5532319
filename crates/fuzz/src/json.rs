use access_tokens_proto::json::{field_mask_from_str, field_mask_to_string, from_value, to_value};
use access_tokens_proto::v1;
use prost::{Message, Name};
use serde_json::Value;

use crate::canary::{self, CANARY};
use crate::selection::select;

macro_rules! messages {
    ($($name:ident)*) => { [$(round_trip::<v1::$name>),*] };
}

const MESSAGES: [fn(&Value); 26] = messages!(
    ShowAccessTokenRequest ListAccessTokensRequest GetNotAssociatedAccessTokensRequest CreateAccessTokenRequest
    UpdateAccessTokenRequest VerifyAccessTokenRequest ResetPassCodeRequest ResetVerificationCodeRequest
    GenerateOtpRequest SetAsEffectiveRequest SetAsNotEffectiveRequest ListClassificationsRequest CheckPassCodeRequest
    ChangePassCodeRequest VerifyOtpRequest ForgotPassCodeRequest UnlockAccessTokenRequest ExplainAccessTokenRequest
    ListGuessBudgetsRequest LoginRequest LoginWithApiKeyRequest ReleaseTokenRequest ImportDirectoryRequest AccessToken
    ListAccessTokensResponse ExplainAccessTokenResponse
);

/// JSON by the canonical mapping. Asserts that a message that was read is written and read again as the same message.
pub fn json(data: &[u8]) {
    let Some((message, text)) = select(&MESSAGES, data) else { return };
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return };
    message(&value);
    // The same with wrong values only, none of which may be repeated.
    canary::in_json(&mut value, &|_| true);
    message(&value);
}

fn round_trip<M: Message + Name + Default + PartialEq>(value: &Value) {
    match from_value::<M>(value) {
        Ok(message) => {
            let written = to_value(&message);
            let again: M = from_value(&written).unwrap_or_else(|faults| panic!("{written} is refused: {faults:?}"));
            if masks_survive(value) {
                assert_eq!(to_value(&again), written);
                // Bytes are compared, because NaN is not equal to itself.
                assert_eq!(again.encode_to_vec(), message.encode_to_vec(), "{written}");
            }
            assert!(M::decode(message.encode_to_vec().as_slice()).is_ok());
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            for fault in faults {
                assert!(!fault.description.is_empty() && !fault.description.contains(CANARY), "{fault:?}");
                assert!(fault.description.len() < 4_000, "{fault:?}");
            }
        }
    }
}

/// Returns whether all paths of masks are names of fields. A mask may hold other paths, such as `_a`, which do not survive camel
/// case.
fn masks_survive(message: &Value) -> bool {
    let names = ["fields_set", "fieldsSet", "update_mask", "updateMask", "null_fields", "nullFields"];
    names.iter().filter_map(|field| message.get(field)?.as_str()).all(|mask| {
        let read = field_mask_from_str(mask);
        field_mask_from_str(&field_mask_to_string(&read)) == read
    })
}
