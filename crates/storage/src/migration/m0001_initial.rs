//! The first schema.
//!
//! All rows are scoped by `organisation_key`. The text is the same for both databases except the names of types. Ids
//! are compared by bytes on both, so that pages have the same order. Unique indexes are named `<table>_<column>_key`:
//! errors are recognised by these names.

use sea_orm_migration::prelude::*;

use super::dialect::create;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, &[DIRECTORY, OWNERS, TOKENS, ACCOUNTS]).await
    }
}

/// Reference data: small tables, read as a whole when `directory_version` has changed.
const DIRECTORY: &str = "
CREATE TABLE organisation (
    key {serial},
    id {id} NOT NULL,
    name {id} NOT NULL,
    number_prefix TEXT NOT NULL,
    legacy_compatibility {boolean} NOT NULL,
    definition TEXT NOT NULL,
    directory_version {bigint} NOT NULL,
    CONSTRAINT organisation_id_key UNIQUE (id),
    CONSTRAINT organisation_name_key UNIQUE (name)
){options};
CREATE TABLE unit (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    group_name TEXT,
    community_name TEXT,
    alternative_code TEXT,
    description TEXT,
    business_unit {id},
    CONSTRAINT unit_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE business_unit (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    code TEXT,
    unified_code TEXT,
    description TEXT,
    parent_business_unit_name TEXT,
    CONSTRAINT business_unit_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE app_user (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    username {id},
    person_name TEXT,
    email TEXT,
    CONSTRAINT app_user_id_key PRIMARY KEY (organisation_key, id),
    CONSTRAINT app_user_username_key UNIQUE (organisation_key, username)
){options};
CREATE TABLE country (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    alternative_code TEXT,
    dialing_code TEXT,
    two_character_code TEXT,
    three_character_code TEXT,
    country_flag TEXT,
    CONSTRAINT country_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE industry (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    code TEXT,
    CONSTRAINT industry_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE industry_sector (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    alternative_code TEXT,
    CONSTRAINT industry_sector_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE classification (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    id {id} NOT NULL,
    name TEXT,
    alternative_code TEXT,
    policy TEXT,
    CONSTRAINT classification_id_key PRIMARY KEY (organisation_key, id)
){options};
";

/// Owners. A name may be longer than an index entry can be, so only its beginning is indexed. Terminated owners are few
/// and have their own index, because their tokens count as not associated.
const OWNERS: &str = "
CREATE TABLE contact_information (
    organisation_key INTEGER NOT NULL,
    id {id} NOT NULL,
    contact_type TEXT,
    life_cycle_state TEXT,
    name TEXT,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    title TEXT,
    company_name TEXT,
    demographics TEXT,
    company_profile TEXT,
    CONSTRAINT contact_information_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE TABLE accounts_receivable (
    organisation_key INTEGER NOT NULL,
    id {id} NOT NULL,
    number {id},
    name {id},
    life_cycle_state TEXT NOT NULL,
    account_owner {id},
    CONSTRAINT accounts_receivable_id_key PRIMARY KEY (organisation_key, id),
    CONSTRAINT accounts_receivable_number_key UNIQUE (organisation_key, number)
){options};
CREATE INDEX accounts_receivable_name_idx ON accounts_receivable (organisation_key, substr(name, 1, 100));
CREATE INDEX accounts_receivable_terminated_idx ON accounts_receivable (organisation_key, id)
    WHERE life_cycle_state = 'TERMINATED';
CREATE TABLE rewards_participant (
    organisation_key INTEGER NOT NULL,
    id {id} NOT NULL,
    number {id},
    life_cycle_state TEXT,
    accounts_receivable {id},
    CONSTRAINT rewards_participant_id_key PRIMARY KEY (organisation_key, id),
    CONSTRAINT rewards_participant_number_key UNIQUE (organisation_key, number)
){options};
CREATE INDEX rewards_participant_accounts_receivable_idx ON rewards_participant (organisation_key, accounts_receivable, id);
CREATE INDEX rewards_participant_terminated_idx ON rewards_participant (organisation_key, id)
    WHERE life_cycle_state = 'TERMINATED';
";

/// Tokens. They have no foreign keys: directory rows are never deleted, import and create look owners up before they
/// write, and each check would cost every write 14 to 20 microseconds. Lists follow the order of the two owner indexes,
/// free stock follows the partial index. NULLs are distinct in unique indexes on both databases.
const TOKENS: &str = "
CREATE TABLE access_token (
    organisation_key INTEGER NOT NULL,
    id {id} NOT NULL,
    number {id} NOT NULL,
    life_cycle_state TEXT NOT NULL
        CHECK (life_cycle_state IN ('EFFECTIVE', 'NOT_EFFECTIVE', 'PENDING_VERIFICATION')),
    authentication_code {id} NOT NULL,
    identifier {id},
    pass_code_hash TEXT,
    verification_hash TEXT,
    verification_sealed TEXT,
    otp_hash TEXT,
    otp_expiration {bigint},
    verified_date {bigint},
    verified_by_user {id},
    card_masked_number TEXT,
    udf_string_1 TEXT,
    udf_string_2 TEXT,
    udf_string_3 TEXT,
    udf_string_4 TEXT,
    udf_string_5 TEXT,
    udf_string_6 TEXT,
    udf_string_7 TEXT,
    udf_string_8 TEXT,
    udf_float_1 {float},
    udf_float_2 {float},
    udf_float_3 {float},
    udf_float_4 {float},
    udf_date_1 {bigint},
    udf_date_2 {bigint},
    udf_date_3 {bigint},
    udf_date_4 {bigint},
    accounts_receivable {id},
    rewards_participant {id},
    classification {id},
    created_date {bigint} NOT NULL,
    created_by_user {id},
    created_by_unit {id},
    created_by_business_unit {id},
    updated_date {bigint} NOT NULL,
    updated_by_user {id},
    updated_by_unit {id},
    updated_by_business_unit {id},
    CONSTRAINT access_token_id_key PRIMARY KEY (organisation_key, id),
    CONSTRAINT access_token_number_key UNIQUE (organisation_key, number),
    CONSTRAINT access_token_authentication_code_key UNIQUE (organisation_key, authentication_code),
    CONSTRAINT access_token_identifier_key UNIQUE (organisation_key, identifier)
){options};
CREATE INDEX access_token_accounts_receivable_idx ON access_token (organisation_key, accounts_receivable, id);
CREATE INDEX access_token_rewards_participant_idx ON access_token (organisation_key, rewards_participant, id);
CREATE INDEX access_token_free_idx ON access_token (organisation_key, life_cycle_state, id)
    WHERE accounts_receivable IS NULL AND rewards_participant IS NULL;
CREATE TABLE number_sequence (
    organisation_key INTEGER NOT NULL,
    name TEXT NOT NULL,
    next {bigint} NOT NULL,
    CONSTRAINT number_sequence_name_key PRIMARY KEY (organisation_key, name)
){options};
";

/// Credentials for log-in.
const ACCOUNTS: &str = "
CREATE TABLE user_credential (
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    user_id {id} NOT NULL,
    password_hash TEXT,
    permissions TEXT NOT NULL,
    default_unit {id},
    CONSTRAINT user_credential_user_id_key PRIMARY KEY (organisation_key, user_id)
){options};
CREATE TABLE api_key (
    id {id} NOT NULL,
    organisation_key INTEGER NOT NULL REFERENCES organisation (key),
    user_id {id} NOT NULL,
    secret_hash TEXT NOT NULL,
    created_date {bigint} NOT NULL,
    CONSTRAINT api_key_id_key PRIMARY KEY (id)
){options};
CREATE TABLE released_session (
    id {id} NOT NULL,
    released_at {bigint} NOT NULL,
    expires_at {bigint} NOT NULL,
    CONSTRAINT released_session_id_key PRIMARY KEY (id)
){options};
CREATE INDEX released_session_expires_at_idx ON released_session (expires_at);
";
