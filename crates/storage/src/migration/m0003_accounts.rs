//! Adds what administration needs: expiry, revocation and permissions of API keys, disabled users, sessions, networks from which a user has
//! logged in. The step only adds nullable columns, columns with a default, and tables, so that a server of the previous release keeps
//! working while servers of this version use the same database.

use sea_orm_migration::prelude::*;

use super::dialect::change;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        change(manager, &[API_KEYS, CREDENTIALS, SESSIONS, NETWORKS]).await
    }
}

/// `permissions` NULL means the permissions of the user: keys of the previous release have none of their own.
const API_KEYS: &str = "
ALTER TABLE api_key ADD COLUMN name TEXT;
ALTER TABLE api_key ADD COLUMN permissions TEXT;
ALTER TABLE api_key ADD COLUMN unit {id};
ALTER TABLE api_key ADD COLUMN created_by {id};
ALTER TABLE api_key ADD COLUMN expires_date {bigint};
ALTER TABLE api_key ADD COLUMN revoked_date {bigint};
ALTER TABLE api_key ADD COLUMN rotated_to {id};
ALTER TABLE api_key ADD COLUMN last_used_date {bigint};
ALTER TABLE api_key ADD COLUMN last_used_address TEXT;
CREATE INDEX api_key_user_id_idx ON api_key (organisation_key, user_id);
";

/// The password hash of a disabled user moves to `disabled_password_hash`, a column that the previous release does not read,
/// so that a server of the previous release refuses the user too.
const CREDENTIALS: &str = "
ALTER TABLE user_credential ADD COLUMN disabled_date {bigint};
ALTER TABLE user_credential ADD COLUMN disabled_password_hash TEXT;
ALTER TABLE user_credential ADD COLUMN sessions_not_before {bigint};
ALTER TABLE user_credential ADD COLUMN password_changed_date {bigint};
ALTER TABLE user_credential ADD COLUMN first_login_date {bigint};
ALTER TABLE user_credential ADD COLUMN last_login_date {bigint};
ALTER TABLE user_credential ADD COLUMN revision {bigint} NOT NULL DEFAULT 0;
";

/// One row per log-in, deleted at release and after expiry. The index on `released_at` lets a replica read only the releases
/// that are new to it.
const SESSIONS: &str = "
CREATE TABLE session (
    organisation_key INTEGER NOT NULL,
    id {id} NOT NULL,
    user_id {id} NOT NULL,
    unit {id},
    api_key {id},
    issued {bigint} NOT NULL,
    expires {bigint} NOT NULL,
    address TEXT,
    client TEXT,
    CONSTRAINT session_id_key PRIMARY KEY (organisation_key, id)
){options};
CREATE INDEX session_expires_idx ON session (expires);
CREATE INDEX session_user_id_idx ON session (organisation_key, user_id);
CREATE INDEX session_api_key_idx ON session (organisation_key, api_key) WHERE api_key IS NOT NULL;
CREATE INDEX released_session_released_at_idx ON released_session (released_at, id);
";

/// Networks from which a user has logged in: `network` is a /24 of IPv4 or a /64 of IPv6. `last_date` NULL marks a network
/// that an operator entered; such a row never expires.
const NETWORKS: &str = "
CREATE TABLE known_network (
    organisation_key INTEGER NOT NULL,
    user_id {id} NOT NULL,
    network {id} NOT NULL,
    last_date {bigint},
    CONSTRAINT known_network_network_key PRIMARY KEY (organisation_key, user_id, network)
){often_updated};
CREATE INDEX known_network_last_date_idx ON known_network (last_date);
";
