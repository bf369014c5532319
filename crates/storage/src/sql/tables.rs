//! The names of the tables.

/// The tables that the steps make. Spans and metrics name these only: another word after a keyword of a statement is an alias.
pub(crate) const TABLES: [&str; 20] = [
    "access_token",
    "accounts_receivable",
    "api_key",
    "app_user",
    "business_unit",
    "classification",
    "code_issue",
    "contact_information",
    "country",
    "credential_attempt",
    "industry",
    "industry_sector",
    "known_network",
    "number_sequence",
    "organisation",
    "released_session",
    "rewards_participant",
    "session",
    "unit",
    "user_credential",
];
