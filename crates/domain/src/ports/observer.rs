//! Counts of events for monitoring. Nothing but counts leaves through this port.

use crate::model::named::named;
use crate::model::secret::SecretKind;

named! {
    /// The outcome of an attempt at a secret. The names are labels of metrics.
    AttemptOutcome {
        /// The secret was compared, and was right.
        Right = "right",
        /// The secret was compared, and was wrong.
        Wrong = "wrong",
        /// The secret was not compared, because of a lock or because there is nothing to compare it with.
        Refused = "refused",
    }
}

/// Counts events. Each event is reported once and without the identity of the token or caller. Implementations return
/// at once.
pub trait Observer: Send + Sync + 'static {
    /// Counts an attempt at a secret of this kind. An attempt that was withdrawn, because the comparison failed, is not
    /// counted.
    fn attempt(&self, kind: SecretKind, outcome: AttemptOutcome);

    /// Counts a code of this kind that was requested, and whether it was admitted or refused by the limit. A request
    /// for an unknown token counts too: neither the answer nor the work may depend on whether the token exists.
    fn issue(&self, kind: SecretKind, admitted: bool);

    /// Counts a lock that a wrong secret of this kind has caused. A lock of an unknown token counts too.
    fn locked(&self, _kind: SecretKind) {}

    /// Counts an attempt to log in with a user name and a password.
    fn login(&self, _outcome: AttemptOutcome) {}

    /// Counts a wrong password that locked a user on one network, or on all networks that are new to the user.
    fn login_locked(&self) {}
}

/// An observer that counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn attempt(&self, _: SecretKind, _: AttemptOutcome) {}

    fn issue(&self, _: SecretKind, _: bool) {}
}
