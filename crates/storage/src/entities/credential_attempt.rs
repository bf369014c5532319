//! Attempts at secrets. `revision` is the version of all columns except `refused` and `last_refused`; `recent` is a
//! JSON array.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "credential_attempt")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_key: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    pub revision: i64,
    pub in_a_row: i64,
    pub locked_until: Option<i64>,
    pub day_arrival: Option<i64>,
    pub refused: i64,
    pub last_refused: Option<i64>,
    pub recent: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
