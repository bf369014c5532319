//! Entities, one for each table. Timestamps are microseconds since the epoch on both databases.
//!
//! `number_sequence` has no entity, because only the statements in [`crate::sequence`] use it.
// The derive macros require `pub`, although no entity leaves the crate.
#![allow(unreachable_pub)]

use access_tokens_domain::store::StoreResult;
use sea_orm::Value;

use crate::sql::row_reader::{RowReader, TableRow};

/// Defines an entity of sea-orm for each table, in a module with the name of the table. The columns before the
/// semicolon are the primary key. The name of the table is also given as a literal, because the derive macro of sea-orm
/// reads nothing else.
macro_rules! entities {
    ($(
        $(#[$doc:meta])*
        $name:literal $table:ident {
            $($key:ident: $key_type:ty),+; $($column:ident: $type:ty,)+
        }
    )+) => {$(
        $(#[$doc])*
        pub(crate) mod $table {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $name)]
            pub struct Model {
                $(#[sea_orm(primary_key, auto_increment = false)] pub $key: $key_type,)+
                $(pub $column: $type,)+
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    )+};
}

/// Defines entities whose rows are also read by position. Their primary key is the organisation and an id.
macro_rules! positional_entities {
    ($(
        $(#[$doc:meta])*
        $name:literal $table:ident {
            $id:ident; $($column:ident: $type:ty,)+
        }
    )+) => {
        entities! {$(
            $(#[$doc])*
            $name $table {
                organisation_key: i32, $id: String; $($column: $type,)+
            }
        )+}

        $(impl TableRow for $table::Model {
            const COLUMNS: &'static [&'static str] = &[stringify!($id), $(stringify!($column)),+];

            fn read(row_reader: &mut RowReader<'_>, organisation_key: i32) -> StoreResult<Self> {
                Ok(Self { organisation_key, $id: row_reader.read()?, $($column: row_reader.read()?),+ })
            }

            fn into_values(self) -> Vec<Value> {
                vec![self.organisation_key.into(), self.$id.into(), $(self.$column.into()),+]
            }
        })+
    };
}

entities! {
    /// Organisations; `definition` is the default policy as a JSON document.
    "organisation" organisation {
        key: i32;
        id: String,
        name: String,
        number_prefix: String,
        legacy_compatibility: bool,
        definition: String,
        directory_version: i64,
    }
    /// Units.
    "unit" unit {
        organisation_key: i32, id: String;
        name: Option<String>,
        group_name: Option<String>,
        community_name: Option<String>,
        alternative_code: Option<String>,
        description: Option<String>,
        business_unit: Option<String>,
    }
    /// Business units.
    "business_unit" business_unit {
        organisation_key: i32, id: String;
        name: Option<String>,
        code: Option<String>,
        unified_code: Option<String>,
        description: Option<String>,
        parent_business_unit_name: Option<String>,
    }
    /// Users. The table `user_credential` has their passwords and permissions.
    "app_user" app_user {
        organisation_key: i32, id: String;
        username: Option<String>,
        person_name: Option<String>,
        email: Option<String>,
    }
    /// Countries; `country_flag` is a JSON document.
    "country" country {
        organisation_key: i32, id: String;
        name: Option<String>,
        alternative_code: Option<String>,
        dialing_code: Option<String>,
        two_character_code: Option<String>,
        three_character_code: Option<String>,
        country_flag: Option<String>,
    }
    /// Industries.
    "industry" industry {
        organisation_key: i32, id: String;
        name: Option<String>,
        code: Option<String>,
    }
    /// Industry sectors.
    "industry_sector" industry_sector {
        organisation_key: i32, id: String;
        name: Option<String>,
        alternative_code: Option<String>,
    }
    /// Classifications; `policy` is a JSON document.
    "classification" classification {
        organisation_key: i32, id: String;
        name: Option<String>,
        alternative_code: Option<String>,
        policy: Option<String>,
    }
    /// Attempts at secrets. `revision` is the version of all columns except `refused` and `last_refused`; `recent` is a
    /// JSON array.
    "credential_attempt" credential_attempt {
        organisation_key: i32, subject: String, kind: String;
        revision: i64,
        in_a_row: i64,
        locked_until: Option<i64>,
        day_arrival: Option<i64>,
        refused: i64,
        last_refused: Option<i64>,
        recent: String,
    }
    /// Issued codes.
    "code_issue" code_issue {
        organisation_key: i32, subject: String, kind: String;
        revision: i64,
        cooldown_arrival: Option<i64>,
        day_arrival: Option<i64>,
    }
    /// API keys. The id is the public part of the key, unique over all organisations. Columns that no check of a caller
    /// needs are left out.
    "api_key" api_key {
        id: String;
        organisation_key: i32,
        user_id: String,
        secret_hash: String,
        created_date: i64,
        permissions: Option<String>,
        unit: Option<String>,
        expires_date: Option<i64>,
        revoked_date: Option<i64>,
    }
}

positional_entities! {
    /// Passwords and permissions of users; `permissions` is a comma-separated list of names.
    "user_credential" user_credential {
        user_id;
        password_hash: Option<String>,
        permissions: String,
        default_unit: Option<String>,
    }
    /// Contact information. `demographics` and `company_profile` are JSON documents, because no lookup uses their
    /// content.
    "contact_information" contact_information {
        id;
        contact_type: Option<String>,
        life_cycle_state: Option<String>,
        name: Option<String>,
        first_name: Option<String>,
        middle_name: Option<String>,
        last_name: Option<String>,
        title: Option<String>,
        company_name: Option<String>,
        demographics: Option<String>,
        company_profile: Option<String>,
    }
    /// Accounts receivable.
    "accounts_receivable" accounts_receivable {
        id;
        number: Option<String>,
        name: Option<String>,
        life_cycle_state: String,
        account_owner: Option<String>,
    }
    /// Rewards participants.
    "rewards_participant" rewards_participant {
        id;
        number: Option<String>,
        life_cycle_state: Option<String>,
        accounts_receivable: Option<String>,
    }
    /// Access tokens. The table holds secrets only as hashes and sealed codes; their keys are not in the database.
    "access_token" access_token {
        id;
        number: String,
        life_cycle_state: String,
        life_cycle_state_date: Option<i64>,
        authentication_code: String,
        identifier: Option<String>,
        pass_code_hash: Option<String>,
        verification_hash: Option<String>,
        verification_sealed: Option<String>,
        otp_hash: Option<String>,
        otp_expiration: Option<i64>,
        verified_date: Option<i64>,
        verified_by_user: Option<String>,
        card_masked_number: Option<String>,
        udf_string_1: Option<String>,
        udf_string_2: Option<String>,
        udf_string_3: Option<String>,
        udf_string_4: Option<String>,
        udf_string_5: Option<String>,
        udf_string_6: Option<String>,
        udf_string_7: Option<String>,
        udf_string_8: Option<String>,
        udf_float_1: Option<f64>,
        udf_float_2: Option<f64>,
        udf_float_3: Option<f64>,
        udf_float_4: Option<f64>,
        udf_date_1: Option<i64>,
        udf_date_2: Option<i64>,
        udf_date_3: Option<i64>,
        udf_date_4: Option<i64>,
        accounts_receivable: Option<String>,
        rewards_participant: Option<String>,
        classification: Option<String>,
        created_date: i64,
        created_by_user: Option<String>,
        created_by_unit: Option<String>,
        created_by_business_unit: Option<String>,
        updated_date: i64,
        updated_by_user: Option<String>,
        updated_by_unit: Option<String>,
        updated_by_business_unit: Option<String>,
    }
}
