//! Issued codes.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "code_issue")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_key: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    pub revision: i64,
    pub cooldown_arrival: Option<i64>,
    pub day_arrival: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
