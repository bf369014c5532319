//! Contact information: the person or company behind an account.

use access_tokens_domain::directory::{
    CompanyProfile, ContactInformation, ContactState, ContactType, DateOfBirth, Demographics, Gender, NameDay,
};
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::reference::Reference;
use access_tokens_proto::v1;
use access_tokens_proto::v1::contact_information::{LifeCycleState, Type};

use super::reference::{country, industry, industry_sector};
use super::time;

/// Returns contact information. A person has demographics and no company profile, a company the reverse.
pub(super) fn contact_information(
    contact: &ContactInformation,
    reference: &Reference,
    fields: &FieldSelection,
) -> v1::ContactInformation {
    let person = contact.demographics.as_ref().filter(|_| contact.contact_type != Some(ContactType::Company));
    let company = contact.company_profile.as_ref().filter(|_| contact.contact_type != Some(ContactType::Person));
    v1::ContactInformation {
        id: fields.value("id", || contact.id.clone()),
        r#type: fields.value("type", || contact.contact_type.map_or(Type::Unspecified, kind).into()),
        life_cycle_state: fields
            .value("life_cycle_state", || contact.life_cycle_state.map_or(LifeCycleState::Unspecified, state).into()),
        name: fields.value("name", || contact.name.clone()),
        first_name: fields.value("first_name", || contact.first_name.clone()),
        middle_name: fields.value("middle_name", || contact.middle_name.clone()),
        last_name: fields.value("last_name", || contact.last_name.clone()),
        title: fields.value("title", || contact.title.clone()),
        company_name: fields.value("company_name", || contact.company_name.clone()),
        demographics: fields.boxed("demographics", |fields| Some(demographics(person?, reference, fields))),
        company_profile: fields.boxed("company_profile", |fields| Some(company_profile(company?, reference, fields))),
    }
}

fn kind(kind: ContactType) -> Type {
    match kind {
        ContactType::Person => Type::Person,
        ContactType::Company => Type::Company,
    }
}

fn state(state: ContactState) -> LifeCycleState {
    match state {
        ContactState::Marketing => LifeCycleState::Marketing,
        ContactState::Financial => LifeCycleState::Financial,
    }
}

fn gender(gender: Gender) -> v1::demographics::Gender {
    match gender {
        Gender::Male => v1::demographics::Gender::Male,
        Gender::Female => v1::demographics::Gender::Female,
    }
}

/// Returns the demographics of a person. Date of birth and name day are always present, even if nothing of them is known.
fn demographics(person: &Demographics, reference: &Reference, fields: &FieldSelection) -> v1::Demographics {
    let by = |id: &Option<String>, fields: &FieldSelection| Some(country(id.as_ref()?, reference, fields));
    v1::Demographics {
        gender: fields.value("gender", || person.gender.map(|g| gender(g).into())),
        id_number: fields.value("id_number", || person.id_number.clone()),
        id_number_expiration_date: fields
            .value("id_number_expiration_date", || person.id_number_expiration_date.map(time::to_wire)),
        passport_number: fields.value("passport_number", || person.passport_number.clone()),
        passport_number_expiration_date: fields
            .value("passport_number_expiration_date", || person.passport_number_expiration_date.map(time::to_wire)),
        social_security_number: fields.value("social_security_number", || person.social_security_number.clone()),
        date_of_birth: fields.nested("date_of_birth", |fields| Some(date_of_birth(person.date_of_birth, fields))),
        name_day: fields.nested("name_day", |fields| Some(name_day(person.name_day, fields))),
        country_of_residence: fields.nested("country_of_residence", |fields| by(&person.country_of_residence, fields)),
        id_issued_by_country: fields.nested("id_issued_by_country", |fields| by(&person.id_issued_by_country, fields)),
        passport_issued_by_country: fields
            .nested("passport_issued_by_country", |fields| by(&person.passport_issued_by_country, fields)),
        industry: fields.nested("industry", |fields| Some(industry(person.industry.as_ref()?, reference, fields))),
        industry_sector: fields.nested("industry_sector", |fields| {
            Some(industry_sector(person.industry_sector.as_ref()?, reference, fields))
        }),
    }
}

fn date_of_birth(date: DateOfBirth, fields: &FieldSelection) -> v1::DateOfBirth {
    v1::DateOfBirth {
        day: fields.value("day", || date.day),
        month: fields.value("month", || date.month),
        year: fields.value("year", || date.year),
    }
}

fn name_day(date: NameDay, fields: &FieldSelection) -> v1::NameDay {
    v1::NameDay { day: fields.value("day", || date.day), month: fields.value("month", || date.month) }
}

fn company_profile(company: &CompanyProfile, reference: &Reference, fields: &FieldSelection) -> v1::CompanyProfile {
    v1::CompanyProfile {
        profile_year: fields.value("profile_year", || company.profile_year),
        annual_turnover: fields.value("annual_turnover", || company.annual_turnover),
        established_date: fields.value("established_date", || company.established_date.map(time::to_wire)),
        number_of_employees: fields.value("number_of_employees", || company.number_of_employees),
        registration_number: fields.value("registration_number", || company.registration_number.clone()),
        vat_registration_number: fields.value("vat_registration_number", || company.vat_registration_number.clone()),
        vat_registered_by: fields.value("vat_registered_by", || company.vat_registered_by.clone()),
        vat_registration_date: fields
            .value("vat_registration_date", || company.vat_registration_date.map(time::to_wire)),
        tax_reference_number: fields.value("tax_reference_number", || company.tax_reference_number.clone()),
        registered_in_country: fields.nested("registered_in_country", |fields| {
            Some(country(company.registered_in_country.as_ref()?, reference, fields))
        }),
        industry: fields.nested("industry", |fields| Some(industry(company.industry.as_ref()?, reference, fields))),
        industry_sector: fields.nested("industry_sector", |fields| {
            Some(industry_sector(company.industry_sector.as_ref()?, reference, fields))
        }),
    }
}
