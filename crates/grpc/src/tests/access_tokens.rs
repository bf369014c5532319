//! Access tokens over the wire: every method once, and the kinds of wrong requests.

use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token::LifeCycleState;
use access_tokens_proto::v1::access_token_identifier::Identifier;
use prost_types::FieldMask;
use tonic::Code;

use super::{World, fields, refused, with};

pub(super) fn by(identifier: Identifier) -> Option<v1::AccessTokenIdentifier> {
    Some(v1::AccessTokenIdentifier { identifier: Some(identifier) })
}

pub(super) fn by_code(code: &str) -> Option<v1::AccessTokenIdentifier> {
    by(Identifier::AuthenticationCode(code.to_owned()))
}

pub(super) fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

fn account() -> v1::AccountsReceivableIdentifier {
    let number = v1::accounts_receivable_identifier::Identifier::Number("ACR1".to_owned());
    v1::AccountsReceivableIdentifier { identifier: Some(number) }
}

pub(super) fn create(code: &str) -> v1::CreateAccessTokenRequest {
    v1::CreateAccessTokenRequest {
        authentication_code: Some(code.to_owned()),
        accounts_receivable_identifier: Some(account()),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_token_is_created_shown_listed_changed_and_switched() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let mut client = world.access_tokens();

    let request = v1::CreateAccessTokenRequest {
        identifier: Some("shemar".to_owned()),
        pass_code: Some("1234".to_owned()),
        card_masked_number: Some("411111******1111".to_owned()),
        udf_float_1: Some(1.5),
        ..create("CARD-1")
    };
    let created = client.create_access_token(with(&session, request)).await.expect("created").into_inner();
    assert_eq!(created.life_cycle_state(), LifeCycleState::Effective);
    assert_eq!(created.number, "AT0000000001");
    let owner =
        created.accounts_receivable.as_ref().and_then(|account| account.account_owner.as_ref()).expect("its owner");
    assert_eq!(owner.name.as_deref(), Some("Havier Shemar"));
    let log = created.log_information.as_ref().expect("always there");
    assert_eq!(log.created_by_user.as_ref().and_then(|user| user.username.as_deref()), Some("anna"));
    assert_eq!(log.created_by_unit.as_ref().and_then(|unit| unit.name.as_deref()), Some("Admin Unit"));

    let credential = v1::access_token_identifier::Credential {
        identifier: "shemar".to_owned(),
        pass_code: Some("1234".to_owned()),
        one_time_password: None,
    };
    let request = v1::ShowAccessTokenRequest {
        access_token_identifier: by(Identifier::Credential(credential)),
        fields_set: None,
    };
    let shown = client.show_access_token(with(&session, request)).await.expect("shown").into_inner();
    assert_eq!(shown, created);

    let owner = v1::list_access_tokens_request::Owner::AccountsReceivableIdentifier(account());
    let request =
        v1::ListAccessTokensRequest { owner: Some(owner), fields_set: mask(&["number"]), ..Default::default() };
    let listed = client.list_access_tokens(with(&session, request)).await.expect("listed").into_inner();
    let number = v1::AccessToken { number: "AT0000000001".to_owned(), ..Default::default() };
    assert_eq!((listed.access_tokens, listed.next_page_token.as_str()), (vec![number], ""));

    let request = v1::UpdateAccessTokenRequest {
        access_token_identifier: by_code("CARD-1"),
        udf_string_1: Some("gold".to_owned()),
        update_mask: mask(&["udf_string_1", "udf_float_1"]),
        ..Default::default()
    };
    let updated = client.update_access_token(with(&session, request)).await.expect("updated").into_inner();
    assert_eq!((updated.udf_string_1.as_deref(), updated.udf_float_1), (Some("gold"), None));

    let off = v1::SetAsNotEffectiveRequest { access_token_identifier: by_code("CARD-1"), fields_set: None };
    let switched = client.set_as_not_effective(with(&session, off.clone())).await.expect("off").into_inner();
    assert_eq!(switched.life_cycle_state(), LifeCycleState::NotEffective);
    let (code, reason, details) = refused(client.set_as_not_effective(with(&session, off)).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "WRONG_LIFE_CYCLE_STATE"));
    assert_eq!(details.error_info().expect("info").metadata["life_cycle_state"], "NOT_EFFECTIVE");
    let on = v1::SetAsEffectiveRequest { access_token_identifier: by_code("CARD-1"), fields_set: mask(&["id"]) };
    let switched = client.set_as_effective(with(&session, on)).await.expect("on").into_inner();
    assert_eq!(switched, v1::AccessToken { id: created.id, ..Default::default() });
}

#[tokio::test]
async fn a_token_is_verified_and_its_codes_are_replaced() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let mut client = world.access_tokens();
    let mobile = v1::classification_identifier::Identifier::AlternativeCode("MA".to_owned());
    let request = v1::CreateAccessTokenRequest {
        classification_identifier: Some(v1::ClassificationIdentifier { identifier: Some(mobile) }),
        ..create("APP-1")
    };
    let created = client.create_access_token(with(&session, request)).await.expect("created").into_inner();
    assert_eq!(created.life_cycle_state(), LifeCycleState::PendingVerification);
    assert_eq!(created.classification.and_then(|class| class.name).as_deref(), Some("Mobile"));

    let request = v1::ResetVerificationCodeRequest {
        access_token: Some(v1::reset_verification_code_request::AccessToken::AuthenticationCode("APP-1".to_owned())),
        fields_set: None,
    };
    let reset = client.reset_verification_code(with(&session, request)).await.expect("reset").into_inner();
    let code = reset.verification_code.expect("shown to who may see it");
    let verify = |code: &str| v1::VerifyAccessTokenRequest {
        access_token_identifier: by_code("APP-1"),
        verification_code: code.to_owned(),
        ..Default::default()
    };
    let wrong = client.verify_access_token(with(&session, verify("x"))).await;
    assert_eq!(refused(wrong).1, "INVALID_VERIFICATION_CODE");
    let verified = client.verify_access_token(with(&session, verify(&code))).await.expect("verified").into_inner();
    assert_eq!(verified.life_cycle_state(), LifeCycleState::Effective);
    assert_eq!(verified.verified_by_user.and_then(|user| user.username).as_deref(), Some("anna"));

    let request = v1::ResetPassCodeRequest {
        access_token: Some(v1::reset_pass_code_request::AccessToken::AuthenticationCode("APP-1".to_owned())),
        fields_set: mask(&["random_pass_code"]),
    };
    let reset = client.reset_pass_code(with(&session, request)).await.expect("reset").into_inner();
    assert!(reset.random_pass_code.is_some_and(|code| code.len() == 6) && reset.id.is_empty());
    let request = v1::GenerateOtpRequest { access_token_identifier: by_code("APP-1"), fields_set: None };
    let issued = client.generate_otp(with(&session, request)).await.expect("issued").into_inner();
    assert!(issued.one_time_password.is_some_and(|code| code.len() == 6) && issued.expiration_date.is_some());
}

#[tokio::test]
async fn stock_and_classifications_are_listed() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let mut client = world.access_tokens();
    let free = v1::CreateAccessTokenRequest { authentication_code: Some("FREE-1".to_owned()), ..Default::default() };
    client.create_access_token(with(&session, free)).await.expect("created");
    client.create_access_token(with(&session, create("OWNED-1"))).await.expect("created");
    let session = world.login("rita").await;
    let request = v1::GetNotAssociatedAccessTokensRequest {
        number: Some(10),
        life_cycle_state: Some(LifeCycleState::Effective.into()),
        fields_set: mask(&["authentication_code"]),
    };
    let stock = client.get_not_associated_access_tokens(with(&session, request)).await.expect("listed").into_inner();
    let codes: Vec<_> = stock.access_tokens.iter().map(|token| token.authentication_code.as_str()).collect();
    assert_eq!(codes, ["FREE-1"]);
    let request = v1::ListClassificationsRequest { fields_set: mask(&["alternative_code"]) };
    let listed = client.list_classifications(with(&session, request)).await.expect("listed").into_inner();
    let code = v1::Classification { alternative_code: Some("MA".to_owned()), ..Default::default() };
    assert_eq!(listed.classifications, [code]);
}

#[tokio::test]
async fn who_may_only_read_may_not_write() {
    let world = World::new().await;
    let session = world.login("rita").await;
    let (code, reason, details) = refused(world.access_tokens().create_access_token(with(&session, create("C"))).await);
    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    assert_eq!(details.error_info().expect("info").metadata["permission"], "access_tokens.write");
}

#[tokio::test]
async fn a_bad_request_names_every_field_and_writes_nothing() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let mut client = world.access_tokens();
    let request = v1::CreateAccessTokenRequest {
        card_masked_number: Some("4111111111111111".to_owned()),
        udf_float_2: Some(f64::INFINITY),
        udf_string_1: Some("x".repeat(4_001)),
        ..create("a\nb")
    };
    let (code, _, details) = refused(client.create_access_token(with(&session, request)).await);
    assert_eq!(code, Code::InvalidArgument);
    let mut found = fields(&details);
    found.sort_unstable();
    assert_eq!(found, ["authentication_code", "card_masked_number", "udf_float_2", "udf_string_1"]);
    let request = v1::ShowAccessTokenRequest { access_token_identifier: by_code("C"), fields_set: mask(&["nonsense"]) };
    let (code, reason, details) = refused(client.show_access_token(with(&session, request)).await);
    assert_eq!((code, reason.as_str(), fields(&details)), (Code::InvalidArgument, "UNKNOWN_FIELD", vec!["fields_set"]));
    client.create_access_token(with(&session, create("C"))).await.expect("created");
    let (code, reason, details) = refused(client.create_access_token(with(&session, create("C"))).await);
    assert_eq!((code, reason.as_str()), (Code::AlreadyExists, "AUTHENTICATION_CODE_ALREADY_EXISTS"));
    assert_eq!(fields(&details), ["authentication_code"]);
}
