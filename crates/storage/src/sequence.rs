//! Number sequences. One row each; whoever takes a block commits at once, so that nobody waits for anybody's unit of
//! work. Blocks of callers that go away are gaps, which are allowed.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Sequence, StoreResult};
use sea_orm::ConnectionTrait;

use crate::cells::Answer;
use crate::error::Failure;
use crate::sql::Sql;

/// Numbers have this many digits at most; what is longer is not one of ours.
const DIGITS: usize = 10;

/// Takes `count` numbers; the answer is the row with the first.
pub(crate) fn take(organisation: OrganisationKey, sequence: Sequence, count: u32) -> Sql {
    let mut sql = Sql::new("INSERT INTO number_sequence (organisation_key, name, next) VALUES (");
    sql.bind(organisation.0).push(", ").bind(sequence.name()).push(", 1 + CAST(").bind(i64::from(count));
    sql.push(" AS BIGINT)) ON CONFLICT (organisation_key, name) DO UPDATE SET next = number_sequence.next + ");
    sql.push("CAST($3 AS BIGINT) RETURNING next - CAST($3 AS BIGINT) AS first");
    sql
}

/// The first number of a block that was taken.
pub(crate) fn first(answer: &Answer) -> StoreResult<i64> {
    answer.first().ok_or_else(|| Failure::fault("a sequence answered nothing"))?.take()
}

/// Makes sure that a sequence begins above `highest`. Most often it does: then the row is not even locked.
pub(crate) async fn raise<C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    sequence: Sequence,
    highest: i64,
) -> StoreResult<()> {
    let mut sql = Sql::new("SELECT next FROM number_sequence WHERE organisation_key = ");
    sql.bind(organisation.0).push(" AND name = ").bind(sequence.name()).push(" AND next > ").bind(highest);
    if !sql.all(connection).await?.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO number_sequence (organisation_key, name, next) VALUES (");
    sql.bind(organisation.0).push(", ").bind(sequence.name()).push(", ").bind(highest.saturating_add(1));
    sql.push(") ON CONFLICT (organisation_key, name) DO UPDATE SET next = excluded.next");
    sql.push(" WHERE number_sequence.next < excluded.next");
    sql.all(connection).await?;
    Ok(())
}

/// The highest of those numbers that are the prefix and digits.
pub(crate) fn highest<'a>(numbers: impl Iterator<Item = &'a str>, prefix: &str) -> Option<i64> {
    let digits = numbers.filter_map(|number| number.strip_prefix(prefix));
    let digits = digits.filter(|digits| digits.len() <= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.filter_map(|digits| digits.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_numbers_count() {
        let numbers = ["AT0000000671", "AT12", "AT", "AT+5", "XX9999999999", "AT00000000000000009", "AT5x"];
        assert_eq!(highest(numbers.into_iter(), "AT"), Some(671));
        assert_eq!(highest(["7"].into_iter(), "AT"), None);
    }
}
