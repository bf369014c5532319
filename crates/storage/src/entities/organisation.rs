//! Organisations; `definition` is the default policy as a JSON document.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "organisation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = true)]
    pub key: i32,
    pub id: String,
    pub name: String,
    pub number_prefix: String,
    pub legacy_compatibility: bool,
    pub definition: String,
    pub directory_version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
