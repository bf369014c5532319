//! Sends a one-time password to the owner of a token who has forgotten the pass code. With it, the owner can set a new
//! pass code.

use chrono::Duration;
use futures::try_join;

use super::AccessTokens;
use crate::model::access_token::{OneTimePassword, Precondition, TokenChanges};
use crate::model::identifier::ResetIdentifier;
use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::SecretKind;
use crate::model::session::{Caller, Permission};
use crate::ports::Purpose;
use crate::ports::code;
use crate::ports::notification::{Notification, NotificationKind};
use crate::ports::store::{FoundToken, Lookup, Store};
use crate::{Error, Reason, Result};

impl<S: Store> AccessTokens<S> {
    /// Sends a one-time password to the owner of an EFFECTIVE token. The answer and the work are the same when there is
    /// no such token, when it is in another state, and when it already got the maximum number of codes. Nothing is sent
    /// then.
    pub async fn forgot_pass_code(&self, caller: &Caller, identifier: &ResetIdentifier) -> Result<()> {
        caller.require(Permission::AccessTokensWrite)?;
        if !self.notifier.delivers() {
            let text = "the service is not configured to deliver notifications";
            return Err(Error::new(Reason::NotificationsDisabled, text));
        }
        let Lookup { found, reference } = self.find_by_reset_identifier(caller, identifier).await?;
        let token = found.map(|found| found.token);
        let policy = reference.policy(token.as_ref().and_then(|token| token.classification.as_deref()));
        let dummy_subject = self.dummy_subject()?;
        let subject = token.as_ref().map_or(&dummy_subject, |token| &token.id);
        let issued = self.count_issue(caller.organisation, subject, SecretKind::OneTimePassword, policy).await?;

        let one_time_password = code::digits(self.random.as_ref(), policy.otp_length.into())?;
        let expiration_date = self.clock.now() + Duration::seconds(policy.otp_lifetime_seconds.into());
        let hash = self.secrets.code_hash(Purpose::OneTimePassword, subject, &one_time_password)?;
        let kept = OneTimePassword { hash, expiration_date };
        let changes = TokenChanges { one_time_password: Some(Some(kept)), ..TokenChanges::default() };
        let precondition =
            Precondition { life_cycle_state: Some(LifeCycleState::Effective), ..Precondition::default() };
        let now = self.clock.now();
        let stamp = caller.stamp(&reference, now);
        let stamp = match &token {
            Some(token) => stamp.after(&token.updated),
            None => stamp,
        };
        // No token has the id of a dummy subject, so the same write has no effect.
        let target = if issued.is_ok() { subject } else { &dummy_subject };
        // A write that changes no row has nothing to commit, and so is faster. For this reason the row of a dummy
        // subject is written at the same time in each case.
        let (written, ()) = try_join!(
            self.store.update_token(caller.organisation, target, &precondition, &changes, Some(&stamp)),
            self.store.count_refused(caller.organisation, &dummy_subject, SecretKind::OneTimePassword, now)
        )?;
        if let Some(FoundToken { token, .. }) = written {
            self.notifier.notify(Notification::about(
                NotificationKind::PassCodeForgotten,
                &reference.organisation.id,
                &token,
                one_time_password,
                Some(expiration_date),
            ));
        }
        Ok(())
    }
}
