//! The ledger of attempts at secrets and of codes that were issued, and since when a token is in its state. New tables
//! and a column that may be empty: a version that does not know them goes on working beside one that does.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use super::dialect::dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_credential_ledger"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (connection, backend) = (manager.get_connection(), manager.get_database_backend());
        if backend == DbBackend::Postgres {
            // Whoever comes after a change of a table that waits, waits too. Rather than that, this fails soon, and is
            // to be run again when the long transaction that was in its way, such as a backup, is over.
            connection.execute_unprepared("SET LOCAL lock_timeout = '2s'").await?;
        }
        for part in [TOKENS, LEDGER] {
            connection.execute_unprepared(&dialect(part, backend)).await?;
        }
        Ok(())
    }
}

const TOKENS: &str = "ALTER TABLE access_token ADD COLUMN life_cycle_state_date {bigint}";

/// Rows are updated over and over. Pages with room in them, and no index on what changes, let PostgreSQL put the new
/// version of a row beside the old one without touching any index. No foreign keys: a subject may be nobody's.
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
