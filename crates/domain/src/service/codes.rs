//! Issuing codes and creating what a policy creates.

use super::AccessTokens;
use crate::access_token::VerificationCode;
use crate::policy::{CodePolicy, Creation, Policy};
use crate::ports::Purpose;
use crate::secret::Secret;
use crate::session::OrganisationKey;
use crate::store::{Sequence, Store};
use crate::{Result, code};

/// Digits of a code from a sequence, at least.
const AUTO_NUMBER_DIGITS: usize = 10;

impl<S: Store> AccessTokens<S> {
    /// A new verification code, to show once and to keep.
    pub(super) fn issue_verification_code(&self, token: &str, policy: &Policy) -> Result<(Secret, VerificationCode)> {
        let code = code::digits(self.random.as_ref(), policy.verification_code_length.into())?;
        let kept = VerificationCode {
            hash: self.secrets.code_hash(Purpose::Verification, token, &code),
            sealed: self.secrets.seal(Purpose::Verification, token, &code)?,
        };
        Ok((code, kept))
    }

    /// What the policy creates in place of a code that the caller did not give; `None` when the policy creates nothing.
    pub(super) async fn generate(
        &self,
        organisation: OrganisationKey,
        policy: &CodePolicy,
        sequence: Sequence,
    ) -> Result<Option<String>> {
        match policy.creation {
            Creation::None => Ok(None),
            Creation::AutoId => code::hex_id(self.random.as_ref()).map(Some),
            Creation::AutoNumber => {
                let number = self.numbers.next(self.store.as_ref(), organisation, sequence).await?;
                let width = AUTO_NUMBER_DIGITS.max(policy.min_length.into());
                Ok(Some(format!("{number:0width$}")))
            }
        }
    }
}
