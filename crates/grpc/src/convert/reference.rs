//! Reference data of a snapshot, by id. An object that the snapshot does not know has its id only.

use access_tokens_domain::access_token::AuditStamp;
use access_tokens_domain::directory;
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::reference::Reference;
use access_tokens_proto::v1;

use super::time;

pub(super) fn user(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::User {
    let user = reference.users.get(id);
    let shown = user.filter(|_| reference.organisation.legacy_compatibility);
    v1::User {
        id: fields.value("id", || id.to_owned()),
        username: fields.value("username", || user?.username.clone()),
        person_name: fields.value("person_name", || shown?.person_name.clone()),
        email: fields.value("email", || shown?.email.clone()),
    }
}

pub(super) fn unit(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::Unit {
    let unit = reference.units.get(id);
    let shown = unit.filter(|_| reference.organisation.legacy_compatibility);
    v1::Unit {
        id: fields.value("id", || id.to_owned()),
        name: fields.value("name", || unit?.name.clone()),
        group_name: fields.value("group_name", || shown?.group_name.clone()),
        community_name: fields.value("community_name", || shown?.community_name.clone()),
        alternative_code: fields.value("alternative_code", || unit?.alternative_code.clone()),
        description: fields.value("description", || unit?.description.clone()),
    }
}

pub(super) fn business_unit(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::BusinessUnit {
    let unit = reference.business_units.get(id);
    v1::BusinessUnit {
        id: fields.value("id", || id.to_owned()),
        name: fields.value("name", || unit?.name.clone()),
        code: fields.value("code", || unit?.code.clone()),
        unified_code: fields.value("unified_code", || unit?.unified_code.clone()),
        description: fields.value("description", || unit?.description.clone()),
        parent_business_unit_name: fields
            .value("parent_business_unit_name", || unit?.parent_business_unit_name.clone()),
    }
}

pub(super) fn country(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::Country {
    let country = reference.countries.get(id);
    v1::Country {
        id: fields.value("id", || id.to_owned()),
        name: fields.value("name", || country?.name.clone()),
        alternative_code: fields.value("alternative_code", || country?.alternative_code.clone()),
        dialing_code: fields.value("dialing_code", || country?.dialing_code.clone()),
        two_character_code: fields.value("two_character_code", || country?.two_character_code.clone()),
        three_character_code: fields.value("three_character_code", || country?.three_character_code.clone()),
        country_flag: fields.nested("country_flag", |fields| Some(image(country?.country_flag.as_ref()?, fields))),
    }
}

fn image(image: &directory::Image, fields: &FieldSelection) -> v1::Image {
    let has_file = image.file_name.is_some() || image.file_content_url.is_some() || image.file_mime_type.is_some();
    v1::Image {
        id: fields.value("id", || image.id.clone().unwrap_or_default()),
        file: fields.nested("file", |fields| {
            has_file.then(|| v1::File {
                file_name: fields.value("file_name", || image.file_name.clone()),
                file_content_url: fields.value("file_content_url", || image.file_content_url.clone()),
                file_mime_type: fields.value("file_mime_type", || image.file_mime_type.clone()),
            })
        }),
    }
}

pub(super) fn industry(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::Industry {
    let industry = reference.industries.get(id);
    v1::Industry {
        id: fields.value("id", || id.to_owned()),
        name: fields.value("name", || industry?.name.clone()),
        code: fields.value("code", || industry?.code.clone()),
    }
}

pub(super) fn industry_sector(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::IndustrySector {
    let sector = reference.industry_sectors.get(id);
    v1::IndustrySector {
        id: fields.value("id", || id.to_owned()),
        name: fields.value("name", || sector?.name.clone()),
        alternative_code: fields.value("alternative_code", || sector?.alternative_code.clone()),
    }
}

pub(super) fn classification_of(id: &str, reference: &Reference, fields: &FieldSelection) -> v1::Classification {
    match reference.classifications.get(id) {
        Some(known) => classification(known, fields),
        None => v1::Classification { id: fields.value("id", || id.to_owned()), ..v1::Classification::default() },
    }
}

/// Returns a classification without its policy, which responses do not show.
pub(crate) fn classification(
    classification: &directory::Classification,
    fields: &FieldSelection,
) -> v1::Classification {
    v1::Classification {
        id: fields.value("id", || classification.id.clone()),
        name: fields.value("name", || classification.name.clone()),
        alternative_code: fields.value("alternative_code", || classification.alternative_code.clone()),
    }
}

pub(super) fn log_information(
    created: &AuditStamp,
    updated: &AuditStamp,
    reference: &Reference,
    fields: &FieldSelection,
) -> v1::LogInformation {
    let by_user = |stamp: &AuditStamp, fields: &FieldSelection| Some(user(stamp.user.as_ref()?, reference, fields));
    let by_unit = |stamp: &AuditStamp, fields: &FieldSelection| Some(unit(stamp.unit.as_ref()?, reference, fields));
    let by_business_unit = |stamp: &AuditStamp, fields: &FieldSelection| {
        Some(business_unit(stamp.business_unit.as_ref()?, reference, fields))
    };
    v1::LogInformation {
        created_date: fields.value("created_date", || Some(time::to_wire(created.date))),
        updated_date: fields.value("updated_date", || Some(time::to_wire(updated.date))),
        created_by_unit: fields.nested("created_by_unit", |fields| by_unit(created, fields)),
        created_by_business_unit: fields.nested("created_by_business_unit", |fields| by_business_unit(created, fields)),
        created_by_user: fields.nested("created_by_user", |fields| by_user(created, fields)),
        updated_by_unit: fields.nested("updated_by_unit", |fields| by_unit(updated, fields)),
        updated_by_business_unit: fields.nested("updated_by_business_unit", |fields| by_business_unit(updated, fields)),
        updated_by_user: fields.nested("updated_by_user", |fields| by_user(updated, fields)),
    }
}
