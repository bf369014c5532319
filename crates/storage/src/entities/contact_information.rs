//! Contact information. `demographics` and `company_profile` are JSON documents, because no lookup uses their content.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "contact_information")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_key: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub contact_type: Option<String>,
    pub life_cycle_state: Option<String>,
    pub name: Option<String>,
    pub first_name: Option<String>,
    pub middle_name: Option<String>,
    pub last_name: Option<String>,
    pub title: Option<String>,
    pub company_name: Option<String>,
    pub demographics: Option<String>,
    pub company_profile: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
