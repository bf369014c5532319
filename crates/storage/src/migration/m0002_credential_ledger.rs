//! Adds the ledger of attempts at secrets and of issued codes, and the date of the state of a token. The step only adds
//! tables and a nullable column, so that servers of an earlier version can use the database at the same time.

use sea_orm_migration::prelude::*;

use super::dialect::change;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        change(manager, &[TOKENS, LEDGER]).await
    }
}

const TOKENS: &str = "ALTER TABLE access_token ADD COLUMN life_cycle_state_date {bigint}";

/// These rows are updated often. Pages with free space, and no index on columns that change, let PostgreSQL put the new
/// version of a row beside the old one without a write to an index. No foreign keys: a subject need not be a row.
const LEDGER: &str = "
CREATE TABLE credential_attempt (
    organisation_key INTEGER NOT NULL,
    subject {id} NOT NULL,
    kind {id} NOT NULL,
    revision {bigint} NOT NULL DEFAULT 0,
    in_a_row {bigint} NOT NULL DEFAULT 0,
    locked_until {bigint},
    day_arrival {bigint},
    refused {bigint} NOT NULL DEFAULT 0,
    last_refused {bigint},
    recent TEXT NOT NULL DEFAULT '[]',
    CONSTRAINT credential_attempt_kind_key PRIMARY KEY (organisation_key, subject, kind)
){often_updated};
CREATE TABLE code_issue (
    organisation_key INTEGER NOT NULL,
    subject {id} NOT NULL,
    kind {id} NOT NULL,
    revision {bigint} NOT NULL,
    cooldown_arrival {bigint},
    day_arrival {bigint},
    CONSTRAINT code_issue_kind_key PRIMARY KEY (organisation_key, subject, kind)
){often_updated};
";
