//! Telling how it goes, for whoever watches the service: the port through which counts leave, and nothing but counts.

use crate::model::named::named;
use crate::model::secret::SecretKind;

named! {
    /// The outcome of an attempt at a secret. The names are labels of metrics.
    AttemptOutcome {
        /// It was compared, and it was the secret.
        Right = "right",
        /// It was compared, and it was another one.
        Wrong = "wrong",
        /// It was not compared: because of a lock, or because there is nothing to compare with.
        Refused = "refused",
    }
}

/// Is told of what happens, once a time, never of whom. Returns at once, whatever it does with it.
pub trait Observer: Send + Sync + 'static {
    /// A secret of this kind was presented. An attempt that was withdrawn because nobody could compare it is none.
    fn attempt(&self, kind: SecretKind, outcome: AttemptOutcome);

    /// A code of this kind was asked for, and admitted or refused as one too many. One for an unknown token counts as
    /// any other: nothing of an answer, nor of the work for it, may depend on that.
    fn issue(&self, kind: SecretKind, admitted: bool);

    /// A wrong secret of this kind was one too many: from now on others are refused. One for an unknown token counts as any
    /// other.
    fn locked(&self, _kind: SecretKind) {}

    /// A user name and a password were presented.
    fn login(&self, _outcome: AttemptOutcome) {}

    /// A wrong password locked a user on one network, or on all networks that are new to the user.
    fn login_locked(&self) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn attempt(&self, _: SecretKind, _: AttemptOutcome) {}

    fn issue(&self, _: SecretKind, _: bool) {}
}
