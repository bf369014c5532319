//! The error type of the domain: a public reason, the fields at fault, and a cause that only the log gets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::named::named;

named! {
    /// The reason of an error. The names are those of `accesstoken.v1.ErrorReason`, in its order; a test compares the two lists.
    Reason {
        /// The session is missing, malformed, expired or released.
        InvalidToken = "INVALID_TOKEN",
        /// The user name, the password, the organisation or the API key is wrong. The error does not say which.
        InvalidLogin = "INVALID_LOGIN",
        /// The caller lacks the permission that the method names.
        PermissionDenied = "PERMISSION_DENIED",
        /// A mandatory field is missing.
        RequiredFieldMissing = "REQUIRED_FIELD_MISSING",
        /// A field has a value outside its range or form.
        InvalidFieldValue = "INVALID_FIELD_VALUE",
        /// A text is longer than its limit.
        FieldTooLong = "FIELD_TOO_LONG",
        /// A field mask or a record names a field that does not exist.
        UnknownField = "UNKNOWN_FIELD",
        /// None of the alternatives of an identifier is given, or more than one.
        InvalidIdentifier = "INVALID_IDENTIFIER",
        /// The page token was not issued by this service, or belongs to another query.
        InvalidPageToken = "INVALID_PAGE_TOKEN",
        /// The masked card number shows too many digits.
        CardNumberNotMasked = "CARD_NUMBER_NOT_MASKED",
        /// A code breaks the rules of the policy that applies.
        PolicyViolation = "POLICY_VIOLATION",
        /// No such access token in this organisation.
        AccessTokenNotFound = "ACCESS_TOKEN_NOT_FOUND",
        /// No such accounts receivable in this organisation.
        AccountsReceivableNotFound = "ACCOUNTS_RECEIVABLE_NOT_FOUND",
        /// No such rewards participant in this organisation.
        RewardsParticipantNotFound = "REWARDS_PARTICIPANT_NOT_FOUND",
        /// No such classification in this organisation.
        ClassificationNotFound = "CLASSIFICATION_NOT_FOUND",
        /// No such unit in this organisation.
        UnitNotFound = "UNIT_NOT_FOUND",
        /// A record refers to something that does not exist.
        ReferenceNotFound = "REFERENCE_NOT_FOUND",
        /// Several objects have the name. The service does not choose between them.
        AmbiguousName = "AMBIGUOUS_NAME",
        /// The life cycle state does not allow the call.
        WrongLifeCycleState = "WRONG_LIFE_CYCLE_STATE",
        /// The owner is terminated.
        OwnerTerminated = "OWNER_TERMINATED",
        /// The rewards participant is not owned by the accounts receivable.
        OwnerMismatch = "OWNER_MISMATCH",
        /// The policy creates the pass code, so the token needs an owner who receives it.
        OwnerRequired = "OWNER_REQUIRED",
        /// The owner has as many tokens as the policy allows.
        OwnerLimitReached = "OWNER_LIMIT_REACHED",
        /// The policy does not allow a token without identifier and pass code.
        IdentifierRequired = "IDENTIFIER_REQUIRED",
        /// Another token has this authentication code.
        AuthenticationCodeAlreadyExists = "AUTHENTICATION_CODE_ALREADY_EXISTS",
        /// Another token has this identifier.
        IdentifierAlreadyExists = "IDENTIFIER_ALREADY_EXISTS",
        /// Another token has this number.
        NumberAlreadyExists = "NUMBER_ALREADY_EXISTS",
        /// Another record has this natural key.
        RecordAlreadyExists = "RECORD_ALREADY_EXISTS",
        /// The token is unknown, or its secret is wrong or no longer valid. The error does not say which.
        InvalidCredential = "INVALID_CREDENTIAL",
        /// The verification code is not the one that was issued last.
        InvalidVerificationCode = "INVALID_VERIFICATION_CODE",
        /// Another caller changed the same thing at the same time.
        Conflict = "CONFLICT",
        /// The request is larger than the limit.
        RequestTooLarge = "REQUEST_TOO_LARGE",
        /// One import call carries more records than allowed.
        TooManyRecords = "TOO_MANY_RECORDS",
        /// A bounded queue is full.
        Overloaded = "OVERLOADED",
        /// The database does not answer.
        DatabaseUnavailable = "DATABASE_UNAVAILABLE",
        /// A fault of the service. Its log has the cause.
        Internal = "INTERNAL",
        /// There is no such method.
        MethodNotFound = "METHOD_NOT_FOUND",
        /// The time for the call is over.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// The token got the maximum number of codes that the policy allows for now.
        TooManyCodes = "TOO_MANY_CODES",
        /// A policy would let an attacker guess a secret too easily.
        GuessBudgetExceeded = "GUESS_BUDGET_EXCEEDED",
        /// No receiver of notifications is configured.
        NotificationsDisabled = "NOTIFICATIONS_DISABLED",
        /// The user is the last enabled one with the permission `admin`.
        LastAdmin = "LAST_ADMIN",
        /// The user or the API key has opened the maximum number of sessions for now.
        TooManyLogins = "TOO_MANY_LOGINS",
        /// The message is compressed, or encoded in another way that the service does not read.
        UnsupportedEncoding = "UNSUPPORTED_ENCODING",
        /// The connection is closing, and a stream ends with it.
        ConnectionClosing = "CONNECTION_CLOSING",
    }
}

/// One field at fault. The description never repeats the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path in the request, such as `access_token_identifier.credential.pass_code`.
    pub field: String,
    /// Description for people.
    pub description: String,
    /// Reason that the error would have if only this field were at fault.
    pub reason: Reason,
}

/// An error: a public part, which callers may see, and a cause, which only the log may show.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    reason: Reason,
    message: String,
    violations: Vec<FieldViolation>,
    metadata: BTreeMap<&'static str, String>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Returns an error with a public message. The message names fields and states, never values of codes or secrets.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: BTreeMap::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// Returns the same error for another answer, without the cause: the log gets it once.
    pub fn copy(&self) -> Self {
        Self {
            reason: self.reason,
            message: self.message.clone(),
            violations: self.violations.clone(),
            metadata: self.metadata.clone(),
            retry_after: self.retry_after,
            cause: None,
        }
    }

    /// Returns an error about one field.
    pub fn field(reason: Reason, field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = FieldViolation { field: field.into(), description: description.into(), reason };
        Self::of_violations(reason, vec![violation])
    }

    /// Returns an error whose message names all fields at fault.
    fn of_violations(reason: Reason, violations: Vec<FieldViolation>) -> Self {
        let list: Vec<String> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        Self { violations, ..Self::new(reason, list.join("; ")) }
    }

    /// Returns an error if the check of a field found something.
    pub fn of_check(field: &str, found: Result<(), (Reason, String)>) -> Result<(), Self> {
        found.map_err(|(reason, description)| Self::field(reason, field, description))
    }

    /// Returns the error of a fault of the service. Only the log shows the cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let mut error = Self::new(Reason::Internal, "internal error");
        error.cause = Some(cause.into());
        error
    }

    /// Returns the error of a session that is not, or no longer, valid.
    pub fn invalid_token() -> Self {
        Self::new(Reason::InvalidToken, "the session token is missing, invalid or expired")
    }

    /// Adds a fact for programs, such as the state that was found.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.insert(key, value.into());
        self
    }

    /// Sets the time after which the caller should try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Returns the reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the public message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns all fields at fault.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.violations
    }

    /// Returns the public facts for programs.
    pub fn metadata(&self) -> &BTreeMap<&'static str, String> {
        &self.metadata
    }

    /// Returns the time after which the caller should try again, if that helps.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the cause, for the log only.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// Returns the texts of all causes, for the log only. `Debug` would show more than may be logged.
    pub fn causes(&self) -> Option<String> {
        let first = self.cause().map(|cause| cause as &dyn std::error::Error);
        let all = std::iter::successors(first, |cause| cause.source()).map(ToString::to_string);
        self.cause.is_some().then(|| all.collect::<Vec<_>>().join(": "))
    }

    /// Returns the message and the texts of all causes, for the log and for operators.
    pub fn with_causes(&self) -> String {
        self.causes().map_or_else(|| self.message.clone(), |causes| format!("{}: {causes}", self.message))
    }
}

/// A list of fields at fault. One error contains all faults of a request.
#[derive(Debug, Clone, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Adds a field at fault.
    pub fn add(&mut self, reason: Reason, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation { field: field.into(), description: description.into(), reason });
    }

    /// Adds the result of the check of one field. Returns whether the field is right.
    pub fn check(&mut self, field: &str, found: Result<(), (Reason, String)>) -> bool {
        let is_right = found.is_ok();
        if let Err((reason, description)) = found {
            self.add(reason, field, description);
        }
        is_right
    }

    /// Adds the violations of another check.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the number of violations.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the reasons, in the order of the fields.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + '_ {
        self.0.iter().map(|violation| violation.reason)
    }

    /// Returns whether there is no violation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error if there are violations. Its reason is that of the first field.
    pub fn into_result(self) -> Result<(), Error> {
        let Some(first) = self.0.first() else { return Ok(()) };
        Err(Error::of_violations(first.reason, self.0))
    }
}

/// The result of every use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(Reason::WrongLifeCycleState.name(), "WRONG_LIFE_CYCLE_STATE");
        assert_eq!(Reason::Internal.name(), "INTERNAL");
    }

    #[test]
    fn all_fields_at_fault_are_reported() {
        let mut violations = Violations::default();
        violations.add(Reason::FieldTooLong, "identifier", "too long");
        violations.add(Reason::RequiredFieldMissing, "pass_code", "is required");
        let error = violations.into_result().expect_err("two violations");
        assert_eq!(error.reason(), Reason::FieldTooLong);
        assert_eq!(error.violations().len(), 2);
        assert_eq!(error.message(), "identifier: too long; pass_code: is required");
    }
}
