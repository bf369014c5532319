//! Issues codes, and creates the codes that a policy creates.

use super::AccessTokens;
use super::keyed_mutex::too_many_calls;
use super::verifier::MAX_LEDGER_WRITE_ATTEMPTS;
use crate::model::access_token::VerificationCode;
use crate::model::policy::{CodePolicy, Creation, Policy};
use crate::model::secret::{Secret, SecretKind};
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::ports::Purpose;
use crate::ports::code;
use crate::ports::store::{Entry, Sequence, Store};
use crate::{Error, Reason, Result};

impl<S: Store> AccessTokens<S> {
    /// Returns a new verification code, in clear and as it is stored.
    pub(super) fn issue_verification_code(&self, token: &str, policy: &Policy) -> Result<(Secret, VerificationCode)> {
        let code = code::digits(self.random.as_ref(), policy.verification_code_length.into())?;
        let kept = VerificationCode {
            hash: self.secrets.code_hash(Purpose::Verification, token, &code)?,
            sealed: self.secrets.seal(Purpose::Verification, token, &code)?,
        };
        Ok((code, kept))
    }

    /// Counts a code that is about to be issued, or refuses it with TOO_MANY_CODES.
    pub(super) async fn admit_issue(
        &self,
        organisation: OrganisationKey,
        token: &str,
        kind: SecretKind,
        policy: &Policy,
    ) -> Result<()> {
        self.count_issue(organisation, token, kind, policy).await?.map_err(|next| {
            let wait = (next - self.clock.now()).to_std().unwrap_or_default();
            Error::new(Reason::TooManyCodes, "the access token got as many codes as the policy allows for now")
                .retry_after(wait.max(std::time::Duration::from_secs(1)))
        })
    }

    /// Counts a code that is about to be issued. The inner error is the time from which one may be issued. The work is
    /// the same in both cases.
    pub(super) async fn count_issue(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        policy: &Policy,
    ) -> Result<Result<(), Timestamp>> {
        for _ in 0..MAX_LEDGER_WRITE_ATTEMPTS {
            let Entry { state, revision } = self.store.issues(organisation, subject, kind).await?;
            let admitted = state.admit(&policy.issue, self.clock.now());
            let (state, answer) = match admitted {
                Ok(next) => (next, Ok(())),
                Err(next) => (state, Err(next)),
            };
            if self.store.save_issues(organisation, subject, kind, &Entry { state, revision }).await? || answer.is_err()
            {
                self.observer.issue(kind, answer.is_ok());
                return Ok(answer);
            }
        }
        Err(too_many_calls())
    }

    /// Returns the code that the policy creates when the caller gives none. `None`: the policy creates none.
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
                let prefix = policy.auto_number_prefix();
                let number = self.numbers.next(self.store.as_ref(), organisation, sequence, &prefix).await?;
                Ok(Some(format!("{prefix}{number:010}")))
            }
        }
    }

    /// Prepares another call of [`Self::generate`], after its code turned out to be in use.
    pub(super) async fn skip_taken_numbers(
        &self,
        organisation: OrganisationKey,
        policy: &CodePolicy,
        sequence: Sequence,
    ) -> Result<()> {
        if policy.creation == Creation::AutoNumber {
            let prefix = policy.auto_number_prefix();
            self.numbers.discard_and_realign(self.store.as_ref(), organisation, sequence, &prefix).await?;
        }
        Ok(())
    }
}
