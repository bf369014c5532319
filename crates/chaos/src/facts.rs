//! The known state of a token, the effect of a change on it, and the state that the service shows.

use serde_json::Value;

/// The verification code of a token, as far as the client knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Code {
    /// The token has no code.
    None,
    /// The token has this code.
    Is(String),
    /// The token has a code that the client does not know.
    Any,
}

/// The one-time password of a token, as far as the client knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Password {
    /// Unknown, so it cannot be checked.
    Unclear,
    /// This one was issued last and has not been used.
    Issued(String),
    /// This one was used, or ended with a change of state. The service must refuse it.
    Used(String),
}

/// The acknowledged state of a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// Name of the life cycle state.
    pub(crate) state: &'static str,
    /// Number of the last update, which is the value of `udf_string_1`.
    pub(crate) value: u64,
    /// The verification code.
    pub(crate) code: Code,
    /// The one-time password.
    pub(crate) password: Password,
}

/// The change that a call requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// Creates a token.
    Create(Facts),
    /// Sets `udf_string_1`.
    Value(u64),
    /// Sets the life cycle state.
    State(&'static str),
    /// Issues a verification code.
    Code(Code),
    /// Verifies the token, which becomes effective. Its code is still shown.
    Verify,
    /// Issues a one-time password; `None` if the client did not receive it.
    Issue(Option<String>),
    /// Uses the one-time password.
    Use,
}

/// A token as the service shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownToken {
    /// `authentication_code`, the key of the token in the ledger.
    pub(crate) key: String,
    /// Number of the token, which the service draws and which is unique.
    pub(crate) number: String,
    state: String,
    value: Option<u64>,
    code: Option<String>,
}

impl Facts {
    /// Returns the state of a new token.
    pub(crate) fn new(state: &'static str, value: u64, code: Code) -> Self {
        Self { state, value, code, password: Password::Unclear }
    }

    /// Returns whether the service shows this state.
    pub(crate) fn explain(&self, seen: &ShownToken) -> bool {
        let code = match (&self.code, &seen.code) {
            (Code::None, shown) => shown.is_none(),
            (Code::Any, shown) => shown.is_some(),
            (Code::Is(code), shown) => shown.as_ref() == Some(code),
        };
        code && self.state == seen.state && Some(self.value) == seen.value
    }

    /// Marks an issued one-time password as used.
    fn end_password(&mut self) {
        if let Password::Issued(password) = &self.password {
            self.password = Password::Used(password.clone());
        }
    }

    /// Returns the same state with the code that the service shows, if the client did not know it.
    pub(crate) fn with_shown_code(mut self, seen: &ShownToken) -> Self {
        if let (Code::Any, Some(code)) = (&self.code, &seen.code) {
            self.code = Code::Is(code.clone());
        }
        self
    }
}

impl Change {
    /// Returns the state after the change. `before` is `None` if there was no token.
    pub(crate) fn of(&self, before: Option<&Facts>) -> Option<Facts> {
        if let Self::Create(facts) = self {
            return Some(facts.clone());
        }
        let mut facts = before?.clone();
        match self {
            Self::Create(_) => {}
            Self::Value(value) => facts.value = *value,
            Self::State(state) => {
                facts.state = state;
                facts.end_password();
            }
            Self::Code(code) => facts.code = code.clone(),
            Self::Verify => facts.state = "EFFECTIVE",
            Self::Issue(password) => facts.password = password.clone().map_or(Password::Unclear, Password::Issued),
            Self::Use => facts.end_password(),
        }
        Some(facts)
    }

    /// Returns whether the service never shows that the change took effect.
    pub(crate) fn is_invisible(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Use)
    }

    /// Returns the entry of the ledger.
    pub(crate) fn ledger_entry(&self) -> String {
        match self {
            Self::Create(facts) => format!("create {}/{}", facts.state, facts.value),
            Self::Value(value) => format!("update {value}"),
            Self::State(state) => format!("state {state}"),
            Self::Code(Code::Is(code)) => format!("code {code}"),
            Self::Code(_) => "code ?".to_owned(),
            Self::Verify => "verify -".to_owned(),
            Self::Issue(password) => format!("issue {}", password.as_deref().unwrap_or("?")),
            Self::Use => "use -".to_owned(),
        }
    }
}

impl ShownToken {
    /// Reads a token from a list. `None` if it lacks a member that every token of a scenario has.
    pub(crate) fn from_json(token: &Value) -> Option<Self> {
        let text = |name: &str| token[name].as_str().map(str::to_owned);
        Some(Self {
            key: text("authentication_code")?,
            number: text("number")?,
            state: text("life_cycle_state")?,
            value: text("udf_string_1").and_then(|value| value.parse().ok()),
            code: text("verification_code"),
        })
    }

    /// Returns whether the life cycle state exists and agrees with the code.
    pub(crate) fn is_legal(&self) -> bool {
        ["EFFECTIVE", "NOT_EFFECTIVE", "PENDING_VERIFICATION"].contains(&self.state.as_str())
            && (self.state != "PENDING_VERIFICATION" || self.code.is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(state: &str, value: u64, code: Option<&str>) -> ShownToken {
        let token = json!({"authentication_code": "k", "number": "AT1", "life_cycle_state": state,
            "udf_string_1": value.to_string(), "verification_code": code});
        ShownToken::from_json(&token).expect("a token")
    }

    #[test]
    fn changes_follow_each_other() {
        let created = Facts::new("PENDING_VERIFICATION", 1, Code::Is("7".to_owned()));
        assert!(created.explain(&shown("PENDING_VERIFICATION", 1, Some("7"))));
        assert!(!created.explain(&shown("PENDING_VERIFICATION", 1, Some("8"))), "another code");
        let verified = Change::Verify.of(Some(&created)).expect("a token");
        assert!(verified.explain(&shown("EFFECTIVE", 1, Some("7"))));
        let updated = Change::Value(2).of(Some(&verified)).expect("a token");
        assert!(
            updated.explain(&shown("EFFECTIVE", 2, Some("7"))) && !updated.explain(&shown("EFFECTIVE", 1, Some("7")))
        );
        let issued = Change::Issue(Some("9".to_owned())).of(Some(&updated)).expect("a token");
        let used = Change::Use.of(Some(&issued)).expect("a token");
        assert_eq!(used.password, Password::Used("9".to_owned()));
        assert_eq!(Change::Value(3).of(None), None);
    }

    #[test]
    fn an_unknown_code_matches_any_code_until_one_is_shown() {
        let created = Facts::new("PENDING_VERIFICATION", 1, Code::Any);
        let seen = shown("PENDING_VERIFICATION", 1, Some("7"));
        assert!(created.explain(&seen) && seen.is_legal());
        assert_eq!(created.with_shown_code(&seen).code, Code::Is("7".to_owned()));
        assert!(!shown("PENDING_VERIFICATION", 1, None).is_legal());
    }
}
