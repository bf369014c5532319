//! Rows read by position. The columns of an answer are written and read in one order, which is kept in one place; to look
//! each one up by its name takes several times as long.

use access_tokens_domain::store::StoreResult;
use sea_orm::{QueryResult, TryGetable};

use crate::entities::{access_token, accounts_receivable, contact_information, rewards_participant};
use crate::error::store_error;

/// The cells of a row, one after the other.
pub(crate) struct Cells<'a> {
    row: &'a QueryResult,
    next: usize,
}

impl<'a> Cells<'a> {
    /// From the first one.
    pub(crate) fn of(row: &'a QueryResult) -> Self {
        Self { row, next: 0 }
    }

    /// The next one.
    pub(crate) fn take<T: TryGetable>(&mut self) -> StoreResult<T> {
        let cell = self.peek()?;
        self.next += 1;
        Ok(cell)
    }

    /// What a join has found, if it has.
    pub(crate) fn joined<R: Row>(&mut self, organisation_key: i32) -> StoreResult<Option<R>> {
        match self.peek::<Option<String>>()? {
            Some(_) => R::read(self, organisation_key).map(Some),
            None => {
                self.skip::<R>();
                Ok(None)
            }
        }
    }

    /// Leaves out what is known already.
    pub(crate) fn skip<R: Row>(&mut self) {
        self.next += R::COLUMNS.len();
    }

    /// The next one, which stays the next one.
    pub(crate) fn peek<T: TryGetable>(&self) -> StoreResult<T> {
        self.row.try_get_by_index(self.next).map_err(store_error)
    }
}

/// A table's row, whose organisation is known. The first of its columns is never null.
pub(crate) trait Row: Sized {
    /// Its columns, in the order in which they are read.
    const COLUMNS: &'static [&'static str];

    /// Reads it.
    fn read(cells: &mut Cells<'_>, organisation_key: i32) -> StoreResult<Self>;
}

/// The columns of a table under an alias.
pub(crate) fn columns<R: Row>(alias: &str) -> String {
    R::COLUMNS.iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}

macro_rules! rows {
    ($($table:ident { $($column:ident),* $(,)? })*) => {$(
        impl Row for $table::Model {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),*];

            fn read(cells: &mut Cells<'_>, organisation_key: i32) -> StoreResult<Self> {
                Ok(Self { organisation_key, $($column: cells.take()?),* })
            }
        }
    )*};
}

rows! {
    access_token {
        id, number, life_cycle_state, life_cycle_state_date, authentication_code, identifier, pass_code_hash,
        verification_hash, verification_sealed, otp_hash, otp_expiration, verified_date, verified_by_user,
        card_masked_number, udf_string_1, udf_string_2, udf_string_3, udf_string_4, udf_string_5, udf_string_6,
        udf_string_7, udf_string_8, udf_float_1, udf_float_2, udf_float_3, udf_float_4, udf_date_1, udf_date_2,
        udf_date_3, udf_date_4, accounts_receivable, rewards_participant, classification, created_date,
        created_by_user, created_by_unit, created_by_business_unit, updated_date, updated_by_user, updated_by_unit,
        updated_by_business_unit,
    }
    accounts_receivable { id, number, name, life_cycle_state, account_owner }
    contact_information {
        id, contact_type, life_cycle_state, name, first_name, middle_name, last_name, title, company_name,
        demographics, company_profile,
    }
    rewards_participant { id, number, life_cycle_state, accounts_receivable }
}
