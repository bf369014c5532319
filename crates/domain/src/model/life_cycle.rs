//! The life cycle of an access token: three states and the changes between them.
//!
//! ```text
//! PENDING_VERIFICATION --verify--> EFFECTIVE <--set_as_effective-- NOT_EFFECTIVE
//!                                  EFFECTIVE --set_as_not_effective--> NOT_EFFECTIVE
//! ```

use crate::model::named::named_document;
use crate::{Error, Reason, Result};

named_document! {
    /// The state of an access token. Only EFFECTIVE tokens give access.
    LifeCycleState {
        /// The token gives access.
        Effective = "EFFECTIVE",
        /// The token was switched off and can be switched on again.
        NotEffective = "NOT_EFFECTIVE",
        /// The token waits for its verification code.
        PendingVerification = "PENDING_VERIFICATION",
    }
}

/// A change of the state. Each has exactly one source and one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Verification with the verification code.
    Verify,
    /// Switches the token on.
    SetAsEffective,
    /// Switches the token off.
    SetAsNotEffective,
}

impl Transition {
    /// Returns the only state in which the change is allowed.
    pub fn source(self) -> LifeCycleState {
        match self {
            Self::Verify => LifeCycleState::PendingVerification,
            Self::SetAsEffective => LifeCycleState::NotEffective,
            Self::SetAsNotEffective => LifeCycleState::Effective,
        }
    }

    /// Returns the state after the change.
    pub fn target(self) -> LifeCycleState {
        match self {
            Self::Verify | Self::SetAsEffective => LifeCycleState::Effective,
            Self::SetAsNotEffective => LifeCycleState::NotEffective,
        }
    }
}

/// Refuses a call when the state is not the one that it needs.
pub fn require(expected: LifeCycleState, found: LifeCycleState) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let message = format!("the access token is {}, this call is only for {}", found.name(), expected.name());
    Err(Error::new(Reason::WrongLifeCycleState, message)
        .with("life_cycle_state", found.name())
        .with("expected", expected.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_transition_stays_where_it_is_and_none_returns_to_pending() {
        for transition in [Transition::Verify, Transition::SetAsEffective, Transition::SetAsNotEffective] {
            assert_ne!(transition.source(), transition.target());
            assert_ne!(transition.target(), LifeCycleState::PendingVerification);
        }
    }

    #[test]
    fn the_error_names_both_states() {
        let error = require(LifeCycleState::Effective, LifeCycleState::NotEffective).expect_err("wrong state");
        assert_eq!(error.metadata()["life_cycle_state"], "NOT_EFFECTIVE");
        assert_eq!(error.metadata()["expected"], "EFFECTIVE");
    }

    #[test]
    fn names_round_trip() {
        for state in LifeCycleState::ALL {
            assert_eq!(LifeCycleState::from_name(state.name()), Some(state));
        }
    }
}
