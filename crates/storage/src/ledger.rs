//! The ledger of attempts and issues: one row for each subject and kind, written by compare-and-set on its revision.
//!
//! A row has two independent parts: the counters of [`LedgerStore::count_refused`], and all other columns, whose
//! version is the revision. Each part is written without the other one. Refused attempts may arrive in floods. They do
//! not make the compare-and-set of another caller fail, and a compare-and-set does not overwrite their counters:
//! `refused` and `last_refused` of a saved state are ignored.

use access_tokens_domain::attempts::{Attempts, SecretKind};
use access_tokens_domain::issues::Issues;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Entry, LedgerStore, Revision, StoreResult};
use access_tokens_domain::time::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select, Value};

use crate::convert::{self, micros};
use crate::database::Database;
use crate::entities::{code_issue, credential_attempt};
use crate::sql::{self, Sql};

impl LedgerStore for Database {
    async fn attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> StoreResult<Entry<Attempts>> {
        let select = of_subject(organisation, subject).filter(credential_attempt::Column::Kind.eq(kind.name()));
        let found = sql::select(&self.readers(), &select).await?.pop();
        found.map(convert::attempts_of_any_kind).transpose().map(Option::unwrap_or_default)
    }

    async fn all_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
    ) -> StoreResult<Vec<(SecretKind, Entry<Attempts>)>> {
        let rows = sql::select(&self.readers(), &of_subject(organisation, subject)).await?;
        let mut found: Vec<_> = rows.into_iter().map(convert::attempts).collect::<StoreResult<_>>()?;
        found.sort_by_key(|(kind, _)| *kind);
        Ok(found)
    }

    async fn save_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        attempts: &Entry<Attempts>,
    ) -> StoreResult<bool> {
        let row = Row::attempts(organisation, subject, kind.name());
        let columns = convert::attempts_columns(&attempts.state)?;
        Ok(self.write(row.save(attempts.revision, columns)).await?.first().is_some())
    }

    async fn count_refused(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.write(Row::attempts(organisation, subject, kind.name()).count_refused(at)).await.map(drop)
    }

    async fn issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> StoreResult<Entry<Issues>> {
        let select = code_issue::Entity::find()
            .filter(code_issue::Column::OrganisationKey.eq(organisation.0))
            .filter(code_issue::Column::Subject.eq(subject))
            .filter(code_issue::Column::Kind.eq(kind.name()));
        let found = sql::select(&self.readers(), &select).await?.pop();
        found.map(convert::issues).transpose().map(Option::unwrap_or_default)
    }

    async fn save_issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        issues: &Entry<Issues>,
    ) -> StoreResult<bool> {
        let row = Row { table: "code_issue", organisation, subject, kind: kind.name() };
        let columns = convert::issues_columns(&issues.state);
        Ok(self.write(row.save(issues.revision, columns)).await?.first().is_some())
    }
}

fn of_subject(organisation: OrganisationKey, subject: &str) -> Select<credential_attempt::Entity> {
    credential_attempt::Entity::find()
        .filter(credential_attempt::Column::OrganisationKey.eq(organisation.0))
        .filter(credential_attempt::Column::Subject.eq(subject))
}

type Columns = Vec<(&'static str, Value)>;

/// Key of a row.
pub(crate) struct Row<'a> {
    table: &'static str,
    organisation: OrganisationKey,
    subject: &'a str,
    kind: &'static str,
}

impl<'a> Row<'a> {
    /// Returns the key of the row of attempts of one kind.
    pub(crate) fn attempts(organisation: OrganisationKey, subject: &'a str, kind: &'static str) -> Self {
        Self { table: "credential_attempt", organisation, subject, kind }
    }

    /// Counts one refused attempt. Concurrent counts may be applied in any order.
    pub(crate) fn count_refused(&self, at: Timestamp) -> Sql {
        let mut sql = self.insert(&[("refused", 1_i64.into()), ("last_refused", micros(at).into())]);
        sql.push(" DO UPDATE SET refused = credential_attempt.refused + 1, last_refused = CASE");
        sql.push(" WHEN credential_attempt.last_refused > excluded.last_refused THEN credential_attempt.last_refused");
        sql.push(" ELSE excluded.last_refused END");
        sql
    }

    /// Compare and set: returns a row if it wrote one.
    pub(crate) fn save(&self, read: Revision, mut columns: Columns) -> Sql {
        columns.push(("revision", (read + 1).into()));
        let mut sql;
        if read == 0 {
            // No row exists, or only a row in which refused attempts were counted.
            sql = self.insert(&columns);
            for (i, (column, _)) in columns.iter().enumerate() {
                sql.push(if i == 0 { " DO UPDATE SET " } else { ", " }).push(column).push(" = excluded.").push(column);
            }
            sql.push(" WHERE ");
        } else {
            sql = Sql::update(self.table, "");
            for (i, (column, value)) in columns.into_iter().enumerate() {
                sql.push(if i == 0 { "" } else { ", " }).push(column).push(" = ").bind(value);
            }
            sql.push(" WHERE organisation_key = ").bind(self.organisation.0);
            sql.push(" AND subject = ").bind(self.subject).push(" AND kind = ").bind(self.kind).push(" AND ");
        }
        sql.push(self.table).push(".revision = ").bind(read).push(" RETURNING revision");
        sql
    }

    /// Returns an insert up to the action for an existing row.
    fn insert(&self, columns: &[(&'static str, Value)]) -> Sql {
        let mut sql = Sql::insert(self.table, "(organisation_key, subject, kind");
        for (column, _) in columns {
            sql.push(", ").push(column);
        }
        sql.push(") VALUES (").bind(self.organisation.0);
        sql.push(", ").bind(self.subject).push(", ").bind(self.kind);
        for (_, value) in columns {
            sql.push(", ").bind(value.clone());
        }
        sql.push(") ON CONFLICT (organisation_key, subject, kind)");
        sql
    }
}
