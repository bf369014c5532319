//! Responses on the wire: all references resolved, and no field that was not requested.

use access_tokens_domain::field_selection::FieldSelection;
use std::sync::Arc;

use access_tokens_domain::access_token::{AccessToken, AuditStamp, UserDefinedFields};
use access_tokens_domain::directory::{
    AccountsReceivable, AccountsReceivableState, BusinessUnit, Classification, CompanyProfile, ContactInformation,
    ContactType, Country, DateOfBirth, Demographics, Image, Organisation, RewardsParticipant, RewardsParticipantState,
    Unit, User,
};
use access_tokens_domain::error::Violations;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::policy::Policy;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::service::{Answer, IssuedOneTimePassword, IssuedPassCode};
use access_tokens_domain::store::{Account, Owners, Participant};
use access_tokens_proto::v1;
use chrono::DateTime;
use prost::Name;
use prost_types::FieldMask;

use super::fields::selection;
use super::token;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn reference(legacy_compatibility: bool) -> Reference {
    let unit = Unit {
        id: "U".into(),
        name: text("Admin"),
        group_name: text("Main"),
        community_name: text("Internal"),
        ..Unit::default()
    };
    let user = User { id: "1".into(), username: text("anna"), person_name: text("Anna A"), email: text("a@b.cd") };
    let flag = Image { id: text("F"), file_name: text("cy.png"), ..Image::default() };
    let country = Country { id: "127".into(), name: text("CYPRUS"), country_flag: Some(flag), ..Country::default() };
    let organisation = Organisation {
        id: "O".into(),
        name: "DEMO".into(),
        number_prefix: "AT".into(),
        legacy_compatibility,
        definition: Policy::default(),
    };
    Reference {
        version: 1,
        organisation,
        units: [("U".to_owned(), unit)].into(),
        business_units: [(
            "B".to_owned(),
            BusinessUnit { id: "B".into(), code: text("BC"), ..BusinessUnit::default() },
        )]
        .into(),
        users: [("1".to_owned(), user)].into(),
        countries: [("127".to_owned(), country)].into(),
        industries: Default::default(),
        industry_sectors: Default::default(),
        classifications: [(
            "K".to_owned(),
            Classification { id: "K".into(), name: text("Mobile"), ..Classification::default() },
        )]
        .into(),
    }
}

fn contact(contact_type: ContactType) -> ContactInformation {
    let demographics = Demographics {
        date_of_birth: DateOfBirth { year: Some(1980), ..DateOfBirth::default() },
        country_of_residence: text("127"),
        id_issued_by_country: text("unknown"),
        ..Demographics::default()
    };
    ContactInformation {
        id: "C".into(),
        contact_type: Some(contact_type),
        demographics: Some(demographics),
        company_profile: Some(CompanyProfile { number_of_employees: Some(3), ..CompanyProfile::default() }),
        ..ContactInformation::default()
    }
}

pub(super) fn answer(legacy_compatibility: bool, contact_type: ContactType) -> Answer {
    let stamp = AuditStamp { date: DateTime::UNIX_EPOCH, user: text("1"), unit: text("U"), business_unit: text("B") };
    let record = AccountsReceivable {
        id: "A".into(),
        number: text("ACR1"),
        name: None,
        life_cycle_state: AccountsReceivableState::Suspended,
        account_owner: text("C"),
    };
    let account = Arc::new(Account { record, account_owner: Some(contact(contact_type)) });
    let record = RewardsParticipant {
        id: "P".into(),
        number: text("28"),
        life_cycle_state: Some(RewardsParticipantState::Effective),
        accounts_receivable: text("A"),
    };
    let participant = Arc::new(Participant { record, accounts_receivable: Some(account.clone()) });
    let mut udf = UserDefinedFields::default();
    (udf.strings[7], udf.floats[0], udf.dates[3]) = (text(""), Some(0.5), Some(DateTime::UNIX_EPOCH));
    let token = AccessToken {
        id: "T".into(),
        number: "AT0000000001".into(),
        life_cycle_state: LifeCycleState::PendingVerification,
        life_cycle_state_date: None,
        authentication_code: "code".into(),
        identifier: text("anna"),
        pass_code: None,
        verification: None,
        one_time_password: None,
        verified_date: None,
        verified_by_user: text("gone"),
        card_masked_number: text("411111******1234"),
        udf,
        accounts_receivable: text("A"),
        rewards_participant: text("P"),
        classification: text("K"),
        created: stamp.clone(),
        updated: AuditStamp { unit: None, business_unit: text("gone"), ..stamp },
    };
    Answer {
        token,
        owners: Owners { accounts_receivable: Some(account), rewards_participant: Some(participant) },
        reference: Arc::new(reference(legacy_compatibility)),
        verification_code: Some(Secret::new("012345")),
    }
}

pub(super) fn fields<M: Name>(paths: &[&str]) -> FieldSelection {
    let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    selection::<M>(Some(&mask), &mut Violations::default())
}

#[test]
fn everything_is_resolved() {
    let token = token::access_token(answer(true, ContactType::Person), &FieldSelection::All);
    assert_eq!(
        (token.id.as_str(), token.number.as_str(), token.authentication_code.as_str()),
        ("T", "AT0000000001", "code")
    );
    assert_eq!(token.life_cycle_state(), v1::access_token::LifeCycleState::PendingVerification);
    assert_eq!(token.card_last_4_digits.as_deref(), Some("1234"));
    assert_eq!(token.verification_code.as_deref(), Some("012345"));
    assert_eq!((token.udf_string_8.as_deref(), token.udf_float_1, token.udf_string_1), (Some(""), Some(0.5), None));
    assert_eq!(token.udf_date_4, Some(prost_types::Timestamp::default()));
    assert_eq!(token.classification.expect("resolved").name.as_deref(), Some("Mobile"));
    let log = token.log_information.expect("always there");
    assert_eq!(log.created_by_unit.expect("resolved").group_name.as_deref(), Some("Main"));
    assert_eq!(log.created_by_user.expect("resolved").email.as_deref(), Some("a@b.cd"));
    assert_eq!(log.created_by_business_unit.expect("resolved").code.as_deref(), Some("BC"));
    assert_eq!(log.updated_by_unit, None);
    let participant = token.rewards_participant.expect("resolved");
    assert_eq!(participant.life_cycle_state(), v1::rewards_participant::LifeCycleState::Effective);
    assert_eq!(participant.accounts_receivable, token.accounts_receivable);
    let account = token.accounts_receivable.expect("resolved");
    assert_eq!(account.life_cycle_state(), v1::accounts_receivable::LifeCycleState::Suspended);
    let owner = account.account_owner.expect("resolved");
    let country = owner.demographics.expect("a person").country_of_residence.expect("resolved");
    let file = country.country_flag.expect("a flag").file.expect("a file");
    assert_eq!((country.name.as_deref(), file.file_name.as_deref()), (Some("CYPRUS"), Some("cy.png")));
}

#[test]
fn what_is_not_known_is_its_id_alone() {
    let token = token::access_token(answer(true, ContactType::Person), &FieldSelection::All);
    assert_eq!(token.verified_by_user, Some(Box::new(v1::User { id: "gone".into(), ..v1::User::default() })));
    let log = token.log_information.expect("always there");
    assert_eq!(
        log.updated_by_business_unit,
        Some(v1::BusinessUnit { id: "gone".into(), ..v1::BusinessUnit::default() })
    );
    let mut alone = answer(true, ContactType::Person);
    alone.owners = Owners::default();
    let token = token::access_token(alone, &FieldSelection::All);
    let account = v1::AccountsReceivable { id: "A".into(), ..v1::AccountsReceivable::default() };
    assert_eq!(token.accounts_receivable, Some(Box::new(account)));
    assert_eq!(token.rewards_participant.expect("its id").id, "P");
}

#[test]
fn a_person_has_demographics_and_a_company_a_profile() {
    let owner = |contact_type| {
        let token = token::access_token(answer(true, contact_type), &FieldSelection::All);
        token.accounts_receivable.and_then(|account| account.account_owner).expect("an owner")
    };
    let person = owner(ContactType::Person);
    assert!(person.company_profile.is_none());
    let demographics = person.demographics.expect("of a person");
    assert_eq!(demographics.name_day, Some(v1::NameDay::default()), "there, though nothing of it is known");
    assert_eq!(demographics.date_of_birth.expect("there").year, Some(1980));
    assert_eq!(demographics.industry, None);
    let company = owner(ContactType::Company);
    assert!(company.demographics.is_none());
    assert_eq!(company.company_profile.expect("of a company").number_of_employees, Some(3));
}

#[test]
fn without_legacy_compatibility_some_fields_are_null() {
    let log = |legacy| {
        let token = token::access_token(answer(legacy, ContactType::Person), &FieldSelection::All);
        token.log_information.expect("always there")
    };
    let (with, without) = (log(true), log(false));
    let unit = without.created_by_unit.expect("a unit");
    assert_eq!(unit, v1::Unit { group_name: None, community_name: None, ..with.created_by_unit.expect("a unit") });
    let user = without.created_by_user.expect("a user");
    assert_eq!(user, v1::User { person_name: None, email: None, ..with.created_by_user.expect("a user") });
    assert!(unit.name.is_some() && user.username.is_some());
}

#[test]
fn exactly_what_is_asked_for_is_there() {
    let wanted =
        fields::<v1::AccessToken>(&["number", "accounts_receivable.account_owner.id", "log_information.created_date"]);
    let token = token::access_token(answer(true, ContactType::Person), &wanted);
    let expected = v1::AccessToken {
        number: "AT0000000001".into(),
        accounts_receivable: Some(Box::new(v1::AccountsReceivable {
            account_owner: Some(Box::new(v1::ContactInformation { id: "C".into(), ..Default::default() })),
            ..Default::default()
        })),
        log_information: Some(Box::new(v1::LogInformation {
            created_date: Some(prost_types::Timestamp::default()),
            ..Default::default()
        })),
        ..Default::default()
    };
    assert_eq!(token, expected);
}

/// Every field of the contract can be requested alone: a mask with its path returns this field.
#[test]
fn every_field_can_be_asked_for_alone() {
    let whole = token::access_token(answer(true, ContactType::Person), &FieldSelection::All);
    let pool = access_tokens_proto::descriptor_pool();
    let message = pool.get_message_by_name(&v1::AccessToken::full_name()).expect("the message");
    for field in message.fields() {
        let mask = FieldMask { paths: vec![field.name().to_owned()] };
        let alone = token::access_token(answer(true, ContactType::Person), &fields::<v1::AccessToken>(&[field.name()]));
        assert_eq!(alone, access_tokens_proto::fields::select(whole.clone(), &mask), "{}", field.name());
    }
}

#[test]
fn secrets_are_answered_once_and_only_when_asked_for() {
    let issued = || {
        let Answer { token, reference, .. } = answer(true, ContactType::Person);
        IssuedPassCode { token, reference, random_pass_code: Secret::new("000042") }
    };
    let response = token::issued_pass_code(issued(), &FieldSelection::All);
    assert_eq!(response.random_pass_code.as_deref(), Some("000042"));
    assert_eq!((response.id.as_str(), response.identifier.as_deref()), ("T", Some("anna")));
    assert!(response.log_information.is_some());
    let response = token::issued_pass_code(issued(), &fields::<v1::ResetPassCodeResponse>(&["id"]));
    assert_eq!(response, v1::ResetPassCodeResponse { id: "T".into(), ..Default::default() });
    let otp = IssuedOneTimePassword {
        token: issued().token,
        one_time_password: Secret::new("000007"),
        expiration_date: DateTime::UNIX_EPOCH,
    };
    let response = token::issued_one_time_password(otp, &FieldSelection::All);
    assert_eq!(response.one_time_password.as_deref(), Some("000007"));
    assert_eq!(response.expiration_date, Some(prost_types::Timestamp::default()));
}
