//! What is known of a token, what a change makes of it, and what the service shows.

use serde_json::Value;

/// What the caller knows of a verification code that stands at a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Code {
    /// There is none.
    None,
    /// This one.
    Is(String),
    /// Some code: nobody told the caller which.
    Any,
}

/// What the caller knows of the one-time password.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Password {
    /// Nothing that could be checked.
    Unclear,
    /// This one was issued last, and nobody has used it.
    Issued(String),
    /// This one was used, or ended with a change of state: it is refused.
    Used(String),
}

/// What has been acknowledged of a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// The state, by its name.
    pub(crate) state: &'static str,
    /// The number of the last update: what stands in `udf_string_1`.
    pub(crate) value: u64,
    /// The verification code.
    pub(crate) code: Code,
    /// The one-time password.
    pub(crate) password: Password,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A new token.
    Create(Facts),
    /// Another value.
    Value(u64),
    /// Another state.
    State(&'static str),
    /// A new verification code.
    Code(Code),
    /// Verification: the token becomes effective. Its code is still shown.
    Verify,
    /// A new one-time password; `None` as long as nobody has said which.
    Issue(Option<String>),
    /// The one-time password is used up.
    Use,
}

/// What the service shows of a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownToken {
    /// `authentication_code`, by which the ledger knows it.
    pub(crate) key: String,
    /// Unique, and drawn by the service.
    pub(crate) number: String,
    state: String,
    value: Option<u64>,
    code: Option<String>,
}

impl Facts {
    /// A new token in a state.
    pub(crate) fn new(state: &'static str, value: u64, code: Code) -> Self {
        Self { state, value, code, password: Password::Unclear }
    }

    /// Is this what the service shows?
    pub(crate) fn explain(&self, seen: &ShownToken) -> bool {
        let code = match (&self.code, &seen.code) {
            (Code::None, shown) => shown.is_none(),
            (Code::Any, shown) => shown.is_some(),
            (Code::Is(code), shown) => shown.as_ref() == Some(code),
        };
        code && self.state == seen.state && Some(self.value) == seen.value
    }

    /// A one-time password that was issued is refused from now on.
    fn end_password(&mut self) {
        if let Password::Issued(password) = &self.password {
            self.password = Password::Used(password.clone());
        }
    }

    /// What is shown settles what the caller was not told.
    pub(crate) fn with_shown_code(mut self, seen: &ShownToken) -> Self {
        if let (Code::Any, Some(code)) = (&self.code, &seen.code) {
            self.code = Code::Is(code.clone());
        }
        self
    }
}

impl Change {
    /// What a token is after the change. `None` before: there was no token.
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

    /// Can nobody see whether it took effect?
    pub(crate) fn is_invisible(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Use)
    }

    /// For the ledger.
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
    /// A token as it is listed. `None`: it is none of ours.
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

    /// Is the state one that there is?
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
    fn a_code_that_nobody_told_is_any_until_it_is_seen() {
        let created = Facts::new("PENDING_VERIFICATION", 1, Code::Any);
        let seen = shown("PENDING_VERIFICATION", 1, Some("7"));
        assert!(created.explain(&seen) && seen.is_legal());
        assert_eq!(created.with_shown_code(&seen).code, Code::Is("7".to_owned()));
        assert!(!shown("PENDING_VERIFICATION", 1, None).is_legal());
    }
}
