//! Number sequences, one row each. A caller that takes a block of numbers commits at once, so that no transaction waits
//! for another one. Blocks of callers that go away are gaps, which are allowed.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{LAST_NUMBER, Sequence, StoreResult};

use crate::error::Failure;
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::row_reader::WriteResult;

/// Number of digits of a number of a sequence.
const DIGITS: usize = 10;
/// Numbers from this one on do not raise a sequence: test cards and the like have them, and no numbers would be left
/// above them.
const FIRST_IGNORED_NUMBER: i64 = 9_900_000_000;
/// Number of rows that are read at a time in the search for the highest stored number.
const PAGE_SIZE: u32 = 64;

/// Returns the statement that takes `count` numbers; its row has the first one.
pub(crate) fn take(organisation: OrganisationKey, sequence: Sequence, count: u32) -> Sql {
    let mut sql = Sql::insert("number_sequence", "(organisation_key, name, next) VALUES (");
    sql.bind(organisation.0).push(", ").bind(sequence.name()).push(", 1 + CAST(").bind(i64::from(count));
    sql.push(" AS BIGINT)) ON CONFLICT (organisation_key, name) DO UPDATE SET next = number_sequence.next + ");
    sql.push("CAST($3 AS BIGINT) RETURNING next - CAST($3 AS BIGINT) AS first");
    sql
}

/// Reads the first number of a block that was taken.
pub(crate) fn first(answer: &WriteResult) -> StoreResult<i64> {
    answer.first().ok_or_else(|| Failure::fault("a sequence answered nothing"))?.read()
}

/// Raises a sequence above `highest`. Usually the sequence is above it already, and then its row is not locked.
pub(crate) async fn raise<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    sequence: Sequence,
    highest: i64,
) -> StoreResult<()> {
    let mut sql = Sql::select("next", "number_sequence", " WHERE organisation_key = ");
    sql.bind(organisation.0).push(" AND name = ").bind(sequence.name()).push(" AND next > ").bind(highest);
    if !sql.all(connection).await?.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::insert("number_sequence", "(organisation_key, name, next) VALUES (");
    sql.bind(organisation.0).push(", ").bind(sequence.name()).push(", ").bind(highest.saturating_add(1));
    sql.push(") ON CONFLICT (organisation_key, name) DO UPDATE SET next = excluded.next");
    sql.push(" WHERE number_sequence.next < excluded.next");
    sql.all(connection).await.map(drop)
}

/// Sets a sequence above the highest stored number of a prefix if it is below, and resets it to there if it has
/// exceeded ten digits.
pub(crate) async fn realign<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    sequence: Sequence,
    prefix: &str,
) -> StoreResult<()> {
    let highest = highest_stored(connection, organisation, sequence, prefix).await?.unwrap_or(0);
    if highest > 0 {
        raise(connection, organisation, sequence, highest).await?;
    }
    let mut sql = Sql::update("number_sequence", "next = ");
    sql.bind(highest.saturating_add(1)).push(" WHERE organisation_key = ").bind(organisation.0);
    sql.push(" AND name = ").bind(sequence.name()).push(" AND next > ").bind(LAST_NUMBER);
    sql.all(connection).await.map(drop)
}

/// Finds the highest stored number that consists of the prefix and ten digits. Reads the index in descending order.
async fn highest_stored<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    sequence: Sequence,
    prefix: &str,
) -> StoreResult<Option<i64>> {
    let column = match sequence {
        Sequence::TokenNumber => "number",
        Sequence::AuthenticationCode => "authentication_code",
        Sequence::Identifier => "identifier",
    };
    let mut below = format!("{prefix}{FIRST_IGNORED_NUMBER}");
    loop {
        let mut sql = Sql::select(column, "access_token", " WHERE organisation_key = ");
        sql.bind(organisation.0).push(&format!(" AND {column} >= ")).bind(format!("{prefix}0"));
        sql.push(&format!(" AND {column} < ")).bind(below.as_str());
        sql.push(&format!(" AND length({column}) = "))
            .bind(i64::try_from(prefix.chars().count() + DIGITS).unwrap_or(0));
        sql.push(&format!(" ORDER BY {column} DESC")).limit(PAGE_SIZE);
        let found: Vec<String> = sql.column(connection).await?;
        if let Some(highest) = highest(found.iter().map(String::as_str), prefix) {
            return Ok(Some(highest));
        }
        match found.last() {
            Some(last) if found.len() == PAGE_SIZE as usize => below.clone_from(last),
            _ => return Ok(None),
        }
    }
}

/// Returns the highest of the numbers that consist of the prefix and digits.
pub(crate) fn highest<'a>(numbers: impl Iterator<Item = &'a str>, prefix: &str) -> Option<i64> {
    let digits = numbers.filter_map(|number| number.strip_prefix(prefix));
    let digits = digits.filter(|digits| digits.len() <= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.filter_map(|digits| digits.parse().ok()).filter(|number| *number < FIRST_IGNORED_NUMBER).max()
}

/// Returns the highest of the codes that a sequence could create: ten digits, and zeros before them where a policy
/// requires longer codes.
pub(crate) fn highest_code<'a>(codes: impl Iterator<Item = &'a str>) -> Option<i64> {
    let digits = codes.filter_map(|code| code.len().checked_sub(DIGITS).and_then(|zeros| code.split_at_checked(zeros)));
    let digits = digits.filter(|(zeros, _)| zeros.bytes().all(|byte| byte == b'0')).map(|(_, digits)| digits);
    highest(digits, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_numbers_count() {
        let numbers = ["AT0000000671", "AT12", "AT", "AT+5", "XX9999999999", "AT00000000000000009", "AT5x"];
        assert_eq!(highest(numbers.into_iter(), "AT"), Some(671));
        assert_eq!(highest(["7"].into_iter(), "AT"), None);
        let high = ["AT9899999999", "AT9900000000", "AT9999999999", "AT10000000000"];
        assert_eq!(highest(high.into_iter(), "AT"), Some(9_899_999_999));
    }

    #[test]
    fn only_codes_of_a_sequence_count() {
        let codes =
            ["0000000300", "000000000301", "0302", "1000000000303", "9900000000", "\u{e9}000000030", "00000003o4", ""];
        assert_eq!(highest_code(codes.into_iter()), Some(301));
    }
}
