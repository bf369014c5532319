//! Counts codes and names that were written before texts were normalised, and that would be refused or changed today.

use std::time::{Duration, Instant};

use access_tokens_domain::store::{AccountStore, OrganisationRef, StoreResult};
use access_tokens_domain::text;

use crate::database::Database;
use crate::sql::{Sql, get};

/// Number of rows that are read at a time. A row has at most three texts, so that a page is at most a few MiB.
const PAGE_ROWS: u32 = 5_000;

/// Columns of tokens and of users that identify a row.
const TOKENS: (&str, &[&str]) = ("access_token", &["authentication_code", "identifier", "card_masked_number"]);
const USERS: (&str, &[&str]) = ("app_user", &["username"]);

/// Number of rows with a text that would be written differently today: with an invisible character, with a blank at an
/// end, or not in normalisation form C.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OldTexts {
    /// Organisations, by their names.
    pub organisations: u64,
    /// Users, by their user names.
    pub users: u64,
    /// Access tokens, by their codes, identifiers and masked card numbers.
    pub access_tokens: u64,
    /// Access tokens that were read.
    pub read: u64,
    /// Whether all rows were read before the time limit.
    pub complete: bool,
}

impl Database {
    /// Counts rows with old texts, page by page, until the time limit `time`. `None`: no limit.
    pub async fn count_old_texts(&self, time: Option<Duration>) -> StoreResult<OldTexts> {
        let started = Instant::now();
        let is_over = || time.is_some_and(|time| started.elapsed() >= time);
        let organisations = self.organisations().await?;
        let old_names = organisations.iter().filter(|one| is_old(&one.name)).count() as u64;
        // A limit that ends the first count also ends the second one.
        let (_, users, _) = self.count_in(USERS, &organisations, &is_over).await?;
        let (read, access_tokens, complete) = self.count_in(TOKENS, &organisations, &is_over).await?;
        Ok(OldTexts { organisations: old_names, users, access_tokens, read, complete })
    }

    /// Returns the number of rows read, the number of these with an old text, and whether all rows were read before the
    /// time limit.
    async fn count_in(
        &self,
        (table, columns): (&str, &[&str]),
        organisations: &[OrganisationRef],
        is_over: &impl Fn() -> bool,
    ) -> StoreResult<(u64, u64, bool)> {
        let selected = format!("id, {}", columns.join(", "));
        let (mut read, mut old) = (0, 0);
        for organisation in organisations {
            let mut after = Some(String::new());
            while let Some(id) = after {
                if is_over() {
                    return Ok((read, old, false));
                }
                let mut sql = Sql::select(&selected, table, " WHERE organisation_key = ");
                sql.bind(organisation.key.0).push(" AND id > ").bind(id).push(" ORDER BY id").limit(PAGE_ROWS);
                let rows = sql.find(&self.readers()).await?;
                for row in &rows {
                    let mut is_old_row = false;
                    for column in columns {
                        let value: Option<String> = get(row, column)?;
                        is_old_row |= value.as_deref().is_some_and(is_old);
                    }
                    old += u64::from(is_old_row);
                }
                read += rows.len() as u64;
                let last = rows.last().filter(|_| rows.len() == PAGE_ROWS as usize);
                after = last.map(|row| get(row, "id")).transpose()?;
            }
        }
        Ok((read, old, true))
    }
}

/// Reports whether the text would be refused, or stored in another form.
fn is_old(value: &str) -> bool {
    text::written(value).is_err() || text::nfc(value) != value
}
