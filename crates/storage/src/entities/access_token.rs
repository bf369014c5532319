//! Access tokens. The table holds secrets only as hashes and sealed codes; their keys are not in the database.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "access_token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_key: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub number: String,
    pub life_cycle_state: String,
    pub life_cycle_state_date: Option<i64>,
    pub authentication_code: String,
    pub identifier: Option<String>,
    pub pass_code_hash: Option<String>,
    pub verification_hash: Option<String>,
    pub verification_sealed: Option<String>,
    pub otp_hash: Option<String>,
    pub otp_expiration: Option<i64>,
    pub verified_date: Option<i64>,
    pub verified_by_user: Option<String>,
    pub card_masked_number: Option<String>,
    pub udf_string_1: Option<String>,
    pub udf_string_2: Option<String>,
    pub udf_string_3: Option<String>,
    pub udf_string_4: Option<String>,
    pub udf_string_5: Option<String>,
    pub udf_string_6: Option<String>,
    pub udf_string_7: Option<String>,
    pub udf_string_8: Option<String>,
    pub udf_float_1: Option<f64>,
    pub udf_float_2: Option<f64>,
    pub udf_float_3: Option<f64>,
    pub udf_float_4: Option<f64>,
    pub udf_date_1: Option<i64>,
    pub udf_date_2: Option<i64>,
    pub udf_date_3: Option<i64>,
    pub udf_date_4: Option<i64>,
    pub accounts_receivable: Option<String>,
    pub rewards_participant: Option<String>,
    pub classification: Option<String>,
    pub created_date: i64,
    pub created_by_user: Option<String>,
    pub created_by_unit: Option<String>,
    pub created_by_business_unit: Option<String>,
    pub updated_date: i64,
    pub updated_by_user: Option<String>,
    pub updated_by_unit: Option<String>,
    pub updated_by_business_unit: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
