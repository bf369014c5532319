//! The directory over the wire.

use access_tokens_proto::v1;
use access_tokens_proto::v1::import_directory_request::Record;
use access_tokens_proto::v1::record_result::Outcome;
use prost_types::FieldMask;
use tonic::Code;

use super::{World, refused, with};

fn unit(id: &str, name: &str) -> v1::ImportDirectoryRequest {
    let unit = v1::UnitRecord { id: id.to_owned(), name: Some(name.to_owned()), ..Default::default() };
    v1::ImportDirectoryRequest { record: Some(Record::Unit(unit)), ..Default::default() }
}

pub(super) async fn import(
    world: &World,
    session: &str,
    records: Vec<v1::ImportDirectoryRequest>,
) -> Result<v1::ImportDirectoryResponse, tonic::Status> {
    let stream = futures::stream::iter(records);
    world.directory().import_directory(with(session, stream)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn every_record_has_its_result_in_its_place() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let nulls = FieldMask { paths: vec!["group_name".to_owned()] };
    let cleared = v1::ImportDirectoryRequest { null_fields: Some(nulls), ..unit("U1", "Admin Unit") };
    let nonsense = FieldMask { paths: vec!["nonsense".to_owned()] };
    let records = vec![
        unit("N1", "New"),
        v1::ImportDirectoryRequest::default(),
        cleared,
        v1::ImportDirectoryRequest { null_fields: Some(nonsense), ..unit("N2", "Never") },
        unit("N1", "New"),
        unit("N3", "too long ".repeat(200).as_str()),
    ];
    let response = import(&world, &session, records.clone()).await.expect("imported");
    let outcomes: Vec<_> = response.results.iter().map(|result| (result.index, result.outcome())).collect();
    let expected = [
        (0, Outcome::Created),
        (1, Outcome::Failed),
        (2, Outcome::Updated),
        (3, Outcome::Failed),
        (4, Outcome::Unchanged),
        (5, Outcome::Failed),
    ];
    assert_eq!(outcomes, expected);
    let counts = (response.created, response.updated, response.unchanged, response.failed);
    assert_eq!(counts, (1, 1, 1, 3));
    let [created, none, _, unknown, _, long] = response.results.try_into().expect("six");
    assert_eq!(
        (created.kind.as_str(), created.id.as_str(), created.reason()),
        ("unit", "N1", v1::ErrorReason::Unspecified)
    );
    assert_eq!((none.kind.as_str(), none.reason()), ("", v1::ErrorReason::RequiredFieldMissing));
    assert_eq!(
        (unknown.reason(), unknown.field_violations[0].field.as_str()),
        (v1::ErrorReason::UnknownField, "null_fields")
    );
    assert_eq!((long.reason(), long.field_violations[0].field.as_str()), (v1::ErrorReason::FieldTooLong, "name"));
    let again = import(&world, &session, records).await.expect("imported");
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 3), "the same again changes nothing");
}

#[tokio::test]
async fn a_check_says_what_would_be_and_writes_nothing() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let check = v1::ImportDirectoryRequest { check: true, ..unit("N1", "New") };
    for _ in 0..2 {
        let records = vec![check.clone(), unit("N1", "New"), unit("N2", "New too")];
        let response = import(&world, &session, records).await.expect("checked");
        assert_eq!((response.created, response.unchanged), (2, 1));
    }
}

#[tokio::test]
async fn many_records_go_in_as_batches_and_too_many_do_not() {
    let world = World::new().await;
    let session = world.login("anna").await;
    // Some records are so large that a batch reaches its limit in bytes before its limit in records. The last batch is incomplete.
    let large = "x".repeat(200 * 1024);
    let name = |i: usize| if i < 30 { large.as_str() } else { "New" };
    let records: Vec<_> = (0..10_001).map(|i| unit(&format!("N{i}"), name(i))).collect();
    let (code, reason, details) = refused(import(&world, &session, records.clone()).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_RECORDS"));
    assert_eq!(details.error_info().expect("info").metadata["limit"], "10000");
    let response = import(&world, &session, records[..10_000].to_vec()).await.expect("imported");
    assert_eq!((response.unchanged, response.failed), (9_970, 30), "those before stayed written");
    assert!(response.results.iter().enumerate().all(|(i, result)| result.index == i as i64));
}

#[tokio::test]
async fn a_record_has_room_and_a_larger_one_is_refused() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let response = import(&world, &session, vec![unit("N1", &"x".repeat(200 * 1024))]).await.expect("read");
    assert_eq!(response.results[0].reason(), v1::ErrorReason::FieldTooLong, "the message itself was small enough");
    let (code, reason, details) = refused(import(&world, &session, vec![unit("N1", &"x".repeat(300 * 1024))]).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    assert_eq!(details.error_info().expect("info").metadata["limit"], "262144");
}

#[tokio::test]
async fn a_policy_under_which_secrets_are_guessed_too_easily_is_refused_with_the_arithmetic() {
    let world = World::new().await;
    let session = world.login("anna").await;
    let classification = |attempts_per_day| {
        let pass_code = v1::CodePolicy {
            format: v1::code_policy::Format::Number.into(),
            min_length: Some(4),
            ..Default::default()
        };
        let lock = v1::LockPolicy { attempts_per_day: Some(attempts_per_day), ..Default::default() };
        let policy = v1::Policy { pass_code: Some(pass_code), lock: Some(lock), ..Default::default() };
        let record = v1::ClassificationRecord {
            id: "K2".to_owned(),
            name: Some("Short".to_owned()),
            policy: Some(policy),
            ..Default::default()
        };
        v1::ImportDirectoryRequest { record: Some(Record::Classification(record)), ..Default::default() }
    };
    let response = import(&world, &session, vec![classification(100), classification(9)]).await.expect("imported");
    let [refused, created] = response.results.try_into().expect("two");
    assert_eq!((refused.outcome(), refused.reason()), (Outcome::Failed, v1::ErrorReason::GuessBudgetExceeded));
    let [violation] = refused.field_violations.as_slice() else { panic!("{:?}", refused.field_violations) };
    assert_eq!(violation.field, "policy");
    assert!(violation.description.contains("PASS_CODE 100 guesses a day / 10^4.0 codes"), "{}", violation.description);
    assert_eq!(created.outcome(), Outcome::Created);

    let request = with(&session, v1::ListGuessBudgetsRequest::default());
    let listed = world.access_tokens().list_guess_budgets(request).await.expect("listed").into_inner();
    let names: Vec<_> = listed.guess_budgets.iter().map(|budget| budget.classification_name.as_deref()).collect();
    assert_eq!(names, [None, Some("Mobile"), Some("Short")]);
    let short = &listed.guess_budgets[2];
    assert_eq!(short.classification_id.as_deref(), Some("K2"));
    let pass_code = &short.secrets[0];
    assert_eq!(pass_code.secret_kind(), v1::access_token::SecretKind::PassCode);
    assert_eq!((pass_code.guesses_per_day, pass_code.codes, pass_code.chance_per_day), (9, 1e4, 9e-4));
    assert!(short.chance_per_day > 9e-4 && short.chance_per_day < short.limit, "{short:?}");
}

#[tokio::test]
async fn only_who_may_imports() {
    let world = World::new().await;
    let session = world.login("rita").await;
    assert_eq!(refused(import(&world, &session, vec![unit("N1", "New")]).await).1, "PERMISSION_DENIED");
}
