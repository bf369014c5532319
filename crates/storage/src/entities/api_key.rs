//! API keys. The id is the public part of the key, unique over all organisations. Columns that no check of a caller
//! needs are left out.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub organisation_key: i32,
    pub user_id: String,
    pub secret_hash: String,
    pub created_date: i64,
    pub permissions: Option<String>,
    pub unit: Option<String>,
    pub expires_date: Option<i64>,
    pub revoked_date: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
