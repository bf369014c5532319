//! Names of the tables.

/// Tables that the migrations create.
pub(crate) static TABLES: [&str; 20] = [
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
