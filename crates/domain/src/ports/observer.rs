//! Telling how it goes, for whoever watches the service: the port through which counts leave, and nothing but counts.

use crate::model::secret::SecretKind;

/// What came of an attempt at a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// It was compared, and it was the secret.
    Right,
    /// It was compared, and it was another one.
    Wrong,
    /// It was not compared: because of a lock, or because there is nothing to compare with.
    Refused,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Right, Self::Wrong, Self::Refused];

    /// The name that operators see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Refused => "refused",
        }
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
